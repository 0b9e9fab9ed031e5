"""What objects do that die late, and hooks that run late, with threads and locks.

Arguments: what is done and where, of `DEEDS` and `PLACES`; or "list" for all pairs. It says what
comes of it, to be compared with what stock says.
"""

from __future__ import annotations

import atexit
import builtins
import gc
import importlib
import os
import sys
import time
from collections.abc import Callable
from typing import Any

from chosen import MODE, low_level, say, threading

queue: Any = importlib.import_module("queue" if MODE == "stock" else "rthread.queue")

SHORT = 0.001


class Things:
    """Made early: what they are made of is gone when they are used."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.taken = threading.Lock()
        self.taken.acquire()
        self.rlock = threading.RLock()
        self.condition = threading.Condition()
        self.event = threading.Event()
        self.semaphore = threading.Semaphore(1)
        self.bounded = threading.BoundedSemaphore(1)
        self.barrier = threading.Barrier(1)
        self.queues = [queue.Queue(), queue.LifoQueue(), queue.PriorityQueue()]
        self.simple = queue.SimpleQueue()
        self.local = threading.local()
        self.local.value = "main's"
        self.thread = threading.Thread(target=int)
        self.thread.start()
        self.thread.join()
        self.sleeper = threading.Thread(target=threading.Event().wait, daemon=True)
        self.sleeper.start()
        self.new_thread: Callable[..., Any] = threading.Thread
        self.new_bare: Callable[..., Any] = low_level.start_new_thread
        self.new_lock: Callable[[], Any] = threading.Lock


# For what has no builtins and no modules any more.
Say = Callable[..., None]


def use_locks(things: Things, say: Say) -> None:
    with things.lock, things.rlock, things.rlock:
        say(things.lock.locked(), things.lock.acquire(False), things.rlock.acquire(False))
        things.rlock.release()
    say(things.new_lock().acquire(), things.lock.acquire())
    things.lock.release()


def use_rest(things: Things, say: Say) -> None:
    with things.condition:
        things.condition.notify_all()
    things.event.set()
    say(things.event.is_set(), things.event.wait())
    with things.semaphore, things.bounded:
        say(things.semaphore.acquire(False), things.bounded.acquire(False))
    say(things.barrier.wait(), things.local.value)


def use_queues(things: Things, say: Say) -> None:
    for items in things.queues:
        items.put(2)
        items.put(1)
        say(items.get(), items.get(False), items.qsize(), items.empty())
        items.task_done()
    things.simple.put(1)
    say(things.simple.get(), things.simple.empty())


def wait(things: Things, say: Say) -> None:
    """For what does not come, for a short time."""
    say(things.taken.acquire(timeout=SHORT), things.taken.acquire(False))
    say(things.event.wait(SHORT))
    with things.condition:
        say(things.condition.wait(SHORT))
    say(things.semaphore.acquire(timeout=SHORT), things.semaphore.acquire(timeout=SHORT))


def join(things: Things, say: Say) -> None:
    """Threads that are over, and one that never will be."""
    say(things.thread.is_alive(), things.thread.join())
    say(things.sleeper.is_alive())
    say(things.sleeper.join(SHORT))


def start(things: Things, say: Say) -> None:
    thread = things.new_thread(target=say, args=("it runs",), daemon=True)
    thread.start()
    thread.join()
    say("started")


def start_bare(things: Things, say: Say, sleep: Callable[[float], None] = time.sleep) -> None:
    lock = things.new_lock()
    lock.acquire()
    things.new_bare(lock.release, ())
    say("started")
    # Not for ever: at this time it may never run.
    say(lock.acquire(timeout=SHORT) in (True, False))
    sleep(SHORT)


DEEDS: list[Callable[[Things, Say], None]] = [
    use_locks,
    use_rest,
    use_queues,
    wait,
    join,
    start,
    start_bare,
]


class Late:
    """Does it when it dies."""

    def __init__(self, deed: Callable[[Things, Say], None]) -> None:
        self.deed = deed
        self.things = Things()
        self.itself: Late | None = None

    def __del__(
        self,
        write: Callable[[int, bytes], int] = os.write,
        text: type[str] = str,
        kind: Callable[[object], Any] = type,
        base: type[BaseException] = BaseException,
    ) -> None:
        def say(*words: object) -> None:
            write(1, " ".join([text(word) for word in words]).encode() + b"\n")

        try:
            self.deed(self.things, say)
        except base as error:
            say(kind(error).__name__, error)


class Module:
    late: Late


def in_module(late: Late) -> None:
    globals()["kept"] = late


def in_cycle(late: Late) -> None:
    late.itself = late
    gc.disable()


def in_sys(late: Late) -> None:
    vars(sys)["late"] = late


def in_builtins(late: Late) -> None:
    vars(builtins)["late"] = late


def in_local(late: Late) -> None:
    values.late = late


def in_class(late: Late) -> None:
    Module.late = late


def at_exit(late: Late) -> None:
    """While everything is there still, but the threads that are waited for."""
    atexit.register(late.__del__)


def at_shutdown(late: Late) -> None:
    """As the executors of concurrent.futures end their threads."""
    threading._register_atexit(late.__del__)


values = threading.local()

PLACES: list[Callable[[Late], None]] = [
    in_module,
    in_cycle,
    in_sys,
    in_builtins,
    in_local,
    in_class,
    at_exit,
    at_shutdown,
]

if __name__ == "__main__":
    if sys.argv[1] == "list":
        for deed in DEEDS:
            say(deed.__name__, *(place.__name__ for place in PLACES))
        sys.exit()
    chosen, place = sys.argv[1:]
    globals()[place](Late(globals()[chosen]))
    del chosen, place
    say("main ends")
