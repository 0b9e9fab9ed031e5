"""What the native classes look like: docstrings, signatures, ancestors, instances."""

from __future__ import annotations

import inspect
import queue as stock_queue
import threading as stock_threading
import types
import weakref
from typing import Any

import pytest
from kits import CLASSES, QUEUES, Kit

import support

ORDERED = ("Queue", "LifoQueue", "PriorityQueue")
ALL = (*CLASSES, *QUEUES)
every = pytest.mark.parametrize("name", ALL)
python_ones = pytest.mark.parametrize("name", [*CLASSES, *ORDERED])


def ours_and_stock(ours: Kit, name: str) -> tuple[Any, Any]:
    if name in QUEUES:
        return getattr(ours.queue, name), getattr(stock_queue, name)
    return getattr(ours.threading, name), getattr(stock_threading, name)


def class_of(kit: Kit, name: str) -> Any:
    return getattr(kit.queue if name in QUEUES else kit.threading, name)


# Against the stock class. These are about rthread alone: stock is like itself.


@python_ones
def test_is_native(ours: Kit, name: str) -> None:
    mine, stock = ours_and_stock(ours, name)
    assert mine is not stock
    for method in ("set", "wait", "acquire", "release", "notify", "put", "get"):
        if hasattr(stock, method):
            # isinstance() takes a native method for a function, as inspect is to do.
            assert type(getattr(mine, method)) is not types.FunctionType, method


@every
def test_names_and_docstrings(ours: Kit, name: str) -> None:
    mine, stock = ours_and_stock(ours, name)
    assert mine.__name__ == mine.__qualname__ == stock.__name__
    assert mine.__doc__ == stock.__doc__
    for attribute, value in vars(stock).items():
        if attribute.startswith("__") and attribute not in ("__enter__", "__exit__"):
            continue
        assert hasattr(mine, attribute), attribute
        if callable(value):
            # Docstrings are cleaned of their indentation by the compiler, from 3.13 on.
            assert inspect.getdoc(getattr(mine, attribute)) == inspect.getdoc(value), attribute


@python_ones
def test_no_method_is_made_from_nothing(ours: Kit, name: str) -> None:
    kind: Any = type(class_of(ours, name).__init__)
    for make in (kind, lambda: object.__new__(kind), lambda: kind.__new__(kind)):
        with pytest.raises((TypeError, AttributeError)):
            make()


def parameters(function: Any) -> list[inspect.Parameter]:
    """All but the first: of a method written in C, `self` is positional-only."""
    return list(inspect.signature(function).parameters.values())[1:]


@python_ones
def test_signatures_are_those_of_stock(ours: Kit, name: str) -> None:
    mine, stock = ours_and_stock(ours, name)
    assert inspect.signature(mine) == inspect.signature(stock)
    methods = [
        attribute
        for attribute, value in inspect.getmembers(stock, inspect.isfunction)
        if not attribute.startswith("_")
    ]
    assert methods
    for method in methods:
        assert parameters(getattr(mine, method)) == parameters(getattr(stock, method)), method


def test_signatures_of_a_simple_queue(ours: Kit) -> None:
    mine, stock = ours_and_stock(ours, "SimpleQueue")
    for method in ("put", "get", "put_nowait", "get_nowait", "qsize", "empty"):
        assert parameters(getattr(mine, method)) == parameters(getattr(stock, method)), method


@pytest.mark.parametrize("name", ORDERED)
def test_shutdown_is_documented_on_every_version(ours: Kit, name: str) -> None:
    shutdown = getattr(ours.queue, name).shutdown
    assert [str(parameter) for parameter in parameters(shutdown)] == ["immediate=False"]
    assert "ShutDown" in shutdown.__doc__


@every
def test_methods_of_instances(ours: Kit, name: str) -> None:
    """Nothing that stock has is missing."""
    mine, stock = ours_and_stock(ours, name)
    arguments = (2,) if name == "Barrier" else ()
    public = {a for a in dir(stock(*arguments)) if not a.startswith("_")}
    assert public <= set(dir(mine(*arguments))) | set(dir(mine))


# Of both


@every
def test_weak_references(kit: Kit, name: str) -> None:
    found = kit.make(name)
    called: list[Any] = []
    reference = weakref.ref(found, called.append)
    assert reference() is found
    del found
    assert reference() is None
    assert called == [reference]


@python_ones
def test_attributes_of_ones_own(kit: Kit, name: str) -> None:
    found = kit.make(name)
    found.extra = 1
    assert found.extra == 1
    assert vars(found)["extra"] == 1
    del found.extra
    with pytest.raises(AttributeError, match="extra"):
        _ = found.extra
    setattr(found, "any name", 2)
    assert getattr(found, "any name") == 2


@python_ones
def test_attributes_of_the_class(kit: Kit, name: str) -> None:
    """A method can be replaced on an instance, which then has it called."""
    found = kit.make(name)
    method = {"Event": "set", "Barrier": "wait", "Condition": "notify"}.get(name, "release")
    if name in QUEUES:
        method = "put"
    setattr(found, method, lambda: "replaced")
    assert getattr(found, method)() == "replaced"
    delattr(found, method)
    assert getattr(found, method) != "replaced"


@every
def test_hash_and_equality(kit: Kit, name: str) -> None:
    one, two = kit.make(name), kit.make(name)
    assert one == one
    assert one != two
    assert {one: 1}[one] == 1
    assert bool(one) is True


@python_ones
def test_subclass_with_new_and_init(kit: Kit, name: str) -> None:
    cls = class_of(kit, name)
    arguments = (2,) if name == "Barrier" else ()

    class Child(cls):  # type: ignore[misc]
        label: str
        __slots__ = ("slotted",)

        def __new__(cls, label: str, *rest: Any) -> Any:
            self = super().__new__(cls)
            self.from_new = label
            return self

        def __init__(self, label: str, *rest: Any) -> None:
            super().__init__(*rest)
            self.label = label
            self.slotted = label

    found = Child("x", *arguments)
    assert (found.from_new, found.label, found.slotted) == ("x", "x", "x")
    assert isinstance(found, cls)
    assert type(found) is Child
    use(found, name)


def use(found: Any, name: str) -> None:
    if name == "Event":
        found.set()
        assert found.wait() is True
    elif name == "Condition":
        with found:
            found.notify_all()
            assert found.wait(0) is False
    elif name == "Barrier":
        found.abort()
        assert found.broken is True
        found.reset()
    elif name in QUEUES:
        found.put(1)
        assert found.get() == 1
    else:
        with found:
            assert found.acquire(False) is False


@python_ones
def test_two_bases(kit: Kit, name: str) -> None:
    class Mixin:
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(*args, **kwargs)
            self.mixed = True

        def mix(self) -> str:
            return "mixed"

    Child = type("Child", (Mixin, class_of(kit, name)), {})
    found: Any = Child(*((2,) if name == "Barrier" else ()))
    assert found.mixed is True
    assert found.mix() == "mixed"
    use(found, name)


def test_classes_have_the_bases_of_stock(kit: Kit) -> None:
    assert kit.threading.BoundedSemaphore.__mro__[1] is kit.threading.Semaphore
    for name in ("LifoQueue", "PriorityQueue"):
        assert getattr(kit.queue, name).__mro__[1] is kit.queue.Queue
    for name in ("Event", "Condition", "Semaphore", "Barrier"):
        assert getattr(kit.threading, name).__bases__ == (object,)


@python_ones
def test_a_class_can_be_patched(kit: Kit, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """As test suites and tracers do with mock.patch.object."""
    cls = class_of(kit, name)
    method = {"Event": "set", "Barrier": "abort", "Condition": "notify"}.get(name, "release")
    if name in QUEUES:
        method = "qsize"
    found = kit.make(name)
    with monkeypatch.context() as patch:
        patch.setattr(cls, method, lambda self: "patched")
        assert getattr(found, method)() == "patched"
    assert getattr(cls, method)


@every
def test_isinstance_in_a_match(kit: Kit, name: str) -> None:
    match kit.make(name):
        case object(__class__=cls):
            assert cls is class_of(kit, name)


def test_the_kits_differ(kit: Kit) -> None:
    """Or all the tests here would try one implementation twice."""
    assert (kit.threading.Event is stock_threading.Event) is kit.is_stock
    assert (kit.queue.Queue is stock_queue.Queue) is kit.is_stock


# How they are made


@pytest.mark.parametrize(
    "classes",
    [
        "{'Event': threading.Event}",
        "{'Semaphore': threading.Semaphore}",
        "{'LifoQueue': queue.LifoQueue}",
        "{'SimpleQueue': queue.SimpleQueue}",
        "{'Condition': 1}",
        "{'Condition': threading.Condition(), 'Event': threading.Event}",
        "{'SimpleQueue': queue.SimpleQueue, 'Empty': int}",
    ],
)
def test_not_made_in_part(classes: str) -> None:
    """A native object relies on what goes with it: without that there is none."""
    source = f"""
        import queue, threading
        from rthread import _rthread
        classes = {classes}
        try:
            _rthread.__make_native__(classes, {{name: {{}} for name in classes}})
        except TypeError:
            print("fine")
    """
    assert support.check_snippet(source) == "fine\n"


def test_objects_stay_native_when_a_class_is_asked_for_annotations() -> None:
    """To ask a class for them puts a dict into it."""
    output = support.check_snippet(
        """
        import rthread
        rthread.install()
        import threading
        threading.Condition.__annotations__
        lock = threading.Lock()
        condition = threading.Condition(lock)
        with condition:
            condition.notify()
        import gc
        # A native condition without attributes has no dict yet.
        assert not any(type(found) is dict for found in gc.get_referents(condition))
        print("fine")
        """
    )
    assert output == "fine\n"
