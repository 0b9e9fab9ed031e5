"""Wait for ever on the main thread and let Ctrl-C end the program."""

from __future__ import annotations

import queue
import sys

from chosen import ask_for, threading

lock = threading.Lock()
lock.acquire()
rlock = threading.RLock()
event = threading.Event()
taken = threading.Event()


def sleep_with_rlock() -> None:
    with rlock:
        taken.set()
        event.wait()


def enter() -> None:
    with lock:
        pass


sleeper = threading.Thread(target=sleep_with_rlock, daemon=True)
sleeper.start()
taken.wait()
WAITS = {
    "lock": lock.acquire,
    "with": enter,
    "rlock": rlock.acquire,
    "join": sleeper.join,
    "event": event.wait,
    "queue": queue.Queue().get,
}

ask_for("SIGINT")
WAITS[sys.argv[1]]()
