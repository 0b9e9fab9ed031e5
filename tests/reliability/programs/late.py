"""What objects do that die late, and hooks that run late, with threads and locks.

Arguments: what is done and where, of `ACTIONS` and `PLACES`; or "list" for all pairs. It says what
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


class Objects:
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


def use_locks(objects: Objects, say: Say) -> None:
    with objects.lock, objects.rlock, objects.rlock:
        say(objects.lock.locked(), objects.lock.acquire(False), objects.rlock.acquire(False))
        objects.rlock.release()
    say(objects.new_lock().acquire(), objects.lock.acquire())
    objects.lock.release()


def use_rest(objects: Objects, say: Say) -> None:
    with objects.condition:
        objects.condition.notify_all()
    objects.event.set()
    say(objects.event.is_set(), objects.event.wait())
    with objects.semaphore, objects.bounded:
        say(objects.semaphore.acquire(False), objects.bounded.acquire(False))
    say(objects.barrier.wait(), objects.local.value)


def use_queues(objects: Objects, say: Say) -> None:
    for items in objects.queues:
        items.put(2)
        items.put(1)
        say(items.get(), items.get(False), items.qsize(), items.empty())
        items.task_done()
    objects.simple.put(1)
    say(objects.simple.get(), objects.simple.empty())


def wait(objects: Objects, say: Say) -> None:
    """For what does not come, for a short time."""
    say(objects.taken.acquire(timeout=SHORT), objects.taken.acquire(False))
    say(objects.event.wait(SHORT))
    with objects.condition:
        say(objects.condition.wait(SHORT))
    say(objects.semaphore.acquire(timeout=SHORT), objects.semaphore.acquire(timeout=SHORT))


def join(objects: Objects, say: Say) -> None:
    """Threads that are over, and one that never will be."""
    say(objects.thread.is_alive(), objects.thread.join())
    say(objects.sleeper.is_alive())
    say(objects.sleeper.join(SHORT))


def start(objects: Objects, say: Say) -> None:
    thread = objects.new_thread(target=say, args=("it runs",), daemon=True)
    thread.start()
    thread.join()
    say("started")


def start_bare(objects: Objects, say: Say, sleep: Callable[[float], None] = time.sleep) -> None:
    lock = objects.new_lock()
    lock.acquire()
    objects.new_bare(lock.release, ())
    say("started")
    # Not for ever: at this time it may never run.
    say(lock.acquire(timeout=SHORT) in (True, False))
    sleep(SHORT)


ACTIONS: list[Callable[[Objects, Say], None]] = [
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

    def __init__(self, action: Callable[[Objects, Say], None]) -> None:
        self.action = action
        self.objects = Objects()
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
            self.action(self.objects, say)
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
        for action in ACTIONS:
            say(action.__name__, *(place.__name__ for place in PLACES))
        sys.exit()
    chosen, place = sys.argv[1:]
    globals()[place](Late(globals()[chosen]))
    del chosen, place
    say("main ends")
