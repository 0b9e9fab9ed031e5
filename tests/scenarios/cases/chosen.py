"""What cases begin with: the `threading` they are to use, and a way to speak at once.

`SCENARIO` says how the case runs (see `tests/scenarios/run.py`). Cases take `threading` and
the module under it from here; what else they import from the standard library follows the mode by
itself.
"""

from __future__ import annotations

import concurrent.futures.thread
import importlib
import logging
import os
import queue
import signal
from typing import Any

MODE = os.environ.get("SCENARIO", "stock")

# What is imported above had the stock names before this: install() has to reach them.
USES_THREADING = (concurrent.futures.thread, logging, queue)

if MODE == "install":
    import rthread

    rthread.install()

threading: Any = importlib.import_module("rthread.threading" if MODE == "shim" else "threading")
# The module under it.
low_level: Any = importlib.import_module("rthread" if MODE == "shim" else "_thread")

# A shell starts background jobs with Ctrl-C ignored, and python leaves it so.
signal.signal(signal.SIGINT, signal.default_int_handler)


def say(*words: object) -> None:
    """Print `words` so that the process at the other end of the pipe has them now."""
    print(*words, flush=True)


def ask_for(signal_name: str) -> None:
    """Have the other process send a signal as soon as no thread of this one runs any more."""
    say("signal", signal_name)
