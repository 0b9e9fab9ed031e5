"""Threads that end with an exception: what is printed, and which hooks hear of it.

Arguments: how the thread is started, and what is done about the hooks.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import Any

from chosen import low_level, say, threading


class Unprintable(Exception):
    def __str__(self) -> str:
        raise ValueError("no words for it")


def fail() -> None:
    raise ValueError("out of the thread")


def fail_with_cause() -> None:
    try:
        fail()
    except ValueError as error:
        raise KeyError("because of that") from error


def fail_unprintably() -> None:
    raise Unprintable


def leave() -> None:
    sys.exit("not printed")


def leave_low_level() -> None:
    low_level.exit()


def interrupt_itself() -> None:
    raise KeyboardInterrupt("in a thread")


def recurse() -> None:
    recurse()


FUNCTIONS: list[Callable[[], object]] = [
    fail,
    fail_with_cause,
    fail_unprintably,
    leave,
    leave_low_level,
    interrupt_itself,
    recurse,
]


def hear(what: str) -> Callable[[Any], None]:
    def hook(args: Any) -> None:
        say(what, args.exc_type.__name__, args.exc_traceback is not None)
        for name in ("thread", "err_msg", "object"):
            found = getattr(args, name, "nothing of the kind")
            say("  ", name, getattr(found, "__name__", getattr(found, "name", found)))

    return hook


def broken_hook(args: Any) -> None:
    raise ZeroDivisionError("in the hook")


def run_thread(function: Callable[[], object]) -> None:
    thread = threading.Thread(target=function, name=f"thread of {function.__name__}")
    thread.start()
    thread.join()
    say("ended", thread.is_alive())


def run_bare(function: Callable[[], object]) -> None:
    # There is nothing to join: wait until it is there, and then until it is not.
    started = threading.Lock()
    started.acquire()

    def run() -> None:
        started.release()
        function()

    low_level.start_new_thread(run, ())
    started.acquire()
    while low_level._count():
        time.sleep(0.001)
    say("ended")


def run_joinable(function: Callable[[], object]) -> None:
    """From 3.13 on."""
    handle = low_level.start_joinable_thread(function)
    handle.join()
    say("ended", handle.is_done())


STARTS = {"thread": run_thread, "bare": run_bare, "joinable": run_joinable}


def no_stderr() -> None:
    sys.stderr = None


def set_hooks(threads: Callable[[Any], None], unraisable: Callable[[Any], None]) -> None:
    threading.excepthook = threads
    sys.unraisablehook = unraisable


HOOKS: dict[str, Callable[[], object]] = {
    "plain": lambda: None,
    "heard": lambda: set_hooks(hear("threading.excepthook"), hear("sys.unraisablehook")),
    "broken": lambda: set_hooks(broken_hook, broken_hook),
    "no_stderr": no_stderr,
}


if __name__ == "__main__":
    HOOKS[sys.argv[2]]()
    for each in FUNCTIONS:
        STARTS[sys.argv[1]](each)
