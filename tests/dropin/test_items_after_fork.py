"""Items, permits and flags that were handed over when the process forked or a thread went away."""

# ruff: noqa: B023
from __future__ import annotations

import collections
import os
import queue
import sys
import threading
import warnings

from case_support import case, leave, outcome, tell, waiting

ROUNDS = 12


def test_the_same_as_on_stock(compare):
    compare()


def in_child(check, give=lambda: None):
    """What a child comes to, in a word, if it is forked right after `give()`."""
    # Before, for it lets other threads run.
    reader, writer = os.pipe()
    give()
    pid = os.fork()
    if pid == 0:
        os.write(writer, str(outcome(check)).encode())
        os._exit(0)
    os.close(writer)
    said = b""
    while piece := os.read(reader, 4096):
        said += piece
    os.close(reader)
    os.waitpid(pid, 0)
    return said.decode()


def forked_at_once(make, wait, give, check):
    """A thread waits; something is given and the process forks at once."""
    warnings.simplefilter("ignore")
    # The waiter does not run between the two.
    sys.setswitchinterval(30)
    said = collections.Counter()
    for _ in range(ROUNDS):
        made = make()
        waiter = waiting(wait, made)
        said["child", in_child(lambda: check(made), lambda: give(made))] += 1
        said["parent", waiter.said()] += 1
    tell(dict(said))


@case(only="queue", gil=True)
def an_item_of_a_queue():
    for cls in (queue.Queue, queue.LifoQueue, queue.PriorityQueue):
        forked_at_once(
            cls,
            lambda q: q.get(),
            lambda q: q.put("x"),
            lambda q: (q.qsize(), q.get_nowait(), q.unfinished_tasks, outcome(q.get_nowait)),
        )


@case(only="queue", gil=True)
def an_item_of_a_queue_with_a_time_limit():
    forked_at_once(
        queue.Queue,
        lambda q: q.get(timeout=30),
        lambda q: q.put("x"),
        lambda q: (q.qsize(), q.get(timeout=1), outcome(q.get, timeout=0.001)),
    )


@case(only="queue", gil=True)
def several_items_and_getters():
    forked_at_once(
        queue.Queue,
        lambda q: [waiting(q.get), q.get()][1] in "abc",
        lambda q: (q.put("a"), q.put("b"), q.put("c")),
        lambda q: [q.get_nowait() for _ in range(q.qsize())],
    )


@case(only="queue")
def a_putter_waits_during_a_fork():
    warnings.simplefilter("ignore")
    for cls in (queue.Queue, queue.LifoQueue, queue.PriorityQueue):
        line = cls(1)
        line.put("old")
        putter = waiting(line.put, "new")
        tell(in_child(lambda line=line: (line.qsize(), line.get(), line.qsize(), line.full())))
        tell(line.get(), putter.said(), line.get())
    leave()


@case(only="queue")
def getters_wait_during_a_fork():
    warnings.simplefilter("ignore")
    for cls in (queue.Queue, queue.LifoQueue, queue.PriorityQueue):
        line = cls()
        getters = [waiting(line.get), waiting(line.get, True, 30)]
        tell(in_child(lambda line=line: (line.put(1), line.get(timeout=5), line.qsize())))
        line.put(1)
        line.put(1)
        tell([getter.said() for getter in getters])
    leave()


@case(only="queue")
def a_joiner_waits_during_a_fork():
    warnings.simplefilter("ignore")
    line = queue.Queue()
    line.put(1)
    joiner = waiting(line.join)
    tell(in_child(lambda: (line.task_done(), line.join(), line.unfinished_tasks)))
    line.task_done()
    tell(joiner.said())
    leave()


@case(gil=True)
def a_permit_of_a_semaphore():
    for cls in (threading.Semaphore, threading.BoundedSemaphore):

        def make(cls=cls):
            semaphore = cls(1)
            semaphore.acquire()
            return semaphore

        forked_at_once(
            make,
            lambda s: s.acquire(),
            lambda s: s.release(),
            lambda s: (s.acquire(False), s.acquire(False), s.release(), s._value),
        )


@case(gil=True)
def a_permit_with_a_time_limit():
    forked_at_once(
        lambda: threading.Semaphore(0),
        lambda s: s.acquire(timeout=30),
        lambda s: s.release(2),
        lambda s: (s.acquire(False), s.acquire(False), s.acquire(False)),
    )


@case(gil=True)
def an_event_that_is_set():
    forked_at_once(
        threading.Event,
        lambda e: e.wait(),
        lambda e: e.set(),
        lambda e: (e.is_set(), e.wait(1), e.clear(), e.wait(0.001)),
    )


@case(gil=True)
def an_event_that_is_pulsed():
    forked_at_once(
        threading.Event,
        lambda e: e.wait(),
        lambda e: (e.set(), e.clear()),
        lambda e: (e.is_set(), e.set(), e.wait(1)),
    )


@case(gil=True)
def a_condition_that_is_notified():
    def wait(condition):
        with condition:
            return condition.wait()

    def notify(condition):
        with condition:
            condition.notify()

    forked_at_once(
        threading.Condition,
        wait,
        notify,
        lambda c: (c.acquire(timeout=1), c.notify(), c.wait(0.001), c.release()),
    )


@case(gil=True)
def a_barrier_that_opens():
    def state(barrier):
        return barrier.broken, barrier.parties

    forked_at_once(lambda: threading.Barrier(2), lambda b: b.wait() < 2, lambda b: b.wait(), state)


@case
def waiters_during_a_fork():
    """The child has none of them; what it gives stays."""
    warnings.simplefilter("ignore")
    event, semaphore, condition = threading.Event(), threading.Semaphore(0), threading.Condition()

    def wait():
        with condition:
            return condition.wait()

    waiters = [waiting(event.wait), waiting(semaphore.acquire), waiting(wait)]

    def check():
        event.set()
        semaphore.release()
        with condition:
            condition.notify_all()
        return event.wait(1), semaphore.acquire(timeout=1), semaphore._value

    tell(in_child(check))
    event.set()
    semaphore.release()
    with condition:
        condition.notify_all()
    tell([waiter.said() for waiter in waiters])
    leave()


@case
def looked_at_in_the_child():
    warnings.simplefilter("ignore")
    event, semaphore, line = threading.Event(), threading.Semaphore(0), queue.Queue()
    waiters = [waiting(event.wait), waiting(semaphore.acquire), waiting(line.get)]

    def check():
        return (
            sorted(vars(event)),
            type(semaphore._cond).__name__,
            line.mutex.locked(),
            event.set(),
            event.is_set(),
            line.put(1),
            line.get(),
        )

    tell(in_child(check))
    event.set()
    semaphore.release()
    line.put(2)
    tell([waiter.said() for waiter in waiters])
    leave()


@case
def locks_and_reinitialised_events_in_the_child():
    warnings.simplefilter("ignore")
    event = threading.Event()
    waiter = waiting(event.wait)

    def check():
        event._at_fork_reinit()
        return event.is_set(), event.wait(0.001), event.set(), event.wait(1)

    tell(in_child(check))
    event.set()
    tell(waiter.said())
    leave()


# Threads that never come back
