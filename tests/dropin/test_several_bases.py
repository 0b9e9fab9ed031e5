"""Derived classes with several bases: with layouts of their own among them, it is made or refused.

A class that rthread cannot lay out is refused with a hint that names a way out.
"""

# ruff: noqa: B023
from __future__ import annotations

import abc
import collections
import contextlib
import enum
import queue
import threading
import typing
from typing import ClassVar

from case_support import attempt, case, outcome, tell, waiting


def test_the_same_as_on_stock(compare):
    compare()


BASES = {
    "Event": threading.Event,
    "Condition": threading.Condition,
    "Semaphore": threading.Semaphore,
    "BoundedSemaphore": threading.BoundedSemaphore,
    "Barrier": threading.Barrier,
}
QUEUES = {
    "Queue": queue.Queue,
    "LifoQueue": queue.LifoQueue,
    "PriorityQueue": queue.PriorityQueue,
}


class Plain:
    def greet(self):
        return f"a {type(self).__name__}"


class Slotted:
    __slots__ = ()


class Ordered:
    def __lt__(self, other):
        return id(self) < id(other)


class Generic(typing.Generic[typing.TypeVar("T")]):
    pass


class Meta(type):
    def __call__(cls, *args, **kwargs):
        made = super().__call__(*args, **kwargs)
        made.through = "meta"
        return made


class WithMeta(metaclass=Meta):
    pass


MIXINS = (
    Plain,
    Slotted,
    Ordered,
    Generic,
    WithMeta,
    abc.ABC,
    contextlib.AbstractContextManager,
    collections.abc.Hashable,
    threading.Thread,
)


def work(made, base):
    """Whether the object does as one of its base."""
    name = base.__name__
    if name == "Event":
        waiter = waiting(made.wait)
        made.set()
        return waiter.said(), made.is_set()
    if name == "Condition":
        with made:
            return made.wait(0.001), made.notify()
    if "Semaphore" in name:
        return made.acquire(), made.acquire(False), made.release()
    if name == "Barrier":
        return made.parties, outcome(made.wait, 0.001)
    made.put(1)
    return made.get(), made.empty()


def arguments(base):
    return (2,) if base is threading.Barrier else ()


def mixed(bases):
    for label, base in bases.items():
        for mixin in MIXINS:
            for order in ((base, mixin), (mixin, base)):
                name = "+".join(cls.__name__ for cls in order)

                def make(order=order, base=base):
                    def init(self, *args):
                        for cls in order:
                            if cls in (base, threading.Thread):
                                cls.__init__(self, *arguments(cls))

                    body = {"__init__": init, "__enter__": getattr(base, "__enter__", None)}
                    kind = abc.ABCMeta if isinstance(mixin, abc.ABCMeta) else type(mixin)
                    cls = kind("Mixed", order, body)
                    made = cls()
                    return work(made, base), isinstance(made, base), type(made).__mro__[1].__name__

                attempt(f"{label} {name}", make)


@case
def with_python_classes():
    mixed(BASES)


@case(only="queue")
def queues_with_python_classes():
    mixed(QUEUES)


LAYOUTS = {
    "dict": dict,
    "list": list,
    "Exception": Exception,
    "int": int,
    "local": threading.local,
    "deque": collections.deque,
    "OrderedDict": collections.OrderedDict,
}


def laid_out(bases):
    for label, base in bases.items():
        for layout in LAYOUTS.values():
            for order in ((base, layout), (layout, base)):

                def init(self, base=base):
                    base.__init__(self, *arguments(base))

                try:
                    made = type("Both", order, {"__init__": init})()
                except TypeError as error:
                    # A known limit of native classes (docs/compatibility.md).
                    if "lay-out conflict" not in str(error):
                        raise
                    continue
                # A local's attributes are another thread's own, and what comes first wins.
                if order[0] is base and layout is not threading.local:
                    assert work(made, base), made
        tell(label, "made or refused", len(LAYOUTS))


@case
def with_layouts_of_their_own():
    laid_out(BASES)


@case(only="queue")
def queues_with_layouts_of_their_own():
    laid_out(QUEUES)


def pairs(bases):
    """Two of these classes at once, which on stock share one dict."""
    for label, base in bases.items():
        for other_label, other in bases.items():
            if base is other or issubclass(other, base):
                continue
            try:
                cls = type("Both", (base, other), {})
                made = cls(*arguments(base))
                said = work(made, base)
            except TypeError as error:
                if "lay-out conflict" not in str(error):
                    raise
                said = "refused"
            else:
                assert said
            tell(label, other_label, bool(said))


@case
def two_of_them():
    pairs(BASES)


@case
def diamonds():
    class Named:
        def __init__(self, *args, name="n", **kwargs):
            super().__init__(*args, **kwargs)
            self.name = name

    class A(Named, threading.Semaphore):
        def release(self, n=1):
            tell("A")
            super().release(n)

    class B(Named, threading.BoundedSemaphore):
        def release(self, n=1):
            tell("B")
            super().release(n)

    class C(A, B):
        pass

    made = C(1, name="c")
    tell(made.name, [cls.__name__ for cls in C.__mro__], made.acquire(), made.release())
    attempt("bounded", made.release)


@case
def abstract_and_virtual():
    class Waitable(abc.ABC):
        @abc.abstractmethod
        def wait(self, timeout=None): ...

        @classmethod
        def __subclasshook__(cls, other):
            return hasattr(other, "wait") or NotImplemented

    class Abstract(threading.Event, Waitable):
        pass

    tell(issubclass(threading.Event, Waitable), isinstance(threading.Barrier(1), Waitable))
    attempt("abstract", lambda: Abstract().wait(0.001))
    Waitable.register(threading.Semaphore)
    tell(isinstance(threading.Semaphore(), Waitable), issubclass(queue.Queue, Waitable))

    @typing.runtime_checkable
    class Settable(typing.Protocol):
        def set(self) -> None: ...

    tell(isinstance(threading.Event(), Settable), isinstance(queue.Queue(), Settable))

    class Unfinished(threading.Event, abc.ABC):
        @abc.abstractmethod
        def more(self): ...

    attempt("unfinished", Unfinished)


@case
def classes_made_by_hand():
    Event = type("Event", (threading.Event,), {"extra": 1})
    tell(Event().extra, Event.__module__, Event().is_set())
    attempt("keyword", lambda: type("X", (threading.Event,), {}, other=1))
    attempt("sub", lambda: threading.Event.__subclasses__() != [] and "some")

    class Registered(threading.Event):
        kinds: ClassVar = []

        def __init_subclass__(cls, **kwargs):
            super().__init_subclass__()
            cls.kinds.append((cls.__name__, kwargs))

    class Sub(Registered, tag="t"):
        def __set_name__(self, owner, name):
            tell(name)

    tell(Registered.kinds, Sub().is_set())
    attempt("enum", lambda: enum.Enum("Kind", {"A": threading.Event}).A.value is threading.Event)

    class New(threading.Semaphore):
        def __new__(cls, *args, **kwargs):
            made = super().__new__(cls)
            made.args = args
            return made

    tell(New(3).args, New(3).acquire(), New(value=2)._value)

    class Singleton(threading.Condition):
        only = None

        def __new__(cls):
            if cls.only is None:
                cls.only = super().__new__(cls)
            return cls.only

    tell(Singleton() is Singleton())
    with Singleton():
        tell("held")

    class Deleted(threading.Event):
        def __del__(self):
            tell("deleted", self.is_set())

    Deleted().set()

    class Calls(threading.Event):
        def __call__(self):
            return "called"

        def __bool__(self):
            return False

        def __len__(self):
            return 3

        def __eq__(self, other):
            return True

        __hash__ = None

    tell(Calls()(), bool(Calls()), len(Calls()), Calls() == 3)
    attempt("hash", hash, Calls())
