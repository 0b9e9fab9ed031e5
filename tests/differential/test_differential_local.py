"""Random uses of a stock `_local` and of ours, by three threads, come to the same."""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any, NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sidebyside import OURS, STOCK, Outcome, Runner, StrChild, anything, arguments, outcome


class Touch(NamedTuple):
    """One use of both locals: by which thread, how, of which name, with which value."""

    thread: int
    how: str
    name: Any
    value: Any


def set_in_dict(local: Any, name: Any, value: Any) -> None:
    local.__dict__[name] = value


def delete_from_dict(local: Any, name: Any, value: Any) -> None:
    del local.__dict__[name]


def unbound(method: str) -> Callable[..., Any]:
    """The type's own slot, past whatever a subclass puts before it."""

    def call(local: Any, *args: Any) -> Any:
        return getattr(type(local).__mro__[-2], method)(local, *args)

    return call


USES: dict[str, Callable[..., Any]] = {
    "get": lambda local, name, value: getattr(local, name),
    "get with default": lambda local, name, value: getattr(local, name, "default"),
    "set": setattr,
    "delete": lambda local, name, value: delattr(local, name),
    "has": lambda local, name, value: hasattr(local, name),
    "dict": lambda local, name, value: dict(sorted(local.__dict__.items(), key=repr)),
    "set in dict": set_in_dict,
    "delete from dict": delete_from_dict,
    "clear dict": lambda local, name, value: local.__dict__.clear(),
    "vars": lambda local, name, value: sorted(vars(local), key=repr),
    "dir": lambda local, name, value: dir(local),
    "same dict twice": lambda local, name, value: local.__dict__ is local.__dict__,
    "set dict": lambda local, name, value: setattr(local, "__dict__", value),
    "delete dict": lambda local, name, value: delattr(local, "__dict__"),
    "getattribute": lambda local, name, value: unbound("__getattribute__")(local, name),
    "setattr slot": lambda local, name, value: unbound("__setattr__")(local, name, value),
    "delattr slot": lambda local, name, value: unbound("__delattr__")(local, name),
    "item": lambda local, name, value: operator.getitem(local, name),
    "call": lambda local, name, value: local(value),
    "equal": lambda local, name, value: (local == local, local == value),
}


names = st.one_of(
    st.sampled_from(["a", "b", "a", "b", "prop", "slot", "fixed", "method", StrChild("a"), ""]),
    st.sampled_from(
        ["__dict__", "__class__", "__doc__", "__weakref__", "__init__", "\0", "\udc80"]
    ),
    st.text(max_size=3),
    anything,
)
values = st.one_of(st.integers(), st.text(max_size=3), st.none(), st.sampled_from([(), object]))
touches = st.builds(
    Touch, thread=st.integers(0, 2), how=st.sampled_from(list(USES)), name=names, value=values
)


# Subclasses, each made once over either base.


def plain(base: Any) -> Any:
    return base


def with_members(base: Any) -> Any:
    class Local(base):  # type: ignore[misc]
        """Has what a class can have that a thread's dict has to stand behind or before."""

        fixed = 1

        @property
        def prop(self) -> Any:
            return self.__dict__.get("a", "no a")

        @prop.setter
        def prop(self, value: Any) -> None:
            self.a = value

        def method(self) -> list[str]:
            return sorted(map(repr, self.__dict__))

    return Local


def with_slots(base: Any) -> Any:
    class Local(base):  # type: ignore[misc]
        """A slot is one for all threads."""

        __slots__ = ("slot",)

    return Local


def with_init(base: Any) -> Any:
    class Local(base):  # type: ignore[misc]
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            self.a = (args, sorted(kwargs))

    return Local


def with_getattr(base: Any) -> Any:
    class Local(base):  # type: ignore[misc]
        def __getattr__(self, name: str) -> Any:
            return f"made up {name}"

    return Local


def with_hooks(base: Any) -> Any:
    class Local(base):  # type: ignore[misc]
        """Goes through the slots of the base from Python."""

        def __setattr__(self, name: str, value: Any) -> None:
            super().__setattr__(name, ("set", value))

        def __delattr__(self, name: str) -> None:
            super().__delattr__(name)

        def __getattribute__(self, name: str) -> Any:
            if name == "fixed":
                return "computed"
            return super().__getattribute__(name)

    return Local


def with_failing_init(base: Any) -> Any:
    class Local(base):  # type: ignore[misc]
        """Fails in every thread but the one that makes it, and only the first time there."""

        seen: set[int] = set()  # noqa: RUF012

        def __init__(self) -> None:
            ident = STOCK.get_ident()
            self.b = len(self.seen)
            if self.seen and ident not in self.seen:
                self.seen.add(ident)
                raise ValueError("not here")
            self.seen.add(ident)

    return Local


CLASSES = (plain, with_members, with_slots, with_init, with_getattr, with_hooks, with_failing_init)
every_class = pytest.mark.parametrize("make", CLASSES, ids=lambda make: make.__name__)


def touch(step: Touch, local: Any) -> Outcome:
    return outcome(USES[step.how], local, step.name, step.value)


@every_class
@given(steps=st.lists(touches, max_size=25))
def test_uses_of_a_local_come_to_the_same(
    callers: list[Runner], make: Callable[[Any], Any], steps: list[Touch]
) -> None:
    stock, ours = make(STOCK._local)(), make(OURS._local)()
    for step in steps:
        theirs = callers[step.thread](touch, step, stock)
        mine = callers[step.thread](touch, step, ours)
        assert mine == theirs, step
    for run in callers:
        seen = Touch(0, "dict", None, None)
        assert run(touch, seen, ours) == run(touch, seen, stock)


@every_class
@given(call=arguments("a", "b"))
def test_making_a_local_comes_to_the_same(
    callers: list[Runner], make: Callable[[Any], Any], call: tuple[Any, dict[str, Any]]
) -> None:
    """Also what the saved arguments come to when the next thread's `__init__` gets them."""
    args, kwargs = call

    def made_and_seen(base: Any) -> list[Outcome]:
        kept: list[Any] = []

        def create() -> None:
            kept.append(make(base)(*args, **kwargs))

        results = [outcome(create)]
        for local in kept:
            results += [run(outcome, lambda local=local: local.__dict__) for run in callers]
        return results

    assert made_and_seen(OURS._local) == made_and_seen(STOCK._local)


@given(call=arguments("a", "b"))
def test_new_and_init_called_apart(call: tuple[Any, dict[str, Any]]) -> None:
    args, kwargs = call

    def results(base: Any) -> list[Outcome]:
        sub = with_init(base)
        return [
            outcome(base.__new__, base, *args, **kwargs),
            outcome(sub.__new__, sub, *args, **kwargs),
            outcome(base.__init__, base(), *args, **kwargs),
            outcome(lambda: sub.__new__(sub, *args, **kwargs).__dict__),
        ]

    assert results(OURS._local) == results(STOCK._local)
