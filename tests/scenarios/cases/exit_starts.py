"""Threads that atexit callbacks start, or have started by another thread.

Of the callbacks, the one that is registered last comes first. rthread may have one of its own,
which is registered when it is imported.
"""

from __future__ import annotations

import atexit
from collections.abc import Callable


def first() -> None:
    use("the last callback")


atexit.register(first)

from chosen import low_level, say, threading  # noqa: E402

asked, answered, done = (low_level.allocate_lock() for _ in range(3))
name = ""


def tell(what: str) -> None:
    say(what)
    done.release()


def attempt(start: Callable[[], object]) -> None:
    """Start a thread and wait until it has spoken, or say why it cannot be had."""
    try:
        start()
    except RuntimeError as error:
        say(type(error).__name__, error)
    else:
        done.acquire()


def use(callback: str) -> None:
    global name
    name = callback
    attempt(lambda: low_level.start_new_thread(tell, (f"{name}: a thread",)))
    attempt(threading.Thread(target=tell, args=(f"{name}: a Thread",)).start)
    asked.release()
    answered.acquire()


def serve() -> None:
    while True:
        asked.acquire()
        attempt(lambda: low_level.start_new_thread(tell, (f"{name}: a thread of another's",)))
        answered.release()


def second() -> None:
    use("the first callback")


if __name__ == "__main__":
    for lock in (asked, answered, done):
        lock.acquire()
    threading.Thread(target=serve, daemon=True).start()
    atexit.register(second)
    say("main ends")
