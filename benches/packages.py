"""The packages that people install today for faster or other locks, where they are installed.

They are in the `bench` extra, and none is needed. Each does the same work as stock and rthread, in
its own spelling; those that serve event loops too are called by the side that is meant for threads.
"""

from __future__ import annotations

import _thread
import importlib
import subprocess
import sys
import sysconfig
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import metadata
from typing import Any

from .measure import Rival, Way
from .operations import OPERATIONS

# What ping-pong takes beside the objects that it is about.
_THREADS = {name: getattr(_thread, name) for name in ("start_new_thread", "allocate_lock")}

# The operation as it stands.
_SAME = Way()
# aiologic and culsans have methods for event loops (async_) and for threads (green_).
_GREEN = "{0}.green_acquire(); {0}.green_release()"


def _fastrlock(module: Any) -> Mapping[str, Any]:
    return {"RLock": module.FastRLock}


def _aiologic(module: Any) -> Mapping[str, Any]:
    # Its Event can be set once; REvent is the one that can be cleared.
    return {**_THREADS, **vars(module), "allocate_lock": module.Lock, "Event": module.REvent}


def _culsans(module: Any) -> Mapping[str, Any]:
    def for_threads(kind: Callable[[], Any]) -> Callable[[], Any]:
        return lambda: kind().sync_q

    kinds = ("Queue", "LifoQueue", "PriorityQueue")
    return {**_THREADS, **{kind: for_threads(getattr(module, kind)) for kind in kinds}}


def _cereggii(module: Any) -> Mapping[str, Any]:
    # It has atomic values, and of what is compared here an event, which cannot be cleared.
    return {"Event": module.AtomicEvent}


def _readerwriterlock(module: Any) -> Mapping[str, Any]:
    return {"allocate_lock": lambda: module.RWLockFair().gen_wlock()}


@dataclass(frozen=True)
class Package:
    """Which module has the names, what operations call these, and which it takes part in."""

    module: str
    names: Callable[[Any], Mapping[str, Any]]
    ways: Mapping[str, Way]


PACKAGES = {
    "fastrlock": Package(
        "fastrlock.rlock",
        _fastrlock,
        {"RLock: `with`": _SAME, "RLock: `with`, already held": _SAME, "RLock: create": _SAME},
    ),
    "aiologic": Package(
        "aiologic",
        _aiologic,
        {
            "lock: acquire + release": Way(statement=_GREEN.format("lock")),
            "lock: `with`": _SAME,
            "RLock: `with`": _SAME,
            "Event: set + clear": _SAME,
            "Event: wait on a set event": _SAME,
            "Event: is_set": _SAME,
            "Event: create": _SAME,
            "Semaphore: acquire + release": Way(statement=_GREEN.format("semaphore")),
            "BoundedSemaphore: acquire + release": Way(statement=_GREEN.format("semaphore")),
            "Semaphore: create": _SAME,
            "Condition: `with` + notify, no waiter": _SAME,
            "Condition: create": _SAME,
            "Queue: put + get": Way(statement="line.green_put(None); line.green_get()"),
            "SimpleQueue: put + get": Way(statement="line.put(None); line.green_get()"),
        },
    ),
    "culsans": Package(
        "culsans",
        _culsans,
        {
            "Queue: put + get": _SAME,
            "LifoQueue: put + get": _SAME,
            "PriorityQueue: put + get": _SAME,
            "ping-pong: two threads, two queues": _SAME,
        },
    ),
    "cereggii": Package(
        "cereggii",
        _cereggii,
        {"Event: wait on a set event": _SAME, "Event: is_set": _SAME, "Event: create": _SAME},
    ),
    "readerwriterlock": Package(
        "readerwriterlock.rwlock",
        _readerwriterlock,
        {"lock: `with`": _SAME},
    ),
}


def find() -> tuple[list[Rival], dict[str, str]]:
    """The packages that there are, and for each of all its version or why it takes no part."""
    known = {operation.name for operation in OPERATIONS}
    rivals, notes = [], {}
    for name, package in PACKAGES.items():
        unknown = package.ways.keys() - known
        if unknown:
            raise LookupError(f"{name} takes part in {unknown}, which nobody measures")
        try:
            _refuse_the_gil(package.module)
            names = package.names(importlib.import_module(package.module))
            rivals.append(Rival(name, names, package.ways))
            notes[name] = metadata.version(name)
        except Exception as error:
            # Whatever goes wrong in the import of somebody else's module.
            notes[name] = f"not measured: {error}"
    return rivals, notes


def _refuse_the_gil(module: str) -> None:
    """Raise if importing it would turn the GIL on for this whole process."""
    if not sysconfig.get_config_var("Py_GIL_DISABLED"):
        return
    trial = f"import sys, {module}; sys.exit(3 if sys._is_gil_enabled() else 0)"
    tried = subprocess.run([sys.executable, "-c", trial], stderr=subprocess.DEVNULL)
    if tried.returncode == 3:
        raise ImportError("it would turn the GIL on")
