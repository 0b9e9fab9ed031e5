"""Names, methods and attributes that programs replace where queues look for them."""

from __future__ import annotations

import heapq
import pickle
import queue as stock_queue
import time
from typing import Any
from unittest import mock

import pytest
from kits import QUEUES, SHORT, Kit

from support import HANG


@pytest.fixture(params=["Queue", "LifoQueue", "PriorityQueue"])
def make(kit: Kit, request: pytest.FixtureRequest) -> Any:
    return getattr(kit.queue, request.param)


class OtherError(Exception):
    pass


# Names of the module


@pytest.mark.parametrize("when", ["before", "after"])
def test_exceptions_are_those_of_the_module(make: Any, when: str) -> None:
    q = make(1) if when == "before" else None
    with mock.patch.object(stock_queue, "Empty", OtherError):
        q = q or make(1)
        for get in (q.get_nowait, lambda: q.get(timeout=SHORT)):
            with pytest.raises(OtherError):
                get()
    q.put(1)
    with mock.patch.object(stock_queue, "Full", OtherError):
        for put in (q.put_nowait, lambda item: q.put(item, timeout=SHORT)):
            with pytest.raises(OtherError):
                put(2)


def test_what_is_no_exception_cannot_be_raised(make: Any) -> None:
    with (
        mock.patch.object(stock_queue, "Empty", "nothing"),
        pytest.raises(TypeError, match="exceptions must derive from BaseException"),
    ):
        make().get_nowait()


def test_a_simple_queue_has_its_exception_from_the_beginning(kit: Kit) -> None:
    empty = kit.queue.Empty
    with mock.patch.object(stock_queue, "Empty", OtherError), pytest.raises(empty):
        kit.queue.SimpleQueue().get_nowait()


def test_shut_down_is_that_of_the_module(shut_kit: Kit) -> None:
    q = shut_kit.queue.Queue()
    q.shutdown()
    with (
        mock.patch.object(stock_queue, "ShutDown", OtherError, create=True),
        pytest.raises(OtherError),
    ):
        q.get()


def test_another_clock_is_asked(kit: Kit, make: Any) -> None:
    """The time is up when that clock says so."""
    q = make()
    readings = iter([0.0, 100.0, 200.0])
    asked: list[float] = []

    def clock() -> float:
        asked.append(next(readings))
        return asked[-1]

    with mock.patch.object(stock_queue, "time", clock), pytest.raises(kit.queue.Empty):
        q.get(timeout=50)
    assert asked == [0.0, 100.0]
    assert time.monotonic() > 0


def test_another_heap_is_used(kit: Kit) -> None:
    pushed: list[Any] = []

    def push(heap: list[Any], item: Any) -> None:
        pushed.append(item)
        heapq.heappush(heap, item)

    q = kit.queue.PriorityQueue()
    q.put(2)
    with mock.patch.object(stock_queue, "heappush", push):
        q.put(1)
    assert pushed == [1]
    assert [q.get(), q.get()] == [1, 2]


# Methods and attributes, of a class and of an object


@pytest.mark.parametrize("way", ["put", "get"])
@pytest.mark.parametrize("on", ["class", "object"])
def test_a_method_put_on_later_is_called_by_others(make: Any, way: str, on: str) -> None:
    class Child(make):  # type: ignore[misc]
        pass

    q = Child()
    q.put(1)
    calls: list[Any] = []

    def replaced(*args: Any, **options: Any) -> str:
        calls.append((args[-1:] if way == "put" else (), options))
        return "replaced"

    target: Any = Child if on == "class" else q
    setattr(target, way, replaced)
    if way == "put":
        assert q.put_nowait(2) == "replaced"
        assert calls == [((2,), {"block": False})]
    else:
        assert q.get_nowait() == "replaced"
        assert calls == [((), {"block": False})]
    delattr(target, way)
    assert q.get_nowait() == 1


@pytest.mark.parametrize("hook", ["_put", "_get", "_qsize"])
@pytest.mark.parametrize("on", ["class", "object"])
def test_a_hook_put_on_later(make: Any, hook: str, on: str) -> None:
    class Child(make):  # type: ignore[misc]
        pass

    q = Child()
    q.put(1)
    calls: list[Any] = []
    original = getattr(make, hook)

    def replaced(*args: Any) -> Any:
        calls.append(args)
        return original(q, *(args if on == "object" else args[1:]))

    setattr(Child if on == "class" else q, hook, replaced)
    q.put(2)
    assert {q.get(timeout=HANG), q.get(timeout=HANG)} == {1, 2}
    assert q.qsize() == 0
    assert calls


def test_a_property_over_the_limit_is_asked(kit: Kit, make: Any) -> None:
    class Child(make):  # type: ignore[misc]
        @property
        def maxsize(self) -> int:
            return 1

        @maxsize.setter
        def maxsize(self, value: int) -> None:
            pass

    q = Child(9)
    q.put(1)
    with pytest.raises(kit.queue.Full):
        q.put_nowait(2)


def test_a_property_over_the_tasks_is_asked(make: Any) -> None:
    written: list[int] = []

    class Child(make):  # type: ignore[misc]
        @property
        def unfinished_tasks(self) -> int:
            return written[-1]

        @unfinished_tasks.setter
        def unfinished_tasks(self, value: int) -> None:
            written.append(value)

    q = Child()
    q.put(1)
    q.put(2)
    q.task_done()
    assert written == [0, 1, 2, 1]


# Pickling


@pytest.mark.parametrize("name", ["Empty", "Full", "ShutDown"])
def test_the_exceptions_are_pickled(shut_kit: Kit, name: str) -> None:
    error = getattr(shut_kit.queue, name)("words")
    copied = pickle.loads(pickle.dumps(error))
    assert type(copied) is type(error)
    assert copied.args == ("words",)


@pytest.mark.parametrize("name", QUEUES)
def test_a_queue_without_memory_for_it(kit: Kit, name: str) -> None:
    """A derived class that cannot be made an object of says so; `queue` may have no lock then."""
    testcapi = pytest.importorskip("_testcapi")
    if not hasattr(testcapi, "set_nomemory"):
        pytest.skip("this interpreter cannot refuse memory")
    Child = type("Child", (getattr(kit.queue, name),), {})
    Child()
    for after in range(30):
        testcapi.set_nomemory(after, after + 1)
        try:
            Child()
        except (MemoryError, RuntimeError):
            pass
        finally:
            testcapi.remove_mem_hooks()
