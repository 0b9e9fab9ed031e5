"""Queues, threads and thread-local values in use while a process forks."""

from __future__ import annotations

import contextlib
import gc
import time
import weakref
from typing import Any

from chosen import low_level, threading
from fork_kit import (
    IS_STOCK,
    LONG,
    SHORT,
    Check,
    Waiting,
    all_the_time,
    called,
    case,
    in_parent,
    known,
    never,
    one_in_parent,
    pause,
    queue,
    use_queue,
)

NAMES = ("Queue", "LifoQueue", "PriorityQueue", "SimpleQueue")
LIMITED = NAMES[:3]


class Slow:
    """Compares in Python and takes its time: a fork is likely to come meanwhile."""

    def __init__(self, number: int) -> None:
        self.number = number

    def __lt__(self, other: Slow) -> bool:
        pause()
        return self.number < other.number


@case
def queues_waited_for() -> Check:
    empty = [getattr(queue, name)() for name in NAMES]
    full = [getattr(queue, name)(1) for name in LIMITED]
    for items in empty:
        in_parent(items.get)
    for items in full:
        items.put(0)
        in_parent(items.put, 1)
        in_parent(items.join)

    def check() -> None:
        for items in full:
            assert items.qsize() == 1 == items.unfinished_tasks
            assert items.full()
            assert items.get() == 0
            items.put(3)
            with contextlib.suppress(queue.Full):
                items.put(4, timeout=SHORT)
                raise AssertionError("there was room")
            assert items.get() == 3
            assert items.unfinished_tasks == 2
            joining = Waiting(items.join)
            items.task_done()
            items.task_done()
            joining.result()
        if IS_STOCK:
            # A wake-up may be for one of the dead.
            return
        for items in (*empty, *full):
            assert items.empty()
            if items in full:
                putting = Waiting(lambda items=items: [items.put(n) for n in range(3)])
                assert sorted(items.get() for _ in range(3)) == [0, 1, 2]
                putting.result()
            else:
                use_queue(items)

    return check


def in_motion(items: Any, make: Any) -> None:
    """Two threads that put and get, at times more than there is room for."""

    def work() -> None:
        with contextlib.suppress(queue.Full, queue.Empty):
            items.put(make(time.monotonic_ns() % 1000), timeout=SHORT)
        with contextlib.suppress(queue.Empty, ValueError):
            items.get(timeout=SHORT)
            if hasattr(items, "task_done"):
                items.task_done()

    all_the_time(work)


@case
def queues_in_motion() -> Check:
    free = [getattr(queue, name)() for name in NAMES]
    limited = [getattr(queue, name)(1) for name in LIMITED]
    slow = queue.PriorityQueue(4)
    for items in (*free, *limited):
        in_motion(items, int)
    in_motion(slow, Slow)

    def check() -> None:
        if IS_STOCK:
            return
        for items in (*free, *limited, slow):
            while not items.empty():
                items.get()
            if items is slow:
                items.put(Slow(2))
                items.put(Slow(1))
                assert [items.get().number, items.get().number] == [1, 2]
            elif items in free:
                use_queue(items)
            else:
                items.put(0)
                assert items.full()
                assert items.get() == 0

    return check


@case
def threads_joined() -> Check:
    """Threads that are gone can be joined at once, also those that others were joining."""
    # Not by a thread that `threading` gets to know so: in a child it is forgotten under the lock of
    # the registry, which stock takes in the middle of os.fork(), even if it is held.
    one_in_parent(known[0].join)
    one_in_parent(known[0].join, LONG)
    ended = threading.Thread(target=int)
    ended.start()
    ended.join()
    fresh = threading.Thread(target=int)

    def check() -> None:
        for thread in (*known, ended):
            assert not thread.is_alive(), thread
            thread.join()
            thread.join(timeout=LONG)
        assert called(known[0].join) is None
        fresh.start()
        fresh.join()
        assert not fresh.is_alive()

    return check


@case
def threads_registered() -> Check:
    """No thread is left but the caller; those that begin and end meanwhile leave no trace."""
    reused = threading.local()

    def work() -> None:
        thread = threading.Thread(target=lambda: setattr(reused, "value", [reused]))
        thread.start()
        thread.join()
        done = low_level.allocate_lock()
        done.acquire()
        low_level.start_new_thread(done.release, ())
        done.acquire()

    all_the_time(work)

    def check() -> None:
        me = threading.current_thread()
        assert me is threading.main_thread()
        assert threading.enumerate() == [me]
        assert threading.active_count() == 1
        assert list(threading._active) == [threading.get_ident()]
        assert not threading._limbo
        before = low_level._count()
        assert called(low_level._count) == before + 1
        assert called(threading.active_count) == 2
        work()
        assert threading.enumerate() == [me]

    return check


class Value:
    """Something that can be seen to go."""


@case
def values_of_threads() -> Check:
    """Those of the others cannot be seen, and one's own go with their objects."""
    local = threading.local()
    keys: list[Any] = []
    if not IS_STOCK:
        from rthread import TSS

        keys.append(TSS())
        keys[0].create()

    def fill() -> None:
        local.value = Value()
        for key in keys:
            key.set(Value())

    def fill_and_stay() -> None:
        fill()
        never.wait()

    def fill_and_end() -> None:
        thread = threading.Thread(target=fill)
        thread.start()
        thread.join()

    in_parent(fill_and_stay)
    all_the_time(fill_and_end)

    def check() -> None:
        assert not hasattr(local, "value")
        assert [key.get() for key in keys] == [None for key in keys]
        fill()
        gone = [weakref.ref(local.value), *(weakref.ref(key.get()) for key in keys)]
        assert called(lambda: hasattr(local, "value") or any(key.get() for key in keys)) is False
        fill_and_end()
        del local.value
        for key in keys:
            key.set(None)
        gc.collect()
        assert [reference() for reference in gone] == [None for _ in gone]
        for key in keys:
            key.delete()
            key.create()
            assert key.get() is None

    return check


@case
def joins_in_motion() -> Check:
    """Threads that are just being started, are ending, and are joined by several others."""
    # One for each of the threads at work. Not one for all: without a GIL a list has a lock of its
    # own, which may be on its way to a thread that is no more in the child.
    slots: list[list[Any]] = []

    def start_and_join() -> Check:
        slot: list[Any] = [known[0]]
        slots.append(slot)

        def work() -> None:
            slot[0] = thread = threading.Thread(target=pause)
            thread.start()
            other = threading.Thread(target=thread.join)
            other.start()
            thread.join(SHORT)
            other.join()

        return work

    for _ in range(2):
        all_the_time(start_and_join(), threads=1)

    def check() -> None:
        for slot in slots:
            # It has an ident before it says that it runs, and may be cut off in between.
            if slot[0]._started.is_set():
                slot[0].join()
            assert not slot[0].is_alive()
        start_and_join()()

    return check
