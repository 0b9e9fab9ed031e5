"""The `queue` that goes with the mode: the interpreter's own on stock threads, else rthread's."""

from __future__ import annotations

import importlib
import sys
from typing import Any

from chosen import MODE

queue: Any = importlib.import_module("queue" if MODE == "stock" else "rthread.queue")
# Those of the interpreter, which have no locks of Python's: what programs talk to themselves by.
plain_queue: Any = importlib.import_module("_queue")

_MAY_HANG = MODE == "stock" and sys.version_info < (3, 13)


def get(source: Any, timeout: float | None) -> Any:
    """`source.get(True, timeout)`, except where that may last for ever.

    Up to 3.12 the stock SimpleQueue takes what is left of a time-out for no time-out at all, when a
    signal or another getter comes at its very end. Short ones meet that.
    """
    if _MAY_HANG and isinstance(source, queue.SimpleQueue) and timeout is not None and timeout < 1:
        return source.get(False)
    return source.get(True, timeout)
