"""Looks at the insides of queues while threads wait in them, and initialisations under waiters."""

# ruff: noqa: B018
from __future__ import annotations

import collections
import copy
import itertools
import queue
import sys
import threading
import time

from case_support import Waiter, attempt, case, leave, outcome, tell, until, waiting
from test_looking_inside import looks_at


def test_the_same_as_on_stock(compare):
    compare()


CLASSES = (queue.Queue, queue.LifoQueue, queue.PriorityQueue)


@case(only="queue")
def a_queue_looked_at_and_put_into():
    for cls in CLASSES:
        for name, look in looks_at("Queue"):
            line = cls()
            getters = [waiting(line.get), waiting(line.get, True, 30)]
            look(line)
            line.put(1)
            line.put(2)
            tell(cls.__name__, name, sorted(getter.said() for getter in getters), line.qsize())
    leave()


@case(only="queue")
def a_full_queue_looked_at_and_taken_from():
    for cls in CLASSES:
        for name, look in looks_at("Queue"):
            line = cls(1)
            line.put(0)
            putters = [waiting(line.put, 1), waiting(line.put, 2, True, 30)]
            look(line)
            taken = sorted(line.get() for _ in range(3))
            tell(cls.__name__, name, [putter.said() for putter in putters], taken)
    leave()


@case(only="queue")
def a_queue_looked_at_while_joined():
    for cls in CLASSES:
        for name, look in looks_at("Queue"):
            line = cls()
            line.put(1)
            line.put(2)
            joiners = [waiting(line.join) for _ in range(2)]
            look(line)
            line.task_done()
            line.task_done()
            line.put(3)
            tell(cls.__name__, name, line.unfinished_tasks)
            line.task_done()
            tell([joiner.said() for joiner in joiners])
    leave()


@case(only="queue", since=(3, 13))
def a_queue_looked_at_and_shut_down():
    for immediate in (False, True):
        for cls in CLASSES:
            for name, look in looks_at("Queue"):
                line, full = cls(), cls(1)
                full.put(1)
                waiters = [waiting(line.get), waiting(full.put, 2), waiting(full.join)]
                look(line)
                look(full)
                line.shutdown(immediate)
                full.shutdown(immediate)
                if not immediate:
                    full.get()
                    full.task_done()
                tell(cls.__name__, name, [waiter.said() for waiter in waiters])
                tell(line.is_shutdown, full.is_shutdown, full.qsize())
    leave()


@case(only="queue")
def a_queue_cleared_by_hand():
    """As the answer goes to "how do I empty a queue"."""
    for cls in CLASSES:
        line = cls(2)
        line.put(1)
        line.put(2)
        putter = waiting(line.put, 3)
        with line.mutex:
            line.queue.clear()
            line.not_full.notify_all()
        tell(putter.said(), list(line.queue), line.unfinished_tasks)
        with line.mutex:
            line.queue.clear()
            line.unfinished_tasks = 0
            line.all_tasks_done.notify_all()
        attempt("get", line.get_nowait)
        attempt("done", line.task_done)
    leave()


@case(only="queue")
def a_queue_cleared_by_hand_under_a_joiner():
    line = queue.Queue()
    line.put(1)
    joiner = waiting(line.join)
    with line.mutex:
        unfinished = line.unfinished_tasks - len(line.queue)
        if unfinished <= 0:
            line.all_tasks_done.notify_all()
        line.unfinished_tasks = unfinished
        line.queue.clear()
        line.not_full.notify_all()
    tell(joiner.said(), line.unfinished_tasks, line.empty())
    leave()


@case(only="queue")
def the_contents_of_a_queue():
    for cls in CLASSES:
        line = cls()
        for item in (3, 1, 2):
            line.put(item)
        tell(type(line.queue).__name__, list(line.queue), len(line.queue), 1 in line.queue)
        tell(line.queue[0], line.queue is line.queue)
        if cls is queue.PriorityQueue:
            line.queue.sort(reverse=True)
            import heapq

            heapq.heapify(line.queue)
        else:
            line.queue.append(9)
        tell(line.qsize(), [line.get() for _ in range(line.qsize())], line.unfinished_tasks)
    attempt("deque", lambda: queue.Queue().queue.appendleft(1))
    line = queue.Queue()
    line.put(1)
    line.queue.appendleft(0)
    tell(line.get(), line.get())


@case(only="queue")
def contents_replaced():
    line = queue.Queue()
    getter = waiting(line.get)
    line.queue = collections.deque([7, 8])
    with line.not_empty:
        line.not_empty.notify()
    tell(getter.said(), line.qsize(), line.get())
    lifo = queue.LifoQueue()
    lifo.queue = [1, 2, 3]
    tell(lifo.get(), lifo.qsize())
    leave()


@case(only="queue")
def the_mutex_of_a_queue():
    for cls in CLASSES:
        line = cls()
        conditions = (line.not_empty, line.not_full, line.all_tasks_done)
        tell([condition._lock is line.mutex for condition in conditions], line.mutex.locked())
        getter = waiting(line.get)
        with line.mutex:
            putter = waiting(line.put, 1)
            tell(line._qsize(), [c._is_owned() for c in conditions])
            line._put(5)
            line.not_empty.notify()
        tell(getter.said() in ("1", "5"), putter.said(), line.qsize())
        line.mutex.acquire()
        sizer = waiting(line.qsize)
        line.mutex.release()
        tell(sizer.said())
    leave()


@case(only="queue")
def a_queue_notified_by_hand():
    line = queue.Queue()
    getters = [waiting(line.get), waiting(line.get, True, 20)]
    with line.not_empty:
        line._put("a")
        line._put("b")
        line.not_empty.notify_all()
    tell(sorted(getter.said() for getter in getters), line.unfinished_tasks)
    tell(len(line.not_empty._waiters))
    leave()


@case(only="queue", since=(3, 13))
def a_queues_end_written():
    line = queue.Queue()
    line.is_shutdown = True
    attempt("put", line.put, 1)
    attempt("get", line.get)
    line.is_shutdown = False
    attempt("put", line.put, 1)
    attempt("get", line.get)


@case(only="queue")
def a_get_that_times_out_after_a_look():
    line = queue.Queue()
    getters = [waiting(line.get, True, 0.15) for _ in range(3)]
    vars(line)
    tell([getter.said() for getter in getters], len(line.not_empty._waiters))
    line.put(1)
    tell(line.get(timeout=1))
    leave()


@case(only="queue", expect="120 set()")
def queues_made_new_again_and_again():
    """A getter that came in the midst of it finds that the lock it holds is not its condition's."""
    sys.setswitchinterval(1e-6)
    out = collections.Counter()
    for round_ in range(40):
        line = CLASSES[round_ % 3]()
        getters = [Waiter(line.get, True, 0.02) for _ in range(3)]
        time.sleep(0.002)
        line.__init__()
        out.update(getter.said() for getter in getters)
    fine = {"Empty: ", "RuntimeError: cannot wait on un-acquired lock"}
    tell(sum(out.values()), out.keys() - fine)


@case(only="queue")
def a_queue_looked_at_at_any_moment():
    sys.setswitchinterval(1e-6)
    line = queue.Queue(2)
    stop = threading.Event()

    def look():
        while not stop.is_set():
            vars(line)
            with line.mutex:
                len(line.queue)
            line.not_empty
            time.sleep(0)

    def put():
        for item in range(300):
            line.put(item)

    def get(into):
        for _ in range(200):
            into.append(line.get())

    # A list for each thread: to count in one dict takes more than one step.
    lists = [[] for _ in range(3)]
    looker = Waiter(look)
    threads = [*(Waiter(put) for _ in range(2)), *(Waiter(get, into) for into in lists)]
    tell([thread.said(60) for thread in threads])
    stop.set()
    got = collections.Counter(itertools.chain(*lists))
    tell(looker.said(), len(got), set(got.values()), line.qsize())
    leave()


@case(only="queue")
def a_derived_queue_looked_at():
    class Once(queue.Queue):
        def _init(self, maxsize):
            super()._init(maxsize)
            self.seen = set()

        def _put(self, item):
            if item not in self.seen:
                self.seen.add(item)
                super()._put(item)

    line = Once()
    getter = waiting(line.get)
    tell(sorted(vars(line)))
    line.put("a")
    tell(getter.said())
    line.put("a")
    tell(line.qsize(), line.unfinished_tasks, outcome(line.get, timeout=0.01))
    leave()


@case(only="queue")
def a_shallow_copy_of_a_queue_in_use():
    line = queue.Queue()
    attempt("copy", lambda: type(copy.copy(line)).__name__)
    copied = copy.copy(line)
    tell(copied.mutex is line.mutex, copied.queue is line.queue)
    getter = waiting(copied.get)
    line.put(1)
    tell(getter.said(), copied.unfinished_tasks, line.unfinished_tasks)
    leave()


@case(only="queue")
def a_part_of_a_queue_deleted():
    for part in ("mutex", "not_empty", "not_full", "all_tasks_done", "queue", "maxsize"):
        line = queue.Queue()
        attempt(f"{part} del", delattr, line, part)
        attempt("get attribute", getattr, line, part)
        attempt("put", line.put, 1, timeout=0.01)
        attempt("get", line.get, timeout=0.01)
        attempt("size", line.qsize)
        attempt("full", line.full)
        attempt("done", line.task_done)
        attempt("join", line.join)


@case(only="queue")
def a_queue_never_initialised():
    class Bare(queue.Queue):
        def __init__(self):
            pass

    line = Bare()
    attempt("put", line.put, 1)
    attempt("get", line.get)
    attempt("vars", vars, line)
    attempt("size", line.qsize)
    line.note = 1
    queue.Queue.__init__(line, 2)
    tell(list(vars(line)), until(lambda: line.empty()))
    line.put(1)
    tell(line.get())
    raw = queue.Queue.__new__(queue.Queue)
    attempt("raw put", raw.put, 1)
    attempt("raw vars", vars, raw)
    for cls in (threading.Event, threading.Condition, threading.Semaphore, threading.Barrier):
        raw = cls.__new__(cls)
        attempt("vars", vars, raw)
        for method in ("set", "wait", "acquire", "reset", "notify", "__repr__", "__enter__"):
            # A condition has its lock's methods as attributes.
            if hasattr(cls, method) and (cls, method) != (threading.Condition, "acquire"):
                attempt(f"{cls.__name__} {method}", getattr(cls, method), raw)
