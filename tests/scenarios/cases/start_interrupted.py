"""A signal, or an exception from another thread, that comes while `Thread.start` waits.

Arguments: the scenario. The thread takes the time it is given before it says that it runs, so the
exception finds `start` in its wait; it has to come out there, and the thread has to go on.
"""

from __future__ import annotations

import ctypes
import signal
import sys
import warnings
from collections.abc import Callable
from typing import Any

from chosen import ask_for, low_level, say, threading

# Where a fork would warn of threads.
warnings.simplefilter("ignore")


class Raised(Exception):
    """Not what `start` would let pass by its `except Exception`, if it came out in its `try`."""


def raise_it(*_: object) -> None:
    raise Raised


class Slow(threading.Thread):  # type: ignore[misc]
    """A thread that waits with a lock in its hand, before it says that it runs."""

    def __init__(self, before: Callable[[], object] | None = None) -> None:
        self.ran: list[int] = []
        self.before = before
        self.go = low_level.allocate_lock()
        self.go.acquire()
        super().__init__(target=self.ran.append, args=(1,))

    def _set_ident(self) -> None:
        if self.before is not None:
            self.before()
        with self.go:
            super()._set_ident()


def start(thread: Any) -> None:
    try:
        thread.start()
    except BaseException as error:
        say("start raised", type(error).__name__, error)
    else:
        say("start went well")
    if thread.go.locked():
        say("limbo", len(threading._limbo), "alive", thread.is_alive())


def finish(thread: Any) -> None:
    thread.go.release()
    thread._started.wait()
    thread.join()
    say("ran", thread.ran, "left", len(threading._limbo), len(threading._active))
    try:
        thread.start()
    except RuntimeError as error:
        say("a second start:", error)


def by_signal() -> None:
    thread = Slow(before=lambda: ask_for("SIGUSR1"))
    start(thread)
    finish(thread)


def by_ctrl_c() -> None:
    thread = Slow(before=lambda: ask_for("SIGINT"))
    start(thread)
    finish(thread)


def by_a_handler_that_does_not_raise() -> None:
    thread = Slow(before=lambda: ask_for("SIGUSR1"))

    def let_go(*_: object) -> None:
        say("handler")
        thread.go.release()

    signal.signal(signal.SIGUSR1, let_go)
    start(thread)
    thread.go.acquire()
    finish(thread)


def by_an_exception_of_a_thread() -> None:
    """It comes out when the wait is over, and outside of the `try`."""
    main = ctypes.c_ulong(threading.get_ident())
    thread = Slow()

    def throw() -> None:
        ctypes.pythonapi.PyThreadState_SetAsyncExc(main, ctypes.py_object(Raised))
        thread.go.release()

    thread.before = throw
    start(thread)
    thread.go.acquire()
    finish(thread)


def in_another_thread() -> None:
    """Signals have nothing to do with a start that another thread makes."""
    thread = Slow(before=lambda: ask_for("SIGUSR1"))
    signal.signal(signal.SIGUSR1, lambda *_: thread.go.release())
    other = threading.Thread(target=start, args=(thread,))
    other.start()
    other.join()
    thread.go.acquire()
    finish(thread)


SCENARIOS: dict[str, Callable[[], None]] = {
    name: made for name, made in globals().items() if name.startswith(("by_", "in_"))
}


def main() -> None:
    signal.signal(signal.SIGUSR1, raise_it)
    SCENARIOS[sys.argv[1]]()


if __name__ == "__main__":
    main()
