"""shutdown, which stock has from 3.13 on, and rthread on every version."""

from __future__ import annotations

from typing import Any

import pytest
from kits import SHORT, Kit

from support import HANG


@pytest.fixture
def kit(shut_kit: Kit) -> Kit:
    return shut_kit


@pytest.fixture(params=["Queue", "LifoQueue", "PriorityQueue"])
def make(kit: Kit, request: pytest.FixtureRequest) -> Any:
    return getattr(kit.queue, request.param)


def ways_to_put(q: Any) -> list[Any]:
    return [
        lambda: q.put(1),
        lambda: q.put(1, False),
        lambda: q.put(1, True, SHORT),
        lambda: q.put(1, timeout=-1),
        lambda: q.put_nowait(1),
    ]


def ways_to_get(q: Any) -> list[Any]:
    return [
        q.get,
        q.get_nowait,
        lambda: q.get(False),
        lambda: q.get(True, SHORT),
        lambda: q.get(timeout=-1),
    ]


@pytest.mark.parametrize("immediate", [False, True])
def test_nothing_goes_in_or_out_any_more(kit: Kit, make: Any, immediate: bool) -> None:
    q = make()
    assert q.is_shutdown is False
    assert q.shutdown(immediate) is None
    assert q.is_shutdown is True
    for call in [*ways_to_put(q), *ways_to_get(q)]:
        with pytest.raises(kit.queue.ShutDown) as caught:
            call()
        assert caught.value.args == ()
    assert q.qsize() == q.unfinished_tasks == 0
    q.shutdown(immediate=immediate)
    assert q.join() is None


def test_what_is_in_may_be_taken_out(kit: Kit, make: Any) -> None:
    q = make()
    for _ in range(3):
        q.put(1)
    q.shutdown()
    with pytest.raises(kit.queue.ShutDown):
        q.put(1)
    assert [q.get(), q.get(timeout=SHORT), q.get_nowait()] == [1, 1, 1]
    for call in ways_to_get(q):
        with pytest.raises(kit.queue.ShutDown):
            call()
    assert q.unfinished_tasks == 3


def test_immediate_drops_what_is_in(kit: Kit, make: Any) -> None:
    q = make()
    for _ in range(3):
        q.put(1)
    q.get()
    q.shutdown(immediate=True)
    assert q.qsize() == 0
    # The one that was taken is still to be done.
    assert q.unfinished_tasks == 1
    for call in ways_to_get(q):
        with pytest.raises(kit.queue.ShutDown):
            call()
    q.task_done()
    assert q.join() is None


def test_immediate_after_the_other(kit: Kit, make: Any) -> None:
    q = make()
    q.put(1)
    q.shutdown()
    assert q.qsize() == 1
    q.shutdown(True)
    assert q.qsize() == 0
    with pytest.raises(kit.queue.ShutDown):
        q.get()


@pytest.mark.parametrize("immediate", [False, True])
@pytest.mark.parametrize("timeout", [None, HANG])
def test_getters_are_woken(kit: Kit, make: Any, immediate: bool, timeout: float | None) -> None:
    q = make()
    with kit.workers(3) as crew:
        pendings = [worker.block(q.get, True, timeout) for worker in crew]
        q.shutdown(immediate)
        for pending in pendings:
            with pytest.raises(kit.queue.ShutDown):
                pending.result()
    assert q.qsize() == 0


@pytest.mark.parametrize("immediate", [False, True])
@pytest.mark.parametrize("timeout", [None, HANG])
def test_putters_are_woken(kit: Kit, make: Any, immediate: bool, timeout: float | None) -> None:
    q = make(1)
    q.put("in")
    with kit.workers(3) as crew:
        pendings = [worker.block(q.put, "late", True, timeout) for worker in crew]
        q.shutdown(immediate)
        for pending in pendings:
            with pytest.raises(kit.queue.ShutDown):
                pending.result()
    assert q.qsize() == (0 if immediate else 1)
    assert q.unfinished_tasks == (0 if immediate else 1)
    if not immediate:
        assert q.get() == "in"


def test_join_ends_when_all_is_dropped(kit: Kit, make: Any) -> None:
    q = make()
    q.put(1)
    with kit.workers(2) as crew:
        pendings = [worker.block(q.join) for worker in crew]
        q.shutdown(immediate=True)
        assert [pending.result() for pending in pendings] == [None, None]


def test_join_goes_on_while_something_is_to_be_done(kit: Kit, make: Any) -> None:
    q = make()
    q.put(1)
    q.put(2)
    q.get()
    with kit.workers(1) as [joiner]:
        pending = joiner.block(q.join)
        q.shutdown()
        assert not pending.is_done()
        q.shutdown(immediate=True)
        assert not pending.is_done()
        q.task_done()
        assert pending.result() is None


def test_it_can_be_opened_again_by_hand(kit: Kit, make: Any) -> None:
    q = make()
    q.shutdown()
    q.is_shutdown = False
    q.put(1)
    assert q.get() == 1


def test_a_subclass_drops_by_its_own_get(kit: Kit, make: Any) -> None:
    taken: list[Any] = []

    class Child(make):  # type: ignore[misc]
        def _get(self) -> Any:
            taken.append(super()._get())
            return taken[-1]

    q = Child()
    q.put(1)
    q.put(2)
    q.shutdown(immediate=True)
    assert sorted(taken) == [1, 2]


def test_the_error(kit: Kit) -> None:
    assert kit.queue.ShutDown.__bases__ == (Exception,)
    assert "ShutDown" in kit.queue.__all__


def test_a_simple_queue_has_none(kit: Kit) -> None:
    assert not hasattr(kit.queue.SimpleQueue(), "shutdown")


def test_a_crowd_is_sent_home(kit: Kit, make: Any) -> None:
    """Whatever they were doing at that moment; each item was either taken or is left."""
    q = make(2)
    put, got = [0] * 3, [0] * 3

    def produce(number: int) -> None:
        while True:
            q.put(number)
            put[number] += 1

    def consume(number: int) -> None:
        while True:
            q.get()
            got[number] += 1
            q.task_done()

    with kit.workers(6) as crew:
        pendings = [crew[number].submit(produce, number) for number in range(3)]
        pendings += [crew[number + 3].submit(consume, number) for number in range(3)]
        while min(got) < 1 or sum(put) < 300:
            kit.threading.Event().wait(SHORT)
        q.shutdown()
        for pending in pendings:
            with pytest.raises(kit.queue.ShutDown):
                pending.result()
    assert sum(put) == sum(got)
    assert q.unfinished_tasks == 0
