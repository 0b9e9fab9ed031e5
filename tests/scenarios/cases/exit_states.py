"""Threads that an atexit callback starts, and that are at work when it returns.

Arguments: how they are started. From 3.15 on the interpreter waits for those that are no daemons,
and knows them by what their states say; a thread that they start counts as well.
"""

from __future__ import annotations

import atexit
import sys
import time
from collections.abc import Callable

from chosen import low_level, say, threading


def late(more: Callable[[], object] = bool) -> None:
    # Long after the callbacks: a thread that is not waited for does not come to speak.
    time.sleep(0.5)
    say("late")
    more()


def start(daemon: bool, more: Callable[[], object] = bool) -> None:
    threading.Thread(target=late, args=(more,), daemon=daemon).start()


STARTS: dict[str, Callable[[], None]] = {
    "thread": lambda: start(daemon=False),
    "daemon": lambda: start(daemon=True),
    "one after the other": lambda: start(False, lambda: start(False, lambda: start(False))),
    "bare": lambda: low_level.start_new_thread(late, ()),
    "joinable": lambda: low_level.start_joinable_thread(late, daemon=False),
    "joinable daemon": lambda: low_level.start_joinable_thread(late),
}


def main() -> None:
    atexit.register(lambda: say("callbacks are over"))
    atexit.register(STARTS[sys.argv[1]])
    say("main ends")


if __name__ == "__main__":
    main()
