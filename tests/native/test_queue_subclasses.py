"""Queues with private attributes that a program overrides or uses, as real programs do."""

from __future__ import annotations

import collections
import heapq
from typing import Any

import pytest
from kits import SHORT, Kit

from support import HANG, wait_until


@pytest.fixture(params=["Queue", "LifoQueue", "PriorityQueue"])
def make(kit: Kit, request: pytest.FixtureRequest) -> Any:
    return getattr(kit.queue, request.param)


def drain(q: Any) -> list[Any]:
    return [q.get(timeout=HANG) for _ in range(q.qsize())]


# Subclasses that override the hooks


def test_a_set(kit: Kit) -> None:
    class SetQueue(kit.queue.Queue):  # type: ignore[misc, name-defined]
        def _init(self, maxsize: int) -> None:
            self.seen_maxsize = maxsize
            self.queue: set[int] = set()

        def _put(self, item: int) -> None:
            self.queue.add(item)

        def _get(self) -> int:
            return self.queue.pop()

    q = SetQueue(3)
    assert q.seen_maxsize == q.maxsize == 3
    for item in (1, 1, 1, 2, 2):
        q.put(item)
    assert q.qsize() == 2
    # As many as were put, whatever became of them.
    assert q.unfinished_tasks == 5
    assert sorted(drain(q)) == [1, 2]
    with kit.workers(1) as [getter]:
        pending = getter.block(q.get)
        q.put(9)
        assert pending.result() == 9


@pytest.mark.parametrize("hook", ["_init", "_put", "_get", "_qsize"])
def test_a_single_hook(kit: Kit, make: Any, hook: str) -> None:
    """The others are the class's own, and work on `self.queue`."""
    calls: list[Any] = []

    def override(self: Any, *args: Any) -> Any:
        calls.append(args)
        return getattr(super(Child, self), hook)(*args)

    Child = type("Child", (make,), {hook: override})
    q: Any = Child(2)
    q.put(1)
    q.put(2)
    with pytest.raises(kit.queue.Full):
        q.put(3, timeout=SHORT)
    assert sorted(drain(q)) == [1, 2]
    with pytest.raises(kit.queue.Empty):
        q.get_nowait()
    assert calls
    if hook == "_put":
        assert calls == [(1,), (2,)]
    if hook == "_init":
        assert calls == [(2,)]


def test_the_hooks_run_with_the_mutex_held(kit: Kit, make: Any) -> None:
    held: list[bool] = []

    class Child(make):  # type: ignore[misc]
        def _put(self, item: Any) -> None:
            held.append(self.mutex.locked())
            super()._put(item)

        def _get(self) -> Any:
            held.append(self.mutex.locked())
            return super()._get()

        def _qsize(self) -> Any:
            held.append(self.mutex.locked())
            return super()._qsize()

    q = Child(1)
    q.put(1)
    q.full()
    q.empty()
    assert q.get() == 1
    assert q.qsize() == 0
    assert set(held) == {True}
    assert not q.mutex.locked()


@pytest.mark.parametrize("hook", ["_put", "_get", "_qsize"])
def test_a_hook_that_raises_leaves_nothing_locked(kit: Kit, make: Any, hook: str) -> None:
    ill = False

    def override(self: Any, *args: Any) -> Any:
        if ill:
            raise ZeroDivisionError(hook)
        return getattr(super(Child, self), hook)(*args)

    Child = type("Child", (make,), {hook: override})
    q: Any = Child(5)
    q.put(1)
    ill = True
    with pytest.raises(ZeroDivisionError, match=hook):
        {"_put": lambda: q.put(2), "_get": q.get, "_qsize": q.qsize}[hook]()
    ill = False
    assert q.unfinished_tasks == 1
    q.put(2)
    with kit.workers(1) as [other]:
        assert sorted(other.do(drain, q)) == [1, 2]


def test_overridden_put_and_get(make: Any) -> None:
    """The other ways in and out go through them by name."""
    calls: list[Any] = []

    class Child(make):  # type: ignore[misc]
        def put(self, item: Any, block: bool = True, timeout: float | None = None) -> None:
            calls.append(("put", block, timeout))
            super().put(item, block, timeout)

        def get(self, block: bool = True, timeout: float | None = None) -> Any:
            calls.append(("get", block, timeout))
            return super().get(block, timeout)

    q = Child()
    q.put_nowait(1)
    assert q.get_nowait() == 1
    assert calls == [("put", False, None), ("get", False, None)]


def test_overridden_qsize(make: Any) -> None:
    """Only a name for others: the queue itself asks `_qsize`."""

    class Child(make):  # type: ignore[misc]
        def qsize(self) -> int:
            return 77

    q = Child(1)
    assert q.qsize() == 77
    assert q.empty()
    assert not q.full()
    q.put(1)
    assert q.get() == 1


def test_a_subclass_with_an_init_of_its_own(make: Any) -> None:
    class Child(make):  # type: ignore[misc]
        def __init__(self, name: str, *args: Any) -> None:
            super().__init__(*args)
            self.name = name

    q = Child("name", 1)
    assert (q.name, q.maxsize) == ("name", 1)
    q.put(1)
    assert q.full()


# Reaching in


def test_what_is_inside(make: Any) -> None:
    q = make()
    expected: Any = collections.deque() if make.__name__ == "Queue" else []
    assert type(q.queue) is type(expected)
    for item in (3, 1, 2):
        q.put(item)
        if make.__name__ == "PriorityQueue":
            heapq.heappush(expected, item)
        else:
            expected.append(item)
    assert q.queue == expected
    assert q.queue is q.queue


def test_the_mutex_keeps_all_other_threads_out(kit: Kit, make: Any) -> None:
    q = make()
    q.put(1)
    with kit.workers(4) as crew:
        with q.mutex:
            pendings = [
                crew[0].block(q.put, 2),
                crew[1].block(q.qsize),
                crew[2].block(q.task_done),
                crew[3].block(q.get),
            ]
            assert not any(pending.is_done() for pending in pendings)
            assert len(q.queue) == 1
        for pending in pendings:
            pending.result()
    assert q.qsize() == 1
    assert not q.mutex.locked()


def test_a_queue_can_be_cleared_under_its_mutex(kit: Kit, make: Any) -> None:
    """The usual way to empty a queue."""
    q = make()
    for number in range(5):
        q.put(number)
    with kit.workers(1) as [joiner]:
        pending = joiner.block(q.join)
        with q.mutex:
            q.queue.clear()
            q.unfinished_tasks = 0
            q.all_tasks_done.notify_all()
        assert pending.result() is None
    assert q.empty()
    q.put(1)
    assert q.get() == 1


@pytest.mark.parametrize("materialized", ["before", "during"])
def test_getters_can_be_served_by_hand(kit: Kit, make: Any, materialized: str) -> None:
    q = make()
    if materialized == "before":
        assert q.mutex is q.not_empty._lock
    with kit.workers(2) as crew:
        pendings = [crew[0].block(q.get), crew[1].block(q.get, True, HANG)]
        wait_until(lambda: len(q.not_empty._waiters) == 2)
        with q.mutex:
            q.queue.append("item")
            q.not_empty.notify()
        wait_until(lambda: sum(pending.is_done() for pending in pendings) == 1)
        with q.not_empty:
            q.queue.append("item")
            q.not_empty.notify()
        assert [pending.result() for pending in pendings] == ["item", "item"]
    assert q.empty()


@pytest.mark.parametrize("materialized", ["before", "during"])
def test_putters_can_be_let_in_by_hand(kit: Kit, make: Any, materialized: str) -> None:
    q = make(1)
    if materialized == "before":
        assert q.mutex is q.not_full._lock
    q.put("first")
    with kit.workers(2) as crew:
        pendings = [crew[0].block(q.put, "item"), crew[1].block(q.put, "item", True, HANG)]
        wait_until(lambda: len(q.not_full._waiters) == 2)
        with q.mutex:
            q.queue.pop()
            q.not_full.notify()
        wait_until(lambda: sum(pending.is_done() for pending in pendings) == 1)
        assert q.get() == "item"
        assert [pending.result() for pending in pendings] == [None, None]
    assert q.get() == "item"


@pytest.mark.parametrize("name", ["mutex", "not_empty", "not_full", "all_tasks_done", "queue"])
def test_a_queue_that_is_looked_into_while_all_wait(kit: Kit, make: Any, name: str) -> None:
    """Threads that came before the look and threads that come after it are served alike."""
    q = make(1)
    with kit.workers(4) as crew:
        getters = [crew[0].block(q.get), crew[1].block(q.get, True, HANG)]
        assert getattr(q, name) is getattr(q, name)
        getters.append(crew[2].block(q.get))
        joiner_needs = q.unfinished_tasks
        assert joiner_needs == 0
        for number in range(3):
            q.put(number, timeout=HANG)
        assert sorted(pending.result() for pending in getters) == [0, 1, 2]
        joiner = crew[3].block(q.join)
        for _ in range(3):
            assert not joiner.is_done()
            q.task_done()
        assert joiner.result() is None


def test_a_timed_getter_that_is_looked_at_gives_up_in_its_time(kit: Kit, make: Any) -> None:
    q = make()
    with kit.workers(1) as [getter]:
        pending = getter.submit(q.get, True, 5 * SHORT)
        with q.mutex:
            pass
        with pytest.raises(kit.queue.Empty):
            pending.result()
    with q.mutex:
        assert len(q.not_empty._waiters) == 0


def test_the_container_may_be_replaced(kit: Kit, make: Any) -> None:
    q = make()
    q.put(1)
    q.queue = type(q.queue)([5, 6])
    assert q.qsize() == 2
    assert sorted(drain(q)) == [5, 6]


def test_the_lock_may_be_replaced(kit: Kit, make: Any) -> None:
    """For one that can be taken again, say."""
    q = make()
    q.mutex = kit.threading.RLock()
    for name in ("not_empty", "not_full", "all_tasks_done"):
        setattr(q, name, kit.threading.Condition(q.mutex))
    with q.mutex:
        q.put(1)
        assert q.get() == 1
    with kit.workers(1) as [getter]:
        pending = getter.block(q.get)
        q.put(2)
        assert pending.result() == 2


def test_a_simple_queue_has_nothing_to_reach_into(kit: Kit) -> None:
    q = kit.queue.SimpleQueue()
    for name in ("queue", "mutex", "unfinished_tasks", "_queue", "_count", "__dict__"):
        assert not hasattr(q, name)
