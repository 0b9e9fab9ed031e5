"""Threads that cannot be started, for want of memory or because there are too many already.

Arguments: what is wanting, and how the thread is started. Nothing of the failed start may be left,
and once there is enough again all has to go on as if nothing had happened.
"""

from __future__ import annotations

import contextlib
import gc
import os
import resource
import sys
import weakref
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from chosen import low_level, say, threading

GIB = 1 << 30
NOBODY = 65534


@contextlib.contextmanager
def limited(what: int, soft: int) -> Iterator[None]:
    before = resource.getrlimit(what)
    resource.setrlimit(what, (soft, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(what, before)


@contextlib.contextmanager
def no_memory() -> Iterator[None]:
    """Room for everything but a stack of one gibibyte."""
    with open("/proc/self/statm", encoding="ascii") as file:
        used = int(file.read().split()[0]) * resource.getpagesize()
    before = threading.stack_size(GIB)
    try:
        with limited(resource.RLIMIT_AS, used + GIB // 2):
            yield
    finally:
        threading.stack_size(before)


def no_threads() -> contextlib.AbstractContextManager[None]:
    """The thread that this process has, and not one more."""
    if os.getuid() == 0:
        # Root is not bound by the limit.
        os.setuid(NOBODY)
    return limited(resource.RLIMIT_NPROC, 1)


@contextlib.contextmanager
def reported(what: str) -> Iterator[None]:
    try:
        yield
    except RuntimeError as error:
        say(what, type(error).__name__, error)
    else:
        say(what, "went well")


class Witness:
    def __call__(self) -> None:
        say("the thread runs")


def report_threads() -> None:
    say(
        "there are",
        [thread.name for thread in threading.enumerate()],
        len(threading._active),
        len(threading._limbo),
        low_level._count(),
    )


def report_thread(thread: Any) -> None:
    say("thread", thread.ident, thread.is_alive(), thread._started.is_set())
    with reported("join"):
        thread.join()


def start_a_thread(starving: Callable[[], Any], daemon: bool) -> None:
    function = Witness()
    seen = weakref.ref(function)
    thread = threading.Thread(target=function, daemon=daemon, name="unlucky")
    with starving():
        for _ in range(2):
            with reported("start"):
                thread.start()
            report_threads()
            report_thread(thread)
    with reported("start when there is enough"):
        thread.start()
        # Here, so that it has spoken before we do.
        thread.join()
    del thread, function
    gc.collect()
    say("left behind", seen() is not None)


def start_bare(starving: Callable[[], Any]) -> None:
    function = Witness()
    seen = weakref.ref(function)
    with starving():
        with reported("start_new_thread"):
            low_level.start_new_thread(function, (), {})
        report_threads()
    del function
    say("left behind", seen() is not None)


def start_joinable(starving: Callable[[], Any]) -> None:
    """From 3.13 on."""
    function = Witness()
    seen = weakref.ref(function)
    handle = low_level._ThreadHandle()
    with starving():
        with reported("start_joinable_thread"):
            low_level.start_joinable_thread(function, handle=handle, daemon=False)
        say("is done", handle.is_done())
        with reported("join"):
            handle.join()
        report_threads()
    del function
    say("left behind", seen() is not None)


def start_in_executor(starving: Callable[[], Any]) -> None:
    with ThreadPoolExecutor(1) as executor:
        with starving():
            with reported("submit"):
                executor.submit(say, "never")
            report_threads()


def start_many(starving: Callable[[], Any]) -> None:
    """Failure after failure costs nothing."""
    failures = 0
    with starving():
        for _ in range(200):
            try:
                threading.Thread(target=Witness()).start()
            except RuntimeError:
                failures += 1
    say("failures", failures, len(threading._dangling))
    report_threads()


WANTING = {"memory": no_memory, "threads": no_threads}
STARTS: dict[str, Callable[[Callable[[], Any]], None]] = {
    "thread": lambda starving: start_a_thread(starving, daemon=False),
    "daemon": lambda starving: start_a_thread(starving, daemon=True),
    "bare": start_bare,
    "joinable": start_joinable,
    "executor": start_in_executor,
    "many": start_many,
}


def main() -> None:
    STARTS[sys.argv[2]](WANTING[sys.argv[1]])
    thread = threading.Thread(target=Witness())
    thread.start()
    thread.join()
    report_threads()


if __name__ == "__main__":
    main()
