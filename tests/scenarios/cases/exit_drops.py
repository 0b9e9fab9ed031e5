"""A thread that has come to its end, and drops what it was started with while the program ends."""

from __future__ import annotations

import time
from collections.abc import Callable

from chosen import low_level, say, threading

dropping, go = (low_level.allocate_lock() for _ in range(2))


class Slow:
    """Takes its time to die."""

    def __del__(self, sleep: Callable[[float], object] = time.sleep) -> None:
        dropping.release()
        sleep(0.2)
        say("dropped")


def wait(*_: object) -> None:
    go.acquire()


def start() -> None:
    """In a thread: without a GIL, what is owned by one that still runs is destroyed there."""
    low_level.start_new_thread(wait, (Slow(),))


if __name__ == "__main__":
    for lock in (dropping, go):
        lock.acquire()
    starter = threading.Thread(target=start)
    starter.start()
    starter.join()
    say("main ends")
    go.release()
    dropping.acquire()
