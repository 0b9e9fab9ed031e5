"""What the checks of `forking` are made of: threads of the parent, and threads of the child."""

from __future__ import annotations

import importlib
import time
from collections.abc import Callable
from typing import Any

from chosen import MODE, low_level, threading

queue: Any = importlib.import_module("queue" if MODE == "stock" else "rthread.queue")

# What stock can do is asked of it too; the rest is a lock of its Python classes that was held.
IS_STOCK = MODE == "stock"

SHORT = 0.0005
# Only a hang meets it, and then the watchdog is there as well.
LONG = 3600.0

Check = Callable[[], object]
# Makes objects, has threads use them, and gives what the child tries with them.
CASES: dict[str, Callable[[], Check]] = {}

# All threads of the parent that `threading` knows, for the child to join.
known: list[Any] = []
never = threading.Event()


def case(make: Callable[[], Check]) -> Callable[[], Check]:
    CASES[make.__name__] = make
    return make


def in_parent(function: Callable[..., object], *args: object) -> None:
    """Have a daemon thread call it, and another that `threading` does not know."""
    one_in_parent(function, *args)
    low_level.start_new_thread(function, args)


def one_in_parent(function: Callable[..., object], *args: object) -> None:
    thread = threading.Thread(target=function, args=args, daemon=True)
    thread.start()
    known.append(thread)


def all_the_time(work: Callable[[], object], threads: int = 2) -> None:
    """Have threads do it again and again, so that a fork meets them anywhere."""

    def loop() -> None:
        while True:
            work()

    for _ in range(threads):
        one_in_parent(loop)


def hold(lock: Any) -> None:
    """Have a thread of the parent hold a lock for good; return when it does."""
    holds = threading.Event()

    def run() -> None:
        lock.acquire()
        holds.set()
        never.wait()

    one_in_parent(run)
    holds.wait()


def called(function: Callable[..., Any], *args: Any) -> Any:
    """What a thread of the child gets of it."""
    results: list[Any] = []
    thread = threading.Thread(target=lambda: results.append(function(*args)))
    thread.start()
    thread.join()
    assert not thread.is_alive()
    return results[0]


class Waiting:
    """A thread of the child that calls something that blocks."""

    def __init__(self, function: Callable[..., Any], *args: Any) -> None:
        self.results: list[Any] = []
        self._thread = threading.Thread(target=lambda: self.results.append(function(*args)))
        self._thread.start()

    def result(self, help_it: Callable[[], object] | None = None) -> Any:
        """What it returned; until then, `help_it` is called again and again."""
        while help_it and self._thread.is_alive():
            help_it()
            self._thread.join(SHORT)
        self._thread.join()
        return self.results[0]


def use(lock: Any) -> None:
    """A lock that ought to be free, alone and between threads of the child."""
    assert lock.acquire()
    waiting = Waiting(lock.acquire)
    lock.release()
    assert waiting.result() is True
    if hasattr(lock, "_is_owned"):
        # It has gone with its holder.
        lock._at_fork_reinit()
    else:
        lock.release()
    with lock:
        assert not called(lock.acquire, False)
    assert called(lock.acquire, False)
    lock._at_fork_reinit()
    assert lock.acquire(False)
    lock.release()


def use_queue(items: Any) -> None:
    """A queue without items and with room, between threads of the child."""
    got = Waiting(lambda: [items.get() for _ in range(3)])
    for number in range(3):
        items.put(number)
    assert sorted(got.result()) == [0, 1, 2]
    try:
        items.get(timeout=SHORT)
    except queue.Empty:
        return
    raise AssertionError("there was an item left")


def pause() -> None:
    time.sleep(SHORT / 10)
