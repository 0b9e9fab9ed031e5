"""Collections that are due, and finalizers that use the object that is in use."""

from __future__ import annotations

import gc
import queue
import threading

from case_support import Waiter, case, leave, tell, waiting


def test_the_same_as_on_stock(compare):
    compare()


# Due collections, and finalizers that use what is in use


class Cycle:
    def __init__(self, act):
        self.me = self
        self.act = act

    def __del__(self):
        self.act()


def survived(label, act, use, rounds=8000):
    said = []

    def run():
        for _ in range(rounds):
            Cycle(act)
            use()
        return "survived"

    waiter = Waiter(run)
    tell(label, waiter.said(20), said)


@case(since=(3, 12))
def garbage_that_puts():
    line = queue.Queue()
    survived("Queue", lambda: line.put("late"), lambda: (line.put(1), line.get()))
    leave()


# From 3.14 on the one event that collects in `set` waits for itself on stock.
@case(since=(3, 12), until=(3, 13))
def garbage_that_sets():
    event = threading.Event()
    survived("Event", event.set, lambda: (event.set(), event.clear(), event.wait(0)))
    leave()


@case(since=(3, 12))
def garbage_that_releases():
    semaphore = threading.Semaphore(1)
    survived("Semaphore", semaphore.release, lambda: (semaphore.acquire(), semaphore.release()))
    leave()


@case(since=(3, 12))
def garbage_that_notifies():
    condition = threading.Condition()

    def notify():
        with condition:
            condition.notify()

    def use():
        with condition:
            condition.notify_all()

    survived("Condition", notify, use)
    leave()


@case(since=(3, 12))
def garbage_that_takes_the_lock_of_a_condition():
    """A condition of a plain lock: the collection has to come before the lock is taken."""
    condition = threading.Condition(threading.Lock())

    def notify():
        with condition:
            condition.notify()

    def use():
        with condition:
            pass

    survived("with", notify, use)
    leave()


@case
def garbage_that_puts_into_other_queues():
    lifo, heap, simple = queue.LifoQueue(), queue.PriorityQueue(), queue.SimpleQueue()
    gc.collect()
    for line in (lifo, heap, simple):
        Cycle(lambda line=line: line.put(5))
    gc.collect()
    tell([line.get(timeout=1) for line in (lifo, heap, simple)])


@case
def finalizers_during_waits():
    event, line = threading.Event(), queue.Queue()
    waiters = [waiting(event.wait), waiting(line.get)]
    Cycle(event.set)
    Cycle(lambda: line.put("from the finalizer"))
    gc.collect()
    tell([waiter.said() for waiter in waiters])
    leave()


@case
def items_that_put_when_they_die():
    line = queue.Queue()

    class Item:
        def __init__(self, left):
            self.left = left

        def __del__(self):
            if self.left:
                line.put(Item(self.left - 1))

    line.put(Item(50))
    count = 0
    while not line.empty():
        line.get()
        count += 1
    tell(count)
