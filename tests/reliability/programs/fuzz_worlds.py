"""The two worlds that bad input is tried in, rthread's and the interpreter's, and what is there.

Nothing that can be called is listed by hand: types are found where the extension module keeps
them, and their attributes by asking them.
"""

from __future__ import annotations

import builtins
import gc
import importlib
import sys
from collections.abc import Callable, Container, Iterable, Iterator
from contextlib import AbstractContextManager, nullcontext
from types import BuiltinFunctionType, FunctionType
from typing import Any, NamedTuple

import rthread
from differential.sidebyside import SHORT
from rthread import _rthread

# What no case may call, and why.
NEVER: dict[str, str] = {}
# What is only called with arguments that it refuses, and why.
ONLY_WRONG = {"_shutdown": "waits for every thread; no thread can be started in between"}

# What is only called for a new object, or another's, and why.
FRESH = {"_acquire_restore": "waits while the lock is held, and no signal ends that wait"}

# Queues get it on older versions too.
SHUTS_DOWN = hasattr(importlib.import_module("queue").Queue, "shutdown")


class Target(NamedTuple):
    """Something to call, to get or to set: a function, or an attribute of a type."""

    owner: str
    name: str

    def __str__(self) -> str:
        return f"{self.owner}.{self.name}"


class World:
    """One implementation: its functions and its types by name, and objects of these."""

    def __init__(self, name: str, functions: dict[str, Any], types: dict[str, type]) -> None:
        self.name = name
        self.functions = functions
        self.types = types
        self._objects: dict[tuple[str, str], Any] = {}
        # Which of them the case has used.
        self.used: set[tuple[str, str]] = set()
        self._derived: dict[str, type] = {}
        self.other: World | None = None
        # Changes the arguments of a call, by the name of what is called.
        self.limit: Callable[[str, list[Any]], list[Any]] | None = None
        # Of these the names are left out too.
        self.limited: Container[str] = ()
        # What an object is made with is not part of the case.
        self.pause: Callable[[], AbstractContextManager[None]] = nullcontext

    def make(self, kind: str, state: str) -> Any:
        """A new object of a type in a state, or None where none can be had."""
        if kind not in self.types and self.other:
            # Stock has no such type: both get one of ours.
            return self.other.make(kind, state)
        with self.pause():
            try:
                thing = self._plain(kind, state)
                if thing is not None and state in STATES.get(kind, {}):
                    STATES[kind][state](self, thing)
            except Exception:
                return None
            return thing

    def _plain(self, kind: str, state: str) -> Any:
        of: Any = self.types[kind]
        if state == "bare":
            return of.__new__(of)
        if state == "derived":
            of = self.derived(kind)
        if state == "over a recursive lock":
            return of()
        if kind in MAKERS:
            return MAKERS[kind](self, of)
        return of()

    def any_type(self, kind: str) -> Any:
        """A type; of the other world if only that has it."""
        return self.types.get(kind) or (self.other and self.other.types.get(kind))

    def derived(self, kind: str) -> type:
        """A class of Python's derived from a type, which is that itself if there can be none."""
        if kind not in self._derived:
            of: Any = self.types[kind]
            try:
                self._derived[kind] = type(of.__name__, (of,), {"__module__": "derived"})
            except TypeError:
                self._derived[kind] = of
        return self._derived[kind]

    def object(self, kind: str, state: str) -> Any:
        """The object of a type and state that earlier cases have used."""
        key = (kind, state)
        self.used.add(key)
        if key not in self._objects:
            self._objects[key] = self.make(kind, state)
        return self._objects[key]

    def let_go(self) -> None:
        """Release what this thread may hold of the objects."""
        for (kind, _), held in list(self._objects.items()):
            if kind not in ("lock", "RLock", "Condition"):
                continue
            # The type's own: the object may have been given another.
            release: Any = vars(self.types[kind])["release"]
            for _ in range(100):
                try:
                    release(held)
                except Exception:
                    break

    def forget(self, which: Iterable[tuple[str, str]] | None = None) -> None:
        """Have new objects made from now on, in place of some, by type and state, or of all."""
        if which is None:
            which = list(self._objects)
        gone = [self._objects.pop(key, None) for key in which]
        del gone

    def forget_of(self, kind: str) -> None:
        """As `forget`, for the objects of one type, or of all if that is empty."""
        self.forget([key for key in list(self._objects) if kind in ("", key[0])])


def _lock(world: World, _: type) -> Any:
    return world.functions["allocate_lock"]()


def _handle(world: World, _: type) -> Any:
    handle = world.functions["start_joinable_thread"](int, daemon=True)
    handle.join(10)
    return handle


def _hidden(world: World, of: type) -> Any:
    """An object that is only to be found inside of others."""
    local = world.types["_local"]()
    local.value = 1
    seen = [local]
    for thing in seen:
        if type(thing) is of:
            return thing
        if len(seen) < 100 and not isinstance(thing, type):
            seen += gc.get_referents(thing)
    return None


MAKERS: dict[str, Callable[[World, Any], Any]] = {
    "lock": _lock,
    "_ThreadHandle": _handle,
    "_ThreadSentinel": _hidden,
    "_ThreadKey": _hidden,
    "_ExceptHookArgs": lambda world, of: of((ValueError, ValueError("x"), None, None)),
    "Barrier": lambda world, of: of(2),
    "Condition": lambda world, of: of(_lock(world, of)),
}


def _fill(queue: Any, *items: object) -> Any:
    for item in items:
        queue.put(item)
    return queue


def _limit(queue: Any) -> None:
    queue.maxsize = 1
    queue.put(1)


def _queue_states() -> dict[str, Callable[[World, Any], object]]:
    states: dict[str, Callable[[World, Any], object]] = {
        "filled": lambda world, queue: _fill(queue, 3, 1, 2),
        "limited": lambda world, queue: _limit(queue),
        "materialized": lambda world, queue: _fill(queue, 1).mutex,
    }
    if SHUTS_DOWN:
        states["shut down"] = lambda world, queue: queue.shutdown()
    return states


def _semaphore_states() -> dict[str, Callable[[World, Any], object]]:
    return {
        "zero": lambda world, semaphore: semaphore.acquire(),
        "materialized": lambda world, semaphore: semaphore._cond,
    }


# How objects are, beside "new" ones, "bare" ones whose `__init__` never ran, and "derived" ones.
STATES: dict[str, dict[str, Callable[[World, Any], object]]] = {
    "lock": {"held": lambda world, lock: lock.acquire()},
    "RLock": {"held": lambda world, lock: (lock.acquire(), lock.acquire())},
    "_local": {"filled": lambda world, local: setattr(local, "x", [local])},
    "TSS": {
        "created": lambda world, tss: (tss.create(), tss.set([tss])),
        "deleted": lambda world, tss: (tss.create(), tss.set(1), tss.delete()),
    },
    "Condition": {
        "held": lambda world, condition: condition.acquire(),
        "over a recursive lock": lambda world, condition: condition.acquire(),
        "waited for": lambda world, condition: (condition.acquire(), condition.wait(SHORT)),
    },
    "Event": {
        "set": lambda world, event: event.set(),
        "materialized": lambda world, event: event._cond,
    },
    "Semaphore": _semaphore_states(),
    "BoundedSemaphore": _semaphore_states(),
    "Barrier": {
        "broken": lambda world, barrier: barrier.abort(),
        "for one": lambda world, barrier: barrier.__init__(1, None, SHORT),
        "materialized": lambda world, barrier: barrier._cond,
    },
    "Queue": _queue_states(),
    "LifoQueue": _queue_states(),
    "PriorityQueue": _queue_states(),
    "SimpleQueue": {"filled": lambda world, queue: _fill(queue, 1, 2)},
}


def states(kind: str) -> list[str]:
    return ["new", "bare", "derived", *STATES.get(kind, {})]


# What there is


def own_types() -> dict[str, type]:
    """The types of the extension, shown or not, by the name that they give themselves."""
    return {
        found.__name__: found
        for found in gc.get_referents(_rthread)
        if isinstance(found, type) and found is not _stock_type(found) and _is_native(found)
    }


def _is_native(found: type) -> bool:
    # One is written in Python by us: for materialized queues of versions without shutdown().
    return "<locals>" not in found.__qualname__


def _stock_type(own: type) -> type | None:
    """The interpreter's own type in whose place this one is."""
    module = sys.modules.get(own.__module__)
    if own.__module__ == "rthread" or module is None:
        return None
    for found in vars(module).values():
        if isinstance(found, type) and found.__name__ == own.__name__:
            return found
    return None


def worlds() -> tuple[World, World]:
    """Ours and the stock one. The latter has what of the former there is."""
    for module in ("rthread.threading", "rthread.queue"):
        importlib.import_module(module)
    types = own_types()
    stock_types = {
        name: found for name, own in types.items() if (found := _stock_type(own)) is not None
    }
    stock = vars(importlib.import_module("_thread"))
    functions = dict(_functions(_rthread))
    functions.update(
        (f"rthread.{name}", found) for name, found in _functions(rthread, FunctionType)
    )
    theirs = {name: stock[name] for name in functions if name in stock}
    ours, other = World("ours", functions, types), World("stock", theirs, stock_types)
    ours.other, other.other = other, ours
    return ours, other


def own_functions() -> dict[str, Callable[..., Any]]:
    """The functions of the extension, and those of the package with its name in front."""
    found = dict(_functions(_rthread))
    found.update((f"rthread.{name}", one) for name, one in _functions(rthread, FunctionType))
    return found


def _functions(
    module: Any, kind: type = BuiltinFunctionType
) -> Iterator[tuple[str, Callable[..., Any]]]:
    for name, found in sorted(vars(module).items()):
        if isinstance(found, kind) and not hasattr(builtins, name) and name not in NEVER:
            yield name, found  # type: ignore[misc]


def targets(ours: World) -> list[Target]:
    """Everything there is to try."""
    found = [Target("", name) for name in ours.functions]
    for kind, of in sorted(ours.types.items()):
        found += [Target(kind, name) for name in ["()", *sorted({*dir(of), *dir(type(of))})]]
    return found


def own_names(of: type) -> list[str]:
    """The attributes that a type does not have from `object`."""
    return sorted({name for base in of.__mro__ if base is not object for name in vars(base)})
