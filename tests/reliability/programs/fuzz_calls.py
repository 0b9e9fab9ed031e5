"""How a case calls, and the ways there are to use an object without calling a method of its."""

from __future__ import annotations

import copy
import gc
import inspect
import pickle
import sys
import weakref
from collections.abc import Callable
from typing import Any

from fuzz_values import Recipe
from fuzz_worlds import World


class Skipped(Exception):
    """A case that is not tried here."""


def _collect(subject: Any, other: Any) -> int:
    del subject, other
    return gc.collect(0)


def _with(subject: Any, other: Any) -> None:
    with subject:
        len(other)


GENERIC: dict[str, Callable[[Any, Any], Any]] = {
    "repr": lambda subject, other: bool(repr(subject)),
    "str, format": lambda subject, other: bool(f"{subject!s}{subject:}"),
    "format with": lambda subject, other: format(subject, other),
    "hash": lambda subject, other: bool(hash(subject)),
    "==": lambda subject, other: (subject == other, subject != other),
    "<": lambda subject, other: subject < other,
    "+": lambda subject, other: subject + other,
    "[]": lambda subject, other: subject[other],
    "()": lambda subject, other: subject(other),
    "in": lambda subject, other: other in subject,
    "len": lambda subject, other: len(subject),
    "bool": lambda subject, other: bool(subject),
    "int": lambda subject, other: int(subject),
    "iter": lambda subject, other: iter(subject),
    "with": _with,
    "copy": lambda subject, other: copy.copy(subject),
    "deepcopy": lambda subject, other: copy.deepcopy(subject),
    "pickle": lambda subject, other: pickle.dumps(subject),
    "reduce": lambda subject, other: subject.__reduce_ex__(other),
    "referents": lambda subject, other: bool(gc.get_referents(subject)),
    "sizeof": lambda subject, other: sys.getsizeof(subject) > 0,
    "weakref": lambda subject, other: weakref.ref(subject, other)() is subject,
    "proxy": lambda subject, other: bool(repr(weakref.proxy(subject).__class__)),
    "dir": lambda subject, other: bool(dir(subject)),
    "vars": lambda subject, other: vars(subject) is not None,
    "isinstance": lambda subject, other: isinstance(other, type(subject)),
    "issubclass": lambda subject, other: issubclass(other, type(subject)),
    "class": lambda subject, other: setattr(subject, "__class__", other),
    "class of": lambda subject, other: setattr(subject, "__class__", type(other)),
    "dict": lambda subject, other: setattr(subject, "__dict__", other),
    "collect": _collect,
}


def call(
    world: World,
    function: Any,
    about: Any,
    first: list[Any],
    args: list[Recipe],
    kwargs: dict[str, Recipe],
    name: str = "",
) -> Any:
    """Call with arguments made now.

    Raises:
        Skipped: the world has it that this is not to be called.
    """
    given = [recipe.make(world, about) for recipe in args]
    if world.limit:
        given, kwargs = world.limit(name, given), {} if name in world.limited else kwargs
    given = [*first, *given]
    named = {name: recipe.make(world, about) for name, recipe in kwargs.items()}
    return function(*given, **named)


_known: dict[Any, Any] = {}


def signature(function: Any) -> inspect.Signature | None:
    """The signature of a function of ours; none where it does not tell."""
    key = id(function)
    if key not in _known:
        try:
            found = inspect.signature(function)
        except (TypeError, ValueError):
            found = None
        # The function is kept: its id stays its own.
        _known[key] = (found, function)
    kept: inspect.Signature | None = _known[key][0]
    return kept


def parameters(function: Any) -> list[str]:
    found = signature(function)
    return list(found.parameters) if found else ["blocking", "n"]


def fits(function: Any, first: int, args: list[Recipe], kwargs: dict[str, Recipe]) -> bool:
    found = signature(function)
    if found is None:
        return False
    try:
        found.bind(*[None] * first, *args, **kwargs)
    except TypeError:
        return False
    return True
