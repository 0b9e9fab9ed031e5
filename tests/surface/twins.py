"""Everything of the live `_thread`, each thing beside the one that stands in for it.

Nothing is listed by hand: a name that a new interpreter adds is asked for by itself.
"""

from __future__ import annotations

import builtins
import inspect
import types
from collections.abc import Callable
from typing import Any, NamedTuple

import support

STOCK = support.stock()
OURS: Any = support.load_ours()
NAMES = [name for name in dir(STOCK) if not (name.startswith("__") and name.endswith("__"))]


class Twin(NamedTuple):
    """One thing, as the stock module has it and as ours has it."""

    name: str
    stock: Any
    ours: Any


def twin(name: str) -> Twin:
    return Twin(name, getattr(STOCK, name), getattr(OURS, name, None))


def functions() -> list[str]:
    return [name for name in NAMES if isinstance(getattr(STOCK, name), types.BuiltinFunctionType)]


def own_types() -> list[str]:
    """The types that `_thread` makes; `error` is RuntimeError by another name."""
    made = (name for name in NAMES if isinstance(getattr(STOCK, name), type))
    return [name for name in made if getattr(STOCK, name).__module__ != builtins.__name__]


def members() -> list[tuple[str, str]]:
    """Every name in the dict of every type, as (type, member)."""
    return [(name, member) for name in own_types() for member in vars(getattr(STOCK, name))]


# How to get an instance of a type, by the type's own name: `lock` is not a constructor everywhere.
_MAKERS: dict[str, Callable[[Any], Any]] = {
    "lock": lambda module: module.allocate_lock(),
    "_ThreadHandle": lambda module: module._make_thread_handle(module.get_ident()),
    "_ExceptHookArgs": lambda module: module._ExceptHookArgs((ValueError, None, None, None)),
}


def instances() -> list[str]:
    """The types of `own_types`, each once, by the name that they give themselves."""
    return sorted({getattr(STOCK, name).__name__ for name in own_types()})


def instance(module: Any, type_name: str) -> Any:
    """A new object of the type that calls itself `type_name`."""
    make = _MAKERS.get(type_name)
    return make(module) if make else getattr(module, type_name)()


def attempt(function: Callable[..., object], *args: Any, **kwargs: Any) -> str:
    """What a call comes to, as text in which the two modules must agree."""
    try:
        result = function(*args, **kwargs)
    except Exception as error:
        return support.without_addresses(f"raises {type(error).__qualname__}: {error}")
    return support.without_addresses(f"gives {result!r}")


def signature(thing: Any) -> str:
    """The signature as `inspect` sees it, or the words in which it finds none."""
    return attempt(inspect.signature, thing)
