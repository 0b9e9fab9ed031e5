"""Who takes part: the standard library and rthread."""

from __future__ import annotations

import _thread
import builtins
import importlib
import queue
import threading
from types import ModuleType
from typing import Any

import rthread
import rthread.threading
from rthread import _rthread

from .measure import Rival

QUEUES = ("Queue", "LifoQueue", "PriorityQueue", "SimpleQueue")


def _queues(module: ModuleType | None) -> dict[str, Any]:
    return {name: getattr(module, name) for name in QUEUES if hasattr(module, name)}


def _own_queues() -> dict[str, Any]:
    try:
        return _queues(importlib.import_module("rthread.queue"))
    except ModuleNotFoundError as error:
        if error.name != "rthread.queue":
            raise
        return {}


def _stock_queue_on_rthread() -> ModuleType:
    """The interpreter's own `queue`, run once more where `threading` is rthread's.

    It is what a program has that uses the standard queues under `rthread.install()`. Installing is
    no way to measure it: stock and rthread are both needed in this process.
    """
    ours = {"threading": rthread.threading, "_thread": _rthread}

    def from_ours(name: str, *others: Any) -> ModuleType:
        return ours.get(name) or builtins.__import__(name, *others)

    module = ModuleType("queue on rthread")
    vars(module)["__builtins__"] = {**vars(builtins), "__import__": from_ours}
    loader: Any = queue.__spec__ and queue.__spec__.loader
    exec(loader.get_code("queue"), vars(module))
    return module


STOCK = Rival(
    "stock",
    {**vars(_thread), **vars(threading), **_queues(queue), "StockQueue": queue.Queue},
)
RTHREAD = Rival(
    "rthread",
    {
        **vars(_rthread),
        **vars(rthread.threading),
        **_own_queues(),
        "StockQueue": _stock_queue_on_rthread().Queue,
    },
)
RIVALS = [STOCK, RTHREAD]
