"""Who takes part: the standard library and rthread."""

from __future__ import annotations

import _thread
import importlib
import queue
import threading
from collections.abc import Callable
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


def _server_on(threading: ModuleType) -> Callable[[], Any]:
    """What makes an HTTP server whose requests are threads of this module."""
    sockets = module_again("socketserver", {"threading": threading})
    http = module_again("http.server", {"socketserver": sockets})

    class Handler(http.BaseHTTPRequestHandler):  # type: ignore[misc, name-defined]
        def do_GET(self) -> None:
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    return lambda: http.ThreadingHTTPServer(("127.0.0.1", 0), Handler)


STOCK = Rival(
    "stock",
    {
        **vars(_thread),
        **vars(threading),
        **_queues(queue),
        "StockQueue": queue.Queue,
        "Server": _server_on(threading),
        # Stock has no such thing: what rthread does with it is compared with what stock does.
        "keep_threads": lambda _number: None,
    },
    textbook=lambda: textbook_on(threading, queue, queue),
)
RTHREAD = Rival(
    "rthread",
    {
        **vars(_rthread),
        **vars(rthread.threading),
        **_own_queues(),
        "StockQueue": STOCK_QUEUE.Queue,
        "Server": _server_on(rthread.threading),
        "keep_threads": vars(_rthread)["__keep_threads__"],
    },
    textbook=_textbook_on_rthread,
)
RIVALS = [STOCK, RTHREAD]
