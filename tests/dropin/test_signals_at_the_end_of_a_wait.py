"""Signals, asynchronous exceptions and due collections that meet a call.

What came during a wait comes out of the call, so a `try` around the call sees it. An item or a
permit is not lost by it.
"""

# ruff: noqa: B023, E731
from __future__ import annotations

import _thread
import ctypes
import os
import queue
import signal
import threading
import time

from case_support import Waiter, attempt, case, leave, outcome, tell, until, until_asleep, waiting


def test_the_same_as_on_stock(compare):
    compare()


class TimeLimit(Exception):
    pass


def raising(*_):
    raise TimeLimit


def later(seconds, *acts):
    """Do this in another thread, in a while."""

    def do():
        time.sleep(seconds)
        for act in acts:
            act()

    return Waiter(do)


def once_asleep(*acts):
    """Do this in another thread, as soon as this one sleeps."""
    sleeper = _thread.get_native_id()

    def do():
        until_asleep(sleeper)
        for act in acts:
            act()

    return Waiter(do)


def met(wait, *acts):
    """Where an exception comes out that arrives during a wait: in the call or after it."""
    said = []
    try:
        helper = once_asleep(*acts) if acts else None
        try:
            said.append(wait())
        except (queue.Empty, queue.Full, threading.BrokenBarrierError) as error:
            said.append(type(error).__name__)
        except BaseException as error:
            said.append(f"{type(error).__name__} in the call")
        # It comes now if the wait was over before all was done.
        if helper is not None:
            helper.said()
        time.sleep(0.02)
    except BaseException as error:
        said.append(f"{type(error).__name__} after it")
    return said


def signalled(number):
    return lambda: os.kill(os.getpid(), number)


def condition_wait(**options):
    condition = threading.Condition()

    def wait():
        with condition:
            return condition.wait(**options)

    return wait


def full_queue():
    line = queue.Queue(1)
    line.put(0)
    return line


def held(lock):
    lock.acquire()
    return lock


def held_elsewhere(lock):
    """An RLock that another thread holds."""
    done = threading.Event()

    def hold():
        with lock:
            done.wait()

    thread = Waiter(hold)
    until(lambda: lock.acquire(False) is False or lock.release())
    return thread, done


# Longer than any delay of a busy machine: the wait has another end.
FAR = 30.0
# For a wait that nothing wakes before its time is over: `interrupt_main` does not.
SOON = 1.0


def timed(seconds=FAR):
    return {
        "event": lambda: threading.Event().wait(seconds),
        "condition": condition_wait(timeout=seconds),
        "semaphore": lambda: threading.Semaphore(0).acquire(timeout=seconds),
        "bounded": lambda: threading.BoundedSemaphore(0).acquire(timeout=seconds),
        "barrier": lambda: threading.Barrier(2).wait(seconds),
        "lock": lambda: held(threading.Lock()).acquire(timeout=seconds),
    }


def timed_queues(seconds=FAR):
    return {
        "get": lambda: queue.Queue().get(timeout=seconds),
        "lifo": lambda: queue.LifoQueue().get(timeout=seconds),
        "priority": lambda: queue.PriorityQueue().get(timeout=seconds),
        "put": lambda: full_queue().put(1, timeout=seconds),
    }


@case
def interrupt_main_during_a_timed_wait():
    for label, wait in timed(SOON).items():
        tell(label, met(wait, _thread.interrupt_main))


@case(only="queue")
def interrupt_main_during_a_timed_wait_for_a_queue():
    for label, wait in timed_queues(SOON).items():
        tell(label, met(wait, _thread.interrupt_main))


@case
def wait_for_interrupted():
    condition = threading.Condition()

    def wait():
        with condition:
            return condition.wait_for(lambda: False, SOON)

    tell(met(wait, _thread.interrupt_main), condition.acquire(False), condition.release())


@case
def a_signal_during_a_timed_wait():
    signal.signal(signal.SIGUSR1, raising)
    for label, wait in timed().items():
        tell(label, met(wait, signalled(signal.SIGUSR1)))


@case(only="queue")
def a_signal_during_a_wait_for_a_queue():
    signal.signal(signal.SIGUSR1, raising)
    for label, wait in timed_queues().items():
        tell(label, met(wait, signalled(signal.SIGUSR1)))
    line, joined = full_queue(), full_queue()
    tell("put", met(lambda: line.put(1), signalled(signal.SIGUSR1)))
    tell("join", met(joined.join, signalled(signal.SIGUSR1)))
    tell("get", met(queue.Queue().get, signalled(signal.SIGUSR1)))
    tell(line.qsize(), line.get(), outcome(line.get_nowait), joined.unfinished_tasks)


@case
def an_alarm_during_a_wait_without_end():
    signal.signal(signal.SIGALRM, raising)
    waits = {
        "event": threading.Event().wait,
        "condition": condition_wait(),
        "semaphore": threading.Semaphore(0).acquire,
        "barrier": threading.Barrier(2).wait,
        "lock": held(threading.Lock()).acquire,
    }
    for label, wait in waits.items():
        tell(label, met(wait, lambda: signal.setitimer(signal.ITIMER_REAL, 0.01)))


@case
def a_handler_that_returns():
    seen = []
    event = threading.Event()
    signal.signal(signal.SIGALRM, lambda *_: seen.append("alarm"))
    for label, wait in timed(SOON).items():
        # Signals that come while a busy machine runs something else arrive as one.
        for _ in range(10):
            signal.setitimer(signal.ITIMER_REAL, 0.03, 0.03)
            began = time.monotonic()
            said = met(wait)
            signal.setitimer(signal.ITIMER_REAL, 0)
            lasted, alarms = time.monotonic() - began, len(seen)
            seen.clear()
            if alarms > 1:
                break
        tell(label, said, lasted > 0.5, alarms > 1)
    signal.signal(signal.SIGALRM, lambda *_: event.set())
    tell(met(event.wait, lambda: signal.setitimer(signal.ITIMER_REAL, 0.01)))


@case
def a_handler_that_ends_the_wait_and_raises():
    event, semaphore, line = threading.Event(), threading.Semaphore(0), queue.Queue()
    acts = [event.set, semaphore.release, lambda: line.put(1)]

    def handler(*_):
        acts.pop(0)()
        raise TimeLimit

    signal.signal(signal.SIGALRM, handler)
    for wait in (event.wait, semaphore.acquire, line.get):
        tell(met(wait, lambda: signal.setitimer(signal.ITIMER_REAL, 0.01)))
    tell(event.is_set(), semaphore._value, line.qsize())


# The wait has an end, and a signal is pending by then


def interrupted_and(act):
    return lambda: (_thread.interrupt_main(), act())


@case(gil=True)
def interrupted_as_the_wait_ends():
    """In one turn of the GIL, so that both have happened when the waiter runs again."""
    import sys

    sys.setswitchinterval(10)
    event, semaphore, lock = threading.Event(), threading.Semaphore(0), held(threading.Lock())
    condition = threading.Condition()

    def wait():
        with condition:
            return condition.wait()

    def notify():
        with condition:
            condition.notify()

    tell("event", met(event.wait, interrupted_and(event.set)), event.is_set())
    tell("semaphore", met(semaphore.acquire, interrupted_and(semaphore.release)), semaphore._value)
    tell("condition", met(wait, interrupted_and(notify)), condition.acquire(False))
    tell("lock", met(lock.acquire, interrupted_and(lock.release)), lock.locked())
    timed = threading.Semaphore(0)
    acquire = lambda: timed.acquire(timeout=10)
    tell("timed", met(acquire, interrupted_and(timed.release)), timed._value)


@case(only="queue", gil=True)
def interrupted_as_the_wait_for_a_queue_ends():
    import sys

    sys.setswitchinterval(10)
    for cls in (queue.Queue, queue.LifoQueue, queue.PriorityQueue):
        line = cls()
        tell("get", met(line.get, interrupted_and(lambda line=line: line.put("x"))), line.qsize())
        line = cls()
        get = lambda line=line: line.get(timeout=10)
        tell("get", met(get, interrupted_and(lambda line=line: line.put("x"))), line.qsize())
        line = cls()
        line.put("x")
        tell("join", met(line.join, interrupted_and(line.task_done)), line.unfinished_tasks)
        line = cls(1)
        line.put("x")
        put = lambda line=line: line.put("y")
        tell("put", met(put, interrupted_and(line.get_nowait)), line.qsize())
        tell("put", line.unfinished_tasks, line.put_nowait("z"), line.get_nowait())


@case(gil=True)
def interrupted_as_a_barrier_opens():
    import sys

    sys.setswitchinterval(10)
    barrier = threading.Barrier(2)
    tell(met(barrier.wait, interrupted_and(barrier.wait)), barrier.broken, barrier.n_waiting)
    barrier = threading.Barrier(3)
    waiter = waiting(barrier.wait)
    tell(met(barrier.wait, _thread.interrupt_main, barrier.abort), barrier.broken)
    tell(waiter.said())
    leave()


@case
def a_barrier_wait_that_was_interrupted():
    """It has left: the barrier counts one less and is not broken."""
    signal.signal(signal.SIGALRM, raising)
    barrier = threading.Barrier(3)
    waiter = waiting(barrier.wait)
    tell(met(barrier.wait, signalled(signal.SIGALRM)), barrier.n_waiting, barrier.broken)
    others = [waiting(barrier.wait), Waiter(barrier.wait)]
    said = sorted(w.said() for w in (waiter, *others))
    tell(said, barrier.n_waiting, barrier.broken)
    leave()


@case
def a_barrier_interrupted_in_its_action():
    def action():
        os.kill(os.getpid(), signal.SIGUSR1)
        time.sleep(0.01)

    signal.signal(signal.SIGUSR1, raising)
    barrier = threading.Barrier(2, action)
    waiter = waiting(barrier.wait)
    tell(met(barrier.wait), barrier.broken, waiter.said())
    leave()


def interrupted_in_an_action(interrupt):
    """The one that timed out waits on for the action, and hears Ctrl-C there.

    Returns what was met, what it came to before the action had an end, and what the other one said.
    """
    going, end, soon = threading.Event(), threading.Event(), []
    barrier = threading.Barrier(2, action=lambda: (going.set(), end.wait(FAR)))
    other = once_asleep(barrier.wait)

    def wait():
        try:
            return barrier.wait(1)
        finally:
            soon.append(not end.is_set())

    said = met(wait, going.wait, lambda: time.sleep(1.5), interrupt, lambda: time.sleep(1), end.set)
    return said, soon, other.said()


@case
def a_barriers_time_is_over_during_its_action():
    began = time.monotonic()
    said, _, other = interrupted_in_an_action(_thread.interrupt_main)
    tell(said, time.monotonic() - began > 1, other in ("None", "BrokenBarrierError: "))
    leave()


@case(gil=True)
def ctrl_c_after_a_barriers_time_is_over():
    # What the other one meets afterwards differs: stock gives up the lock of its condition here.
    said, soon, _ = interrupted_in_an_action(signalled(signal.SIGINT))
    tell(said, soon)
    leave()


# Asynchronous exceptions


def async_exception(waiter, kind):
    return ctypes.pythonapi.PyThreadState_SetAsyncExc(
        ctypes.c_ulong(waiter.ident), ctypes.py_object(kind)
    )


def async_met(wait):
    said = []

    def run():
        try:
            try:
                said.append(wait())
            except (queue.Empty, queue.Full, threading.BrokenBarrierError) as error:
                said.append(type(error).__name__)
            except TimeLimit:
                said.append("in the call")
            time.sleep(0.01)
        except TimeLimit:
            said.append("after it")

    waiter = waiting(run)
    async_exception(waiter, TimeLimit)
    return waiter, said


@case(gil=True)
def asynchronous_exceptions_during_timed_waits():
    for label, wait in timed(SOON).items():
        waiter, said = async_met(wait)
        tell(label, waiter.said(), said)


@case(only="queue", gil=True)
def asynchronous_exceptions_during_waits_for_queues():
    for label, wait in timed_queues(SOON).items():
        waiter, said = async_met(wait)
        tell(label, waiter.said(), said)
    line = queue.Queue()
    waiter, said = async_met(line.get)
    line.put("x")
    tell(waiter.said(), said, line.qsize())


@case(gil=True)
def asynchronous_exceptions_as_waits_end():
    event, semaphore = threading.Event(), threading.Semaphore(0)
    waiter, said = async_met(event.wait)
    event.set()
    tell(waiter.said(), said)
    waiter, said = async_met(semaphore.acquire)
    semaphore.release()
    tell(waiter.said(), said, semaphore._value)
    lock = held(threading.Lock())
    waiter, said = async_met(lock.acquire)
    lock.release()
    tell(waiter.said(), said, lock.locked())


# Starts


@case
def a_handler_raises_in_start():
    signal.signal(signal.SIGALRM, raising)

    class Slow(threading.Thread):
        def _set_ident(self):
            time.sleep(0.5)
            super()._set_ident()

    ran = []
    for cls in (Slow, type("Slower", (Slow,), {"daemon": True})):
        thread = cls(target=ran.append, args=(1,))
        signal.setitimer(signal.ITIMER_REAL, 0.2)
        attempt("start", thread.start)
        signal.setitimer(signal.ITIMER_REAL, 0)
        until(lambda: len(ran) > 0)
        tell(ran, until(lambda: not thread.is_alive()), outcome(thread.join))
        tell(len(threading._limbo), threading.active_count())
        ran.clear()


@case
def a_join_interrupted():
    signal.signal(signal.SIGALRM, raising)
    event = threading.Event()
    thread = threading.Thread(target=event.wait, daemon=True)
    thread.start()
    tell(met(thread.join, signalled(signal.SIGALRM)), thread.is_alive())
    tell(met(lambda: thread.join(SOON), _thread.interrupt_main), thread.is_alive())
    event.set()
    thread.join()
    tell(thread.is_alive())


@case
def a_predicate_that_raises():
    condition = threading.Condition()

    def fails():
        raise TimeLimit("predicate")

    def wait():
        with condition:
            condition.wait_for(fails)

    attempt("wait_for", wait)
    tell(condition.acquire(False), condition._is_owned(), condition.release())


@case
def numbers_that_are_no_times():
    infinite = float("inf")
    condition = threading.Condition()

    def wait_for(timeout):
        with condition:
            return condition.wait_for(lambda: False, timeout)

    def wait(timeout):
        with condition:
            return condition.wait(timeout)

    empty, full = queue.Queue(), full_queue()
    for timeout in (-1, -0.0, 0, -5.5, 1e-9, -infinite, "1", 1j, []):
        attempt(f"{timeout} wait_for", wait_for, timeout)
        attempt(f"{timeout} wait", wait, timeout)
        attempt(f"{timeout} event", threading.Event().wait, timeout)
        attempt(f"{timeout} acquire", threading.Semaphore(0).acquire, timeout=timeout)
        attempt(f"{timeout} barrier", threading.Barrier(2).wait, timeout)
        attempt(f"{timeout} get", empty.get, timeout=timeout)
        attempt(f"{timeout} put", full.put, 1, timeout=timeout)
    for timeout in (infinite, 1e300, 10**30):
        attempt(f"{timeout} event", threading.Event().wait, timeout)
        attempt(f"{timeout} wait", wait, timeout)
        attempt(f"{timeout} wait_for", wait_for, timeout)
        attempt(f"{timeout} semaphore", threading.Semaphore(0).acquire, timeout=timeout)
        attempt(f"{timeout} get", empty.get, timeout=timeout)
        attempt(f"{timeout} barrier", threading.Barrier(2).wait, timeout)
    leave()


@case
def a_time_that_is_no_number():
    """No comparison with it is true, so a wait goes on until it is granted."""
    nan = float("nan")
    condition, looks = threading.Condition(), []

    def wait_for():
        with condition:
            return condition.wait_for(lambda: looks.append(1) or len(looks) > 3, nan)

    attempt("wait_for", wait_for)
    attempt("event", threading.Event().wait, nan)
    with condition:
        attempt("wait", condition.wait, nan)
    semaphore, line, full, barrier = (
        threading.Semaphore(0),
        queue.Queue(),
        full_queue(),
        threading.Barrier(2),
    )
    helper = later(0.05, semaphore.release)
    attempt("semaphore", semaphore.acquire, timeout=nan)
    helper = later(0.05, lambda: line.put("x"))
    attempt("get", line.get, timeout=nan)
    helper = later(0.05, full.get)
    attempt("put", full.put, 1, timeout=nan)
    helper = later(0.05, barrier.wait)
    attempt("barrier", lambda: barrier.wait(nan) in (0, 1))
    tell(helper.said() in ("None",))
    attempt("lock", threading.Lock().acquire, timeout=nan)
    attempt("join", threading.Thread().join, nan)
    leave()
