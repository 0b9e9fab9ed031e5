"""The `queue` that goes with the mode: the interpreter's own on stock threads, else rthread's."""

from __future__ import annotations

import importlib
from typing import Any

from chosen import MODE

queue: Any = importlib.import_module("queue" if MODE == "stock" else "rthread.queue")
# Those of the interpreter, which have no locks of Python's: what programs talk to themselves by.
plain_queue: Any = importlib.import_module("_queue")
