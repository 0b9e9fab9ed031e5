"""Signals that come at any moment at all, with handlers that raise: nothing may be lost.

Where the stock classes are between two of their lines, an exception takes what they were about to
count. A native method has no such places, so only rthread promises this. It is called from C, by
`extend(map(…))`, so that no line of ours is in between either: what it gave is in the list.
"""

from __future__ import annotations

import itertools
import random
import signal
from collections import deque
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from kits import Interrupted, Kit, handling

from support import HANG, Worker

pytestmark = [
    pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="the OS has no interval timers"),
    pytest.mark.thread_unsafe(reason="signal handlers run in the main thread"),
]

GOAL = 200


def interrupt_often(step: Callable[[], Any]) -> int:
    """Call `step` until a signal handler has raised in it often enough; return how often."""
    raised = 0
    armed = False

    def handler(number: int, frame: object) -> None:
        nonlocal armed
        if armed:
            # Once a step: the next one may come before this is caught.
            armed = False
            raise Interrupted

    with handling(signal.SIGALRM, handler):
        signal.setitimer(signal.ITIMER_REAL, 0.0007, 0.0007)
        try:
            while raised < GOAL:
                try:
                    armed = True
                    step()
                    armed = False
                except Interrupted:
                    raised += 1
                finally:
                    armed = False
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
    return raised


def turns(count: int = 50) -> Iterator[Any]:
    return itertools.repeat(True, count)


class Until:
    """Has a worker call something over and over while the block lasts."""

    def __init__(self, worker: Worker, call: Callable[[], Any]) -> None:
        self.stop = False
        self.count = 0
        self._pending = worker.submit(self._run, call)

    def _run(self, call: Callable[[], Any]) -> None:
        pause = random.Random(1)
        import time

        while not self.stop:
            call()
            self.count += 1
            time.sleep(pause.random() * 0.0005)

    def __enter__(self) -> Any:
        return self

    def __exit__(self, *exception: object) -> None:
        self.stop = True
        self._pending.result()


@pytest.mark.parametrize("timeout", [None, 0.001, HANG])
def test_no_permit_is_lost_when_handlers_raise(ours: Kit, timeout: float | None) -> None:
    semaphore = ours.threading.Semaphore(0)
    got: deque[bool] = deque()
    with ours.workers(1) as [releaser]:
        with Until(releaser, semaphore.release) as released:
            interrupt_often(
                lambda: got.extend(map(semaphore.acquire, turns(), itertools.repeat(timeout)))
            )
    assert sum(got) > 0
    assert sum(got) + semaphore._value == released.count


@pytest.mark.parametrize("name", ["Queue", "LifoQueue", "PriorityQueue", "SimpleQueue"])
def test_no_item_is_lost_when_handlers_raise(ours: Kit, name: str) -> None:
    q = getattr(ours.queue, name)()
    got: deque[int] = deque()
    numbers = itertools.count()
    with ours.workers(1) as [putter]:
        with Until(putter, lambda: q.put(next(numbers))) as put:
            interrupt_often(lambda: got.extend(map(q.get, turns())))
    while not q.empty():
        got.append(q.get())
    assert sorted(got) == list(range(put.count))


@pytest.mark.parametrize("name", ["Queue", "LifoQueue", "PriorityQueue"])
def test_an_item_is_put_once_or_not_when_handlers_raise(ours: Kit, name: str) -> None:
    """Of a put that raised, the item is in once or not at all; other items are in once."""
    q = getattr(ours.queue, name)(1)
    done: deque[None] = deque()
    got: list[int] = []
    with ours.workers(1) as [getter]:

        def get() -> None:
            try:
                got.append(q.get(timeout=0.001))
            except ours.queue.Empty:
                pass

        with Until(getter, get):
            raised = interrupt_often(lambda: done.extend(map(q.put, itertools.repeat(1, 50))))
    assert got
    assert len(done) <= len(got) + q.qsize() == q.unfinished_tasks <= len(done) + raised


def test_an_event_works_after_handlers_that_raised(ours: Kit) -> None:
    event = ours.threading.Event()
    got: deque[bool] = deque()

    def toggle() -> None:
        event.set()
        event.clear()

    with ours.workers(1) as [setter]:
        with Until(setter, toggle):
            interrupt_often(lambda: got.extend(map(event.wait, itertools.repeat(HANG, 50))))
    assert set(got) == {True}
    assert event.wait(0) is False
    assert len(event._cond._waiters) == 0


@pytest.mark.parametrize("kind", ["Lock", "RLock"])
def test_a_condition_has_its_lock_after_handlers_that_raised(ours: Kit, kind: str) -> None:
    """However a wait ends, the lock is held again, once, and no waiter is left."""
    condition = ours.threading.Condition(getattr(ours.threading, kind)())
    got: deque[bool] = deque()

    def notify() -> None:
        with condition:
            condition.notify()

    with ours.workers(1) as [notifier]:
        condition.acquire()
        with Until(notifier, notify):
            interrupt_often(lambda: got.extend(map(condition.wait, itertools.repeat(HANG, 50))))
            assert condition._is_owned()
            assert len(condition._waiters) == 0
            condition.release()
        assert notifier.do(condition.acquire, False) is True
        notifier.do(condition.release)
    assert set(got) == {True}


def test_a_barrier_works_after_handlers_that_raised(ours: Kit) -> None:
    barrier = ours.threading.Barrier(2)
    got: deque[int] = deque()

    def wait() -> None:
        try:
            barrier.wait(0.002)
        except ours.threading.BrokenBarrierError:
            barrier.reset()

    def step() -> None:
        try:
            got.extend(map(barrier.wait, itertools.repeat(HANG, 50)))
        except ours.threading.BrokenBarrierError:
            pass

    with ours.workers(1) as [other]:
        with Until(other, wait):
            interrupt_often(step)
        assert barrier.n_waiting == 0
        barrier.reset()
        pending = other.block(barrier.wait)
        assert (barrier.wait(), pending.result()) == (1, 0)
    assert got
