"""`join` with a time-out, which the interpreter's own queues do not have."""

from __future__ import annotations

import inspect
from typing import Any
from unittest import mock

import pytest
from kits import SHORT, Kit

from support import HANG


@pytest.fixture(params=["Queue", "LifoQueue", "PriorityQueue"])
def make(ours: Kit, request: pytest.FixtureRequest) -> Any:
    return getattr(ours.queue, request.param)


@pytest.fixture(params=["native", "in Python"])
def q(make: Any, request: pytest.FixtureRequest) -> Any:
    """An empty queue, and one that a program has looked into."""
    made = make()
    if request.param == "in Python":
        assert made.mutex is made.mutex
    return made


def test_without_a_time_out_it_returns_nothing(q: Any) -> None:
    for join in (q.join, lambda: q.join(None), lambda: q.join(timeout=None)):
        assert join() is None


@pytest.mark.parametrize("timeout", [0, 0.0, SHORT, 5])
def test_all_is_done(q: Any, timeout: float) -> None:
    assert q.join(timeout) is True
    assert q.join(timeout=timeout) is True


@pytest.mark.parametrize("timeout", [0, 0.0, SHORT])
def test_the_time_is_up(q: Any, timeout: float) -> None:
    q.put(1)
    assert q.join(timeout) is False
    assert q.join(timeout=timeout) is False
    assert q.unfinished_tasks == 1
    q.task_done()
    assert q.join(timeout) is True


def test_the_work_ends_within_the_time(ours: Kit, q: Any) -> None:
    q.put(1)
    with ours.workers(2) as crew:
        pendings = [crew[0].block(q.join, HANG), crew[1].block(q.join)]
        q.task_done()
        assert pendings[0].result() is True
        assert pendings[1].result() is None


@pytest.mark.parametrize("served", [True, False])
def test_looked_into_during_the_wait(ours: Kit, make: Any, served: bool) -> None:
    q = make()
    q.put(1)
    with ours.workers(1) as [joiner]:
        pending = joiner.block(q.join, HANG if served else 20 * SHORT)
        with q.mutex:
            pass
        if served:
            q.task_done()
        assert pending.result() is served
    assert len(q.all_tasks_done._waiters) == 0


def test_a_negative_time_out(q: Any) -> None:
    with pytest.raises(ValueError, match="'timeout' must be a non-negative number"):
        q.join(-1)


def test_what_is_no_time_out(q: Any) -> None:
    q.put(1)
    with pytest.raises(TypeError):
        q.join("soon")
    with pytest.raises(TypeError):
        q.join(1, 2)
    with pytest.raises(TypeError):
        q.join(seconds=1)


def test_another_clock_is_asked(q: Any) -> None:
    import queue as stock

    q.put(1)
    readings = iter([0.0, 100.0])
    with mock.patch.object(stock, "time", side_effect=readings):
        assert q.join(50) is False
    assert list(readings) == []


def test_it_looks_like_the_interpreters_own(make: Any) -> None:
    import queue as stock

    assert inspect.signature(make.join) == inspect.signature(stock.Queue.join)
    assert inspect.getdoc(make.join) == inspect.getdoc(stock.Queue.join)
    assert make.join.__qualname__ == "Queue.join"


def test_a_derived_class_that_joins_as_before(make: Any) -> None:
    class Child(make):  # type: ignore[misc]
        def join(self) -> None:
            return super().join()

    q = Child()
    assert q.join() is None
