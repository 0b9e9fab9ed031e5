"""The queue classes: order, limits, time-outs, task_done and join, subclasses."""

from __future__ import annotations

import queue as stock_queue
import random
import time
from types import GenericAlias
from typing import Any

import pytest
from kits import QUEUES, SHORT, Kit, gives_up

from support import HANG

ORDERED = ["Queue", "LifoQueue", "PriorityQueue"]


@pytest.fixture(params=QUEUES)
def make(kit: Kit, request: pytest.FixtureRequest) -> Any:
    """Each of the four classes."""
    return getattr(kit.queue, request.param)


@pytest.fixture(params=ORDERED)
def bounded(kit: Kit, request: pytest.FixtureRequest) -> Any:
    """Each of the three that can be full."""
    return getattr(kit.queue, request.param)


def drain(q: Any) -> list[Any]:
    items = []
    while not q.empty():
        items.append(q.get_nowait())
    return items


# Order


def test_the_order_of_each(kit: Kit) -> None:
    items = [3, 1, 2, 1]
    expected = {
        "Queue": [3, 1, 2, 1],
        "SimpleQueue": [3, 1, 2, 1],
        "LifoQueue": [1, 2, 1, 3],
        "PriorityQueue": [1, 1, 2, 3],
    }
    for name, order in expected.items():
        q = getattr(kit.queue, name)()
        for item in items:
            assert q.put(item) is None
        assert q.qsize() == 4
        assert drain(q) == order
        assert q.qsize() == 0


def test_a_priority_queue_sorts(kit: Kit) -> None:
    """As heapq does, put and get in any order, items of equal rank included."""
    rng = random.Random(5)
    for _ in range(20):
        q, stock = kit.queue.PriorityQueue(), stock_queue.PriorityQueue()  # type: ignore[var-annotated]
        for number in range(200):
            if rng.random() < 0.6 or stock.empty():
                item = (rng.randrange(20), number)
                q.put(item)
                stock.put(item)
            else:
                assert q.get() == stock.get()
        assert drain(q) == drain(stock)


def test_a_priority_queue_asks_by_less_than_alone(kit: Kit) -> None:
    class Rank:
        def __init__(self, rank: int) -> None:
            self.rank = rank

        def __lt__(self, other: Any) -> bool:
            return bool(self.rank < other.rank)

    q = kit.queue.PriorityQueue()
    for rank in (2, 0, 1):
        q.put(Rank(rank))
    assert [item.rank for item in drain(q)] == [0, 1, 2]


def test_items_that_are_false(make: Any) -> None:
    for item in (None, 0, "", (), False, [], {}):
        q = make()
        q.put(item)
        assert not q.empty()
        assert q.qsize() == 1
        assert q.get() is item
        assert q.empty()


def test_what_is_put_in_comes_out(make: Any) -> None:
    item = object()
    q = make()
    q.put(item)
    assert q.get() is item
    q.put_nowait(item)
    assert q.get_nowait() is item


# Limits


@pytest.mark.parametrize("maxsize", [0, -1, -(2**70)])
def test_no_limit(bounded: Any, maxsize: int) -> None:
    q = bounded(maxsize)
    for number in range(1000):
        q.put(number)
    assert not q.full()
    assert q.qsize() == 1000


@pytest.mark.parametrize("maxsize", [1, 3, True, 2.5])
def test_a_limit(kit: Kit, bounded: Any, maxsize: Any) -> None:
    q = bounded(maxsize)
    assert q.maxsize is maxsize
    room = {1: 1, 3: 3, 2.5: 3}[maxsize]
    for number in range(room):
        assert not q.full()
        q.put(number)
    assert q.full()
    for put in (
        lambda: q.put(9, False),
        lambda: q.put(9, block=0),
        lambda: q.put_nowait(9),
        lambda: q.put(9, timeout=0),
        lambda: q.put(9, True, SHORT),
    ):
        with pytest.raises(kit.queue.Full) as caught:
            put()
        assert caught.value.args == ()
    assert q.qsize() == room == q.unfinished_tasks
    q.get()
    q.put(7)
    assert q.full()


def test_the_limit_may_be_moved(kit: Kit, bounded: Any) -> None:
    q = bounded(1)
    q.put(1)
    q.maxsize = 2
    q.put(2)
    assert q.full()
    q.maxsize = 0
    assert not q.full()
    q.put(3)
    q.maxsize = 1
    with pytest.raises(kit.queue.Full):
        q.put(4, timeout=SHORT)
    assert q.qsize() == 3


@pytest.mark.parametrize("maxsize", ["1", None, ()])
def test_a_limit_that_is_no_number(bounded: Any, maxsize: Any) -> None:
    """It is not looked at before the first put."""
    q = bounded(maxsize)
    assert q.maxsize is maxsize
    with pytest.raises(TypeError, match="'>' not supported between instances of "):
        q.put(1)
    with pytest.raises(TypeError, match="'<' not supported between instances of "):
        q.full()
    assert q.empty()


def test_a_simple_queue_has_no_limit(kit: Kit) -> None:
    q = kit.queue.SimpleQueue()
    # It takes the arguments of a queue and ignores them.
    q.put(1, False, -1)
    q.put(2, block=True, timeout=5)
    assert drain(q) == [1, 2]
    with pytest.raises(TypeError):
        kit.queue.SimpleQueue(1)
    assert not hasattr(q, "maxsize")


# Waiting


def test_get_waits_for_a_put(kit: Kit, make: Any) -> None:
    q = make()
    with kit.workers(1) as [getter]:
        for number, way in enumerate([(), (True,), (True, None), (1, HANG), (True, 1e6)]):
            pending = getter.block(q.get, *way)
            q.put(number)
            assert pending.result() == number


def test_put_waits_for_a_get(kit: Kit, bounded: Any) -> None:
    q = bounded(1)
    with kit.workers(1) as [putter]:
        q.put("first")
        for number, way in enumerate([(), (True,), (True, None), (1, HANG), (True, 1e6)]):
            pending = putter.block(q.put, str(number), *way)
            assert q.qsize() == 1
            assert q.get() in ("first", str(number - 1))
            assert pending.result() is None


def test_several_wait_and_each_gets_one(kit: Kit, make: Any) -> None:
    q = make()
    with kit.workers(4) as crew:
        pendings = [worker.block(q.get) for worker in crew]
        for number in range(4):
            q.put(number)
        assert sorted(pending.result() for pending in pendings) == [0, 1, 2, 3]
    assert q.empty()


@pytest.mark.parametrize("timeout", [0, 0.0, 0.001, 0.03])
def test_get_gives_up_not_before_its_time(kit: Kit, make: Any, timeout: float) -> None:
    if not gives_up(kit, make):
        pytest.skip("the stock class may wait for ever here")
    q = make()
    start = time.monotonic()
    with pytest.raises(kit.queue.Empty) as caught:
        q.get(timeout=timeout)
    assert time.monotonic() - start >= timeout
    assert caught.value.args == ()
    q.put(1)
    assert q.get(timeout=timeout) == 1


def test_put_gives_up_not_before_its_time(kit: Kit, bounded: Any) -> None:
    q = bounded(1)
    q.put(1)
    start = time.monotonic()
    with pytest.raises(kit.queue.Full):
        q.put(2, timeout=0.03)
    assert time.monotonic() - start >= 0.03
    assert drain(q) == [1]


def test_without_waiting(kit: Kit, make: Any) -> None:
    q = make()
    for get in (q.get_nowait, lambda: q.get(False), lambda: q.get(block=False, timeout=-5)):
        with pytest.raises(kit.queue.Empty):
            get()


NEGATIVE = "^'timeout' must be a non-negative number$"


def test_a_negative_time_out(kit: Kit, make: Any) -> None:
    """An error even where there is nothing to wait for."""
    q = make()
    q.put(1)
    for timeout in (-1, -0.001, -5.5):
        with pytest.raises(ValueError, match=NEGATIVE):
            q.get(timeout=timeout)
        with pytest.raises(ValueError, match=NEGATIVE):
            q.get(True, timeout)
    assert q.get(False, -1) == 1


def test_a_negative_time_out_of_put(bounded: Any) -> None:
    """It is looked at only where there is a limit."""
    q = bounded(5)
    with pytest.raises(ValueError, match=NEGATIVE):
        q.put(1, timeout=-1)
    q.put(1, False, timeout=-1)
    unlimited = bounded()
    unlimited.put(1, timeout=-1)
    assert q.qsize() == unlimited.qsize() == 1


@pytest.mark.parametrize("timeout", ["1", (), object()])
def test_a_time_out_of_the_wrong_type(kit: Kit, make: Any, timeout: Any) -> None:
    q = make()
    with pytest.raises(TypeError):
        q.get(timeout=timeout)
    with pytest.raises(kit.queue.Empty):
        q.get(False, timeout)
    q.put(1)
    assert q.get(False) == 1


def test_one_that_gave_up_does_not_swallow_an_item(kit: Kit, make: Any) -> None:
    if not gives_up(kit, make, alone=False):
        pytest.skip("the stock class may wait for ever here")
    for round_number in range(40):
        q = make()
        with kit.workers(2) as [hasty, patient]:

            def get(timeout: float, q: Any = q) -> Any:
                try:
                    return q.get(True, timeout)
                except kit.queue.Empty:
                    return None

            first = hasty.submit(get, 0.0005 * (round_number % 5))
            second = patient.submit(get, HANG)
            q.put("item")
            if first.result() is not None:
                q.put("item")
            assert second.result() == "item"
        assert q.empty()


# task_done and join


def test_task_done(bounded: Any) -> None:
    q = bounded()
    words = r"^task_done\(\) called too many times$"
    with pytest.raises(ValueError, match=words):
        q.task_done()
    q.put(1)
    q.put(2)
    assert q.unfinished_tasks == 2
    q.get()
    assert q.unfinished_tasks == 2
    # It does not matter whether it was gotten.
    assert q.task_done() is None
    assert q.task_done() is None
    assert q.unfinished_tasks == 0
    with pytest.raises(ValueError, match=words):
        q.task_done()
    assert q.unfinished_tasks == 0


def test_join_waits_for_all_tasks(kit: Kit, bounded: Any) -> None:
    q = bounded()
    assert q.join() is None
    with kit.workers(3) as crew:
        for _ in range(5):
            q.put(1)
            q.put(2)
            pendings = [worker.block(q.join) for worker in crew]
            q.get()
            q.task_done()
            assert not any(pending.is_done() for pending in pendings)
            q.get()
            q.task_done()
            assert [pending.result() for pending in pendings] == [None] * 3


def test_unfinished_tasks_may_be_set_by_hand(kit: Kit, bounded: Any) -> None:
    q = bounded()
    q.unfinished_tasks = 2
    q.task_done()
    with kit.workers(1) as [joiner]:
        pending = joiner.block(q.join)
        q.task_done()
        assert pending.result() is None


# Shape


def test_the_module_has_the_names_of_queue(kit: Kit) -> None:
    for name in set(stock_queue.__all__) | {"Empty", "Full"}:
        assert hasattr(kit.queue, name)
        assert name in kit.queue.__all__
    assert issubclass(kit.queue.LifoQueue, kit.queue.Queue)
    assert issubclass(kit.queue.PriorityQueue, kit.queue.Queue)
    assert not issubclass(kit.queue.SimpleQueue, kit.queue.Queue)
    # What is caught in one part of a program is raised in another.
    assert kit.queue.Empty is stock_queue.Empty
    assert kit.queue.Full is stock_queue.Full
    if hasattr(stock_queue, "ShutDown"):
        assert kit.queue.ShutDown is stock_queue.ShutDown


def test_class_getitem(make: Any) -> None:
    alias = make[int]
    assert isinstance(alias, GenericAlias)
    assert alias.__origin__ is make
    assert alias.__args__ == (int,)
    q = alias()
    assert type(q) is make
    q.put(1)
    assert q.get() == 1


def test_wrong_arguments(make: Any) -> None:
    q = make()
    for call in (
        lambda: q.put(),
        lambda: q.put(1, 2, 3, 4),
        lambda: q.put(spam=1),
        lambda: q.get(1, 2, 3),
        lambda: q.get(spam=1),
        lambda: q.put_nowait(),
        lambda: q.get_nowait(1),
        lambda: q.qsize(1),
        lambda: q.empty(1),
        lambda: make(spam=1),
        lambda: make(1, 2),
    ):
        with pytest.raises(TypeError):
            call()
    q.put(item=1, block=True, timeout=None)
    assert q.get(block=True, timeout=None) == 1
