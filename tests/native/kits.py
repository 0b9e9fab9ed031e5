"""The stock classes and rthread's side by side, and what several files here do with either."""

from __future__ import annotations

import contextlib
import importlib
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import support

NAMES = ("stock", "rthread")
CLASSES = ("Event", "Condition", "Semaphore", "BoundedSemaphore", "Barrier")
QUEUES = ("Queue", "LifoQueue", "PriorityQueue", "SimpleQueue")

# What a short wait takes; never compared with a clock from above.
SHORT = 0.01


@dataclass(frozen=True)
class Kit:
    """One implementation: `threading`, `_thread`, and, where asked for, `queue`."""

    name: str
    threading: Any
    api: Any

    @property
    def is_stock(self) -> bool:
        return self.name == "stock"

    @property
    def queue(self) -> Any:
        if self.is_stock:
            return importlib.import_module("queue")
        return importlib.import_module("rthread.queue")

    def make(self, name: str) -> Any:
        """A new object of class `name`, with arguments that suit it."""
        if name in QUEUES:
            return getattr(self.queue, name)()
        return getattr(self.threading, name)(*((2,) if name == "Barrier" else ()))

    def workers(self, count: int) -> contextlib.AbstractContextManager[list[support.Worker]]:
        return support.workers(self.api, count)


def kit(name: str) -> Kit:
    ours = support.load_ours()
    if name == "stock":
        return Kit(name, threading, support.stock())
    return Kit(name, importlib.import_module("rthread.threading"), ours)


# Fresh processes: `threading` and `queue` are what the first argument says.
PRELUDE = """
import gc, os, signal, sys, time
if sys.argv[1] == "rthread":
    from rthread import threading, queue
else:
    import threading, queue
"""


def check_on(kit: Kit, source: str, *args: str, **options: Any) -> None:
    """Run a snippet on `kit` in a fresh process; it has to print `fine` and nothing else."""
    import textwrap

    text = PRELUDE + textwrap.dedent(source)
    assert support.check_snippet(text, kit.name, *args, **options) == "fine\n"


# Signals


class Interrupted(BaseException):
    """What a handler raises here: like KeyboardInterrupt, but never another's."""


def interrupt(number: int, frame: object) -> None:
    raise Interrupted


@contextlib.contextmanager
def handling(number: int, handler: Callable[[int, Any], object]) -> Iterator[None]:
    before = signal.signal(number, handler)
    try:
        yield
    finally:
        signal.signal(number, before)


def during(wait: Callable[[], Any], handler: Callable[[int, Any], object]) -> Any:
    """Call `wait` on the main thread, and have `handler` run there when it is blocked in it."""
    main = threading.get_native_id()
    ident = threading.get_ident()
    about_to_wait = False

    def send() -> None:
        # start() below is a wait of the main thread's as well.
        support.wait_until(lambda: about_to_wait)
        support.wait_until_blocked(main)
        signal.pthread_kill(ident, signal.SIGUSR1)

    with handling(signal.SIGUSR1, handler):
        sender = threading.Thread(target=send)
        sender.start()
        about_to_wait = True
        try:
            return wait()
        finally:
            sender.join()


# Versions

SINCE_3_11 = sys.version_info >= (3, 11)
SINCE_3_12 = sys.version_info >= (3, 12)
SINCE_3_13 = sys.version_info >= (3, 13)
SINCE_3_14 = sys.version_info >= (3, 14)


def gives_up(kit: Kit, cls: Any, *, alone: bool = True) -> bool:
    """Does `get` of a queue of this class return when its time is over?

    Up to 3.12 the stock SimpleQueue takes what is left of a time-out, once it is less than zero,
    for no time-out at all, and waits for ever. Another getter or a signal at its very end leads
    there, and up to 3.10 so does a moment's delay, with no other thread.
    """
    if not kit.is_stock or cls.__name__ != "SimpleQueue":
        return True
    return SINCE_3_11 if alone else SINCE_3_13
