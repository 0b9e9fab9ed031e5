"""``_is_stock_class``: which classes are the interpreter's own, and as it made them."""

from __future__ import annotations

import _thread
import contextlib
import copy
import functools
import importlib.util
import queue
import threading
import types
from collections.abc import Iterator
from typing import Any

import pytest

from rthread import _native, _rthread, _stock
from rthread._stock import _is_stock_class

QUEUES = ("Queue", "LifoQueue", "PriorityQueue", "SimpleQueue")
STOCK = [
    *((threading, name) for name in (*_native.THREADING, "Thread", "Timer", "BrokenBarrierError")),
    *((queue, name) for name in QUEUES),
]


def fresh(module: types.ModuleType) -> Any:
    """Another copy of a module, which a test may change, from the same source."""
    spec = importlib.util.find_spec(module.__name__)
    assert spec is not None
    assert spec.loader is not None
    copied = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(copied)
    return copied


@pytest.fixture
def changed() -> Any:
    return fresh(queue)


@pytest.mark.parametrize(("module", "name"), STOCK)
def test_stock_classes(module: Any, name: str) -> None:
    cls = getattr(module, name)
    assert _is_stock_class(cls, module)
    evidence = _stock.Dependencies()
    assert evidence.explain(cls, module)[0] is None
    # A thread uses threading.excepthook, which pytest replaces.
    assert evidence.fits(cls, module) or name in ("Thread", "Timer")


def test_class_of_which_an_object_was_copied(changed: Any) -> None:
    with contextlib.suppress(TypeError):
        copy.copy(changed.Queue())
    assert "__slotnames__" in vars(changed.Queue)
    assert _is_stock_class(changed.Queue, changed)


def test_class_with_slots(changed: Any) -> None:
    """As threading has them from 3.15 on."""
    source = "class Slotted:\n    __slots__ = ('put',)\n    def get(self): return self.put"
    exec(compile(source, changed.Queue.put.__code__.co_filename, "exec"), vars(changed))
    assert _is_stock_class(changed.Slotted, changed)
    changed.Queue.put = changed.Slotted.put
    assert not _is_stock_class(changed.Queue, changed)


@pytest.mark.parametrize("name", ["LockType", "RLock", "_local"])
def test_stock_types(name: str) -> None:
    assert _is_stock_class(getattr(_thread, name), _thread)
    assert _stock.is_stock_object(getattr(_thread, name), name, _thread)


def test_stock_functions() -> None:
    for name, value in vars(_thread).items():
        if callable(value) and name[:2] != "__" and name not in ("error", "_ExceptHookArgs"):
            assert _stock.is_stock_object(value, name, _thread), name
            wrapper = types.FunctionType((lambda: None).__code__, {}, name)
            wrapper.__module__ = "_thread"
            assert not _stock.is_stock_object(wrapper, name, _thread), name
    assert not _stock.is_stock_object(_thread.get_ident, "get_native_id", _thread)
    assert not _stock.is_stock_object(_rthread.get_ident, "get_ident", _thread)


@pytest.mark.parametrize(
    "value", [None, 1, len, lambda: 0, threading, type, object, dict, functools.partial(int)]
)
def test_other_objects(value: object) -> None:
    assert not _is_stock_class(value, threading)
    assert not _is_stock_class(value, queue)


def test_native_classes_are_not_stock() -> None:
    for _old, new in _native.in_threading():
        assert not _is_stock_class(new, threading)


def _wrapped(function: Any) -> Any:
    # A type that is asked for its annotations has some from then on, which other tests would see.
    like = (lambda: None) if type(function) is type else function

    @functools.wraps(like)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        return function(*args, **kwargs)

    return wrapper


class _Compiled:
    def __init__(self, function: Any) -> None:
        functools.update_wrapper(self, function)
        self.__code__ = function.__code__


def _changes() -> Iterator[tuple[str, Any]]:
    def change(label: str) -> Any:
        return lambda function: changes.append((label, function))

    changes: list[tuple[str, Any]] = []

    @change("wrapped")
    def _(cls: Any, names: Any) -> None:
        cls.put = _wrapped(cls.put)

    @change("wrapped and renamed")
    def _(cls: Any, names: Any) -> None:
        cls.put = wrapper = _wrapped(cls.put)
        wrapper.__qualname__, wrapper.__module__ = "Queue.put", "queue"
        wrapper.__code__ = wrapper.__code__.replace(co_name="put")
        del wrapper.__wrapped__

    @change("in the module's namespace, from another file")
    def _(cls: Any, names: Any) -> None:
        exec(compile("def put(self, item): pass", "tool.py", "exec"), names)
        cls.put = names.pop("put")

    @change("other code")
    def _(cls: Any, names: Any) -> None:
        cls.put.__code__ = (lambda self, item: None).__code__

    @change("another of the same class")
    def _(cls: Any, names: Any) -> None:
        cls.put = cls.get

    @change("one of another class")
    def _(cls: Any, names: Any) -> None:
        cls._init = names["LifoQueue"]._init

    @change("added method")
    def _(cls: Any, names: Any) -> None:
        cls.peek = lambda self: None

    @change("added datum")
    def _(cls: Any, names: Any) -> None:
        cls.traced = True

    @change("added property")
    def _(cls: Any, names: Any) -> None:
        cls.traced = property(lambda self: 1)

    @change("static method")
    def _(cls: Any, names: Any) -> None:
        cls.task_done = staticmethod(lambda: None)

    @change("static method of its own")
    def _(cls: Any, names: Any) -> None:
        cls.unfinished = staticmethod(cls.join)

    @change("compiled")
    def _(cls: Any, names: Any) -> None:
        for name, value in list(vars(cls).items()):
            if isinstance(value, types.FunctionType):
                setattr(cls, name, _Compiled(value))

    @change("one compiled")
    def _(cls: Any, names: Any) -> None:
        cls.put = _Compiled(cls.put)

    @change("builtin")
    def _(cls: Any, names: Any) -> None:
        cls._qsize = len

    @change("partial")
    def _(cls: Any, names: Any) -> None:
        cls.put = functools.partial(cls.put)

    return iter(changes)


@pytest.mark.parametrize("change", [pytest.param(f, id=label) for label, f in _changes()])
def test_changed_class(change: Any, changed: Any) -> None:
    assert _is_stock_class(changed.Queue, changed)
    assert _is_stock_class(changed.LifoQueue, changed)
    change(changed.Queue, vars(changed))
    assert not _is_stock_class(changed.Queue, changed)
    # A class is not stock's if its base is not.
    assert not _is_stock_class(changed.LifoQueue, changed)
    assert _stock.Dependencies().explain(changed.Queue, changed)[0] is not None
    assert _is_stock_class(queue.Queue, queue)


def test_classes_in_disguise(changed: Any) -> None:
    stock = changed.Queue
    for cls in (
        type("Queue", (stock,), {"__module__": "queue"}),
        type("Queue", (), {"__module__": "queue"}),
        type("Queue", (stock,), {"__module__": "queue", "put": stock.put}),
        type("Queue", (stock,), {**vars(stock), "put": lambda self, item: None}),
        type("Meta", (type,), {})("Queue", (), {"__module__": "queue"}),
        copy.copy(types.SimpleNamespace(__module__="queue", __qualname__="Queue")),
    ):
        changed.Queue = cls
        assert not _is_stock_class(cls, changed)


def test_other_base(changed: Any) -> None:
    assert _is_stock_class(changed.LifoQueue, changed)
    changed.LifoQueue.__bases__ = (type("Base", (changed.Queue,), {}),)
    assert not _is_stock_class(changed.LifoQueue, changed)


@pytest.mark.parametrize("name", ["Lock", "Condition"])
def test_dependencies(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(threading, name, _wrapped(getattr(threading, name)))
    evidence = _stock.Dependencies()
    assert _is_stock_class(queue.Queue, queue)
    found = evidence.foreign(queue.Queue, queue)
    assert found is not None
    assert found[0] == f"threading.{name}"
    assert found[1] is getattr(threading, name)
    assert not evidence.fits(queue.LifoQueue, queue)
    assert not evidence.fits(threading.Event, threading)
    assert evidence.fits(threading.Condition, threading) is (name == "Lock")


@pytest.mark.parametrize("name", ["_time", "_allocate_lock", "_deque", "RLock", "_CRLock"])
def test_helpers_of_condition(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if name == "_time" and not hasattr(threading, name):
        pytest.skip("no such helper in this version")
    assert _stock.Dependencies().fits(threading.Condition, threading)
    monkeypatch.setattr(threading, name, _wrapped(getattr(threading, name)))
    assert not _stock.Dependencies().fits(threading.Condition, threading)


def test_one_lock_for_another(monkeypatch: pytest.MonkeyPatch) -> None:
    """Both come from _thread, and yet a Condition is not to be given a lock for an RLock."""
    monkeypatch.setattr(threading, "_CRLock", _thread.allocate_lock)
    assert not _stock.Dependencies().fits(threading.Condition, threading)
    monkeypatch.undo()
    monkeypatch.setattr(threading, "Lock", _thread.RLock)
    assert not _stock.Dependencies().fits(threading.Event, threading)


def test_module_of_frozen_code() -> None:
    """Without a __file__, and with names of files that are nowhere."""
    source = importlib.util.find_spec("queue")
    assert source is not None
    assert source.loader is not None
    text = source.loader.get_source("queue")  # type: ignore[attr-defined]
    module: Any = types.ModuleType("queue")
    exec(compile(text, "<frozen queue>", "exec"), vars(module))
    assert _is_stock_class(module.Queue, module)
    module.Queue.put = _wrapped(module.Queue.put)
    assert not _is_stock_class(module.Queue, module)


def test_origins() -> None:
    assert _stock.origin(_wrapped(_thread.get_ident)) == __name__
    assert _stock.origin(threading.Event) == "threading"
    assert _stock.origin(_thread.get_ident) == "_thread"
    assert _stock.origin(_Compiled) == __name__
    assert _stock.origin(_Compiled(_wrapped)) == __name__
    assert _stock.origin(threading.Event().set) == "threading"
    assert _stock.origin(functools.partial(int)) == "functools"

    class Proxy:
        def __getattribute__(self, name: str) -> Any:
            raise RuntimeError(name)

    assert _stock.origin(Proxy()) == __name__
