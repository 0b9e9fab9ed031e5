"""Objects for a stress run: as they come, of derived classes, or looked into while in use."""

from __future__ import annotations

import random
from typing import Any

from chosen import threading
from chosen_queue import queue

QUEUES = ("Queue", "LifoQueue", "PriorityQueue", "SimpleQueue")
# What programs reach for: it makes a native object a Python one, waiters and all.
PARTS = {
    "Event": "_cond",
    "Condition": "_waiters",
    "Semaphore": "_cond",
    "BoundedSemaphore": "_cond",
    "Barrier": "_cond",
    "Queue": "mutex",
    "LifoQueue": "not_empty",
    "PriorityQueue": "mutex",
}


class Derived:
    """Mixed in: changes nothing, but is not the class itself."""


class WithPart(threading.Event):  # type: ignore[misc]
    """Brings a part of its own."""

    def __init__(self) -> None:
        super().__init__()
        self._cond = threading.Condition(threading.Lock())


class WithHooks:
    """Replaces how a queue keeps its items, by the same."""

    def _put(self, item: Any) -> None:
        super()._put(item)  # type: ignore[misc]

    def _get(self) -> Any:
        return super()._get()  # type: ignore[misc]


class StressObjects:
    """Makes objects at random, knows those of this round, and materializes some."""

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng
        self._made: list[tuple[str, Any]] = []

    def make(self, name: str, *args: Any) -> Any:
        """An object of the class of that name, or of one derived from it."""
        thing = self._class(name)(*args)
        if name in PARTS:
            # One step, so that no other thread finds it half done.
            self._made = [*self._made, (name, thing)]
        return thing

    def _class(self, name: str) -> Any:
        cls = getattr(queue if name in QUEUES else threading, name)
        dice = self._rng.random()
        if dice < 0.8 or name in ("Lock", "RLock", "SimpleQueue"):
            return cls
        if dice < 0.9:
            return type(f"Derived{name}", (Derived, cls), {})
        if name in QUEUES:
            return type(f"Hooked{name}", (WithHooks, cls), {})
        return WithPart if name == "Event" else cls

    def materialize_one(self, rng: random.Random) -> bool:
        """Reach into one of those that are in use, if there is one."""
        made = self._made
        if not made:
            return False
        name, thing = rng.choice(made)
        part = getattr(thing, PARTS[name])
        if PARTS[name] == "mutex":
            with part:
                len(thing.queue)
        return True

    def forget(self) -> None:
        self._made = []
