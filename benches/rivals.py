"""Who takes part: the standard library and rthread."""

from __future__ import annotations

import _thread
import importlib
import queue
import threading
from types import ModuleType
from typing import Any

import rthread
import rthread.threading
from rthread import _rthread

from .measure import Rival
from .programs import module_again, textbook_on

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


# What a program has that uses the standard queues under `rthread.install()`.
STOCK_QUEUE = module_again("queue", {"threading": rthread.threading, "_thread": _rthread})


def _textbook_on_rthread() -> ModuleType:
    return textbook_on(rthread.threading, importlib.import_module("rthread.queue"), STOCK_QUEUE)


STOCK = Rival(
    "stock",
    {**vars(_thread), **vars(threading), **_queues(queue), "StockQueue": queue.Queue},
    textbook=lambda: textbook_on(threading, queue, queue),
)
RTHREAD = Rival(
    "rthread",
    {
        **vars(_rthread),
        **vars(rthread.threading),
        **_own_queues(),
        "StockQueue": STOCK_QUEUE.Queue,
    },
    textbook=_textbook_on_rthread,
)
RIVALS = [STOCK, RTHREAD]
