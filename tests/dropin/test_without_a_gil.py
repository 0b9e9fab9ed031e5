"""What goes wrong without a GIL first. All of it has to work with one as well."""

# ruff: noqa: B023
from __future__ import annotations

import gc
import io
import queue
import sys
import threading
import time
import weakref

from case_support import Waiter, case, leave, tell, until


def test_the_same_as_on_stock(compare):
    compare()


def resident():
    """MiB of this process in memory."""
    with open("/proc/self/statm", encoding="ascii") as file:
        return int(file.read().split()[1]) * 4 // 1024


def dropped(make, label):
    """A queue a request: used often by a worker, dropped with an item in it."""
    jobs = queue.SimpleQueue()

    def work():
        while (reply := jobs.get()) is not None:
            for _ in range(150):
                reply.put(b"x")
            reply.put(bytes(1 << 20))
            del reply

    worker = Waiter(work)
    before = peak = resident()
    for _ in range(150):
        line = make()
        jobs.put(line)
        for _ in range(150):
            line.get()
        while line.qsize() == 0:
            time.sleep(0)
        del line
        peak = max(peak, resident())
    jobs.put(None)
    worker.said()
    tell(label, "small" if peak - before < 60 else f"{peak - before} MiB")


@case(only="queue", expect="Queue small")
def dropped_queues_are_freed():
    dropped(queue.Queue, "Queue")


@case(only="queue", expect="LifoQueue small")
def dropped_lifo_queues_are_freed():
    # The large one has to lie under the others, which are taken first.
    class Line(queue.LifoQueue):
        def _get(self):
            return self.queue.pop(0)

    dropped(Line, "LifoQueue")


@case(only="queue", expect="SimpleQueue small")
def dropped_simple_queues_are_freed():
    dropped(queue.SimpleQueue, "SimpleQueue")


@case
def dropped_objects_die_at_once():
    """With their weak references, by reference counts alone, however often they were used."""
    gc.disable()
    makers = {
        "Event": (threading.Event, lambda e: (e.set(), e.clear(), e.is_set())),
        "Semaphore": (threading.Semaphore, lambda s: (s.acquire(), s.release())),
        "Condition": (threading.Condition, lambda c: (c.acquire(), c.notify(), c.release())),
        "Barrier": (lambda: threading.Barrier(1), lambda b: b.wait()),
        "Queue": (queue.Queue, lambda q: (q.put(1), q.get())),
    }
    for label, (make, use) in makers.items():
        made = make()

        def often(made=made, use=use):
            for _ in range(300):
                use(made)

        for _ in range(2):
            Waiter(often).said()
        del often
        reference = weakref.ref(made)
        del made
        tell(label, until(lambda: reference() is None))


@case
def standard_error_replaced_while_threads_fail():
    """The hook that prints takes a reference of its own."""
    sys.setswitchinterval(1e-5)
    real = sys.stderr
    stop = threading.Event()

    def replace():
        while not stop.is_set():
            sys.stderr = io.StringIO()

    replacer = Waiter(replace)
    for _ in range(100):
        thread = threading.Thread(target=lambda: 1 / 0)
        thread.start()
        thread.join()
    stop.set()
    tell(replacer.said())
    sys.stderr = real


@case
def hooks_replaced_while_threads_fail():
    sys.setswitchinterval(1e-5)
    real, seen = threading.excepthook, []
    stop = threading.Event()

    def replace():
        while not stop.is_set():
            threading.excepthook = lambda args: seen.append(1)

    replacer = Waiter(replace)
    until(lambda: threading.excepthook is not real)
    for _ in range(100):
        thread = threading.Thread(target=lambda: 1 / 0)
        thread.start()
        thread.join()
    stop.set()
    tell(replacer.said(), len(seen))
    threading.excepthook = real


@case
def names_replaced_while_they_are_used():
    """Another thread patches `threading` and puts it back as fast as it can."""
    sys.setswitchinterval(1e-5)
    real = threading.Lock
    stop = threading.Event()

    def patch():
        while not stop.is_set():
            threading.Lock = lambda: real()
            threading.Lock = real

    patcher = Waiter(patch)
    said = set()
    for _ in range(300):
        event = threading.Event()
        event.set()
        said.add((event.wait(1), threading.Semaphore(1).acquire(timeout=1)))
    stop.set()
    tell(said, patcher.said())


@case
def methods_replaced_while_they_are_used():
    sys.setswitchinterval(1e-5)
    real = threading.Event.set
    stop = []

    def patch():
        while not stop:
            threading.Event.set = lambda self: real(self)
            threading.Event.set = real

    patcher = Waiter(patch)
    said = set()
    for _ in range(300):
        event = threading.Event()
        event.set()
        said.add((event.is_set(), event.wait(1)))
    stop.append(1)
    tell(said, patcher.said())


@case
def looks_and_calls_at_once():
    """No look makes a value vanish that another thread has set."""
    sys.setswitchinterval(1e-5)
    wrong = 0
    for _ in range(150):
        event, semaphore = threading.Event(), threading.Semaphore(1)
        lookers = [Waiter(vars, event), Waiter(vars, semaphore)]
        event.set()
        took = semaphore.acquire(timeout=5)
        wrong += not (event.is_set() and took and not semaphore.acquire(False))
        for looker in lookers:
            looker.said()
    tell(wrong)


@case(only="queue")
def many_getters_and_putters():
    sys.setswitchinterval(1e-5)
    for cls in (queue.Queue, queue.LifoQueue, queue.PriorityQueue):
        line, out = cls(3), []

        def put(line=line):
            for number in range(200):
                line.put(number)

        def get(line=line, out=out):
            for _ in range(200):
                out.append(line.get(timeout=30))

        threads = [*(Waiter(put) for _ in range(2)), *(Waiter(get) for _ in range(2))]
        tell([thread.said(40) for thread in threads], sorted(out) == sorted([*range(200)] * 2))


@case
def one_condition_initialised_by_many():
    """Lock and mode agree afterwards, whichever thread was the last."""
    sys.setswitchinterval(1e-6)
    condition = threading.Condition()
    stop = time.monotonic() + 0.3

    def init():
        while time.monotonic() < stop:
            condition.__init__(threading.RLock())

    threads = [Waiter(init) for _ in range(3)]
    for thread in threads:
        thread.said()
    condition.__init__()
    with condition:
        tell(condition.wait(0.001), condition.notify_all())
    leave()
