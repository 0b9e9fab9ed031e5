"""Notes, in each python process that a program consists of, which threads it runs on.

Python imports this module at the start of each process whose PYTHONPATH has this folder, so that
the programs themselves need not know that they are watched. When the process comes to the end of
its threads, it leaves a file named after its id in the folder that WITNESS_NOTES names: what it
was, on what it ended, and on what each of its threads was started.
"""

from __future__ import annotations

import collections
import json
import os
import sys
import threading
from pathlib import Path

plain_start = threading.Thread.start
starts: collections.Counter[str] = collections.Counter()


def engine() -> str:
    """Where `threading` gets its threads and its locks from."""
    rthread = sys.modules.get("rthread._rthread")
    ours = [
        getattr(threading, name) is getattr(rthread, name.removeprefix("_"), None)
        for name in ("_start_new_thread", "_start_joinable_thread")
        if hasattr(threading, name)
    ]
    ours += [
        type(threading.Lock()) is getattr(rthread, "LockType", None),
        type(threading.RLock()) is getattr(rthread, "RLock", None),
        threading.get_ident is getattr(rthread, "get_ident", None),
        sys.modules["_thread"] is rthread,
    ]
    if all(ours):
        return "rthread"
    return "both" if any(ours) else "stock"


def start(self: threading.Thread) -> None:
    plain_start(self)
    starts[engine()] += 1


def leave_note() -> None:
    note = {
        "arguments": sys.orig_argv[1:],
        "engine": engine(),
        "starts": starts,
    }
    path = Path(os.environ["WITNESS_NOTES"]) / str(os.getpid())
    path.write_text(json.dumps(note), encoding="utf-8")


if "WITNESS_NOTES" in os.environ:
    # Not an audit hook: the interpreter's own start_new_thread has no event before 3.12.
    threading.Thread.start = start  # type: ignore[method-assign]
    # Not atexit: what multiprocessing has forked ends its threads and then leaves past atexit.
    threading._register_atexit(leave_note)  # type: ignore[attr-defined]
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=starts.clear)
