"""Names that `queue` looks up in its own module, and in `threading`."""

# ruff: noqa: PT008
from __future__ import annotations

import collections
import queue
import sys
import threading
from unittest import mock

from case_support import case, tell, waiting
from test_names_looked_up import spied


def test_the_same_as_on_stock(compare):
    compare()


# Parts of queues


@case(only="queue")
def deque_of_queue_replaced():
    class Deque(collections.deque):
        pass

    with mock.patch.object(queue, "deque", Deque):
        line = queue.Queue()
        lifo = queue.LifoQueue()
    tell(type(line.queue).__name__, type(lifo.queue).__name__, type(queue.Queue().queue).__name__)
    line.put(3)
    tell(list(line.queue), line.get())


@case(only="queue")
def heap_functions_replaced():
    seen = []
    for name in ("heappush", "heappop"):
        spied(queue, name, seen)
    line = queue.PriorityQueue()
    for item in (3, 1, 2):
        line.put(item)
    tell([line.get() for _ in range(3)], seen)


@case(only="queue")
def threading_of_queue_replaced():
    seen = []

    class Fake:
        def __getattr__(self, name):
            seen.append(name)
            return getattr(threading, name)

    with mock.patch.object(queue, "threading", Fake()):
        for cls in (queue.Queue, queue.LifoQueue, queue.PriorityQueue):
            cls().put(1)
    queue.Queue()
    tell(seen)


@case(only="queue")
def names_of_threading_replaced_for_queues():
    """With waits, so that each condition is used."""
    seen = []
    lock = threading.Lock
    with mock.patch.object(threading, "Lock", lambda: seen.append("Lock") or lock()):
        line = queue.Queue(1)
    allocate = threading._allocate_lock
    with mock.patch.object(threading, "_allocate_lock", lambda: seen.append("wait") or allocate()):
        getter = waiting(line.get)
        line.put(1)
        tell(getter.said())
        line.put(2)
        putter = waiting(line.put, 3)
        joiner = waiting(line.join)
        tell(line.get(), line.get(), putter.said())
        for _ in range(3):
            line.task_done()
        tell(joiner.said())
    counts = collections.Counter(seen)
    if not getattr(sys, "_is_gil_enabled", lambda: True)():
        # A waiter may have to wait once more, on stock too.
        counts["wait"] = min(counts["wait"], 3)
    tell(counts)
