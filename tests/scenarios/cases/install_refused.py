"""`install()` and `uninstall()` while other threads are alive: refused, and nothing changed.

Arguments: which call, and how the other thread was started.
"""

from __future__ import annotations

import _thread
import concurrent.futures.thread
import logging
import queue
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import ModuleType

import rthread
from rthread import _rthread
from rthread import threading as shim

# In a list, where install() does not look: our own names are switched too.
STOCK = [_thread]
WATCHED: list[ModuleType] = [threading, queue, logging, concurrent.futures.thread]


def picture() -> list[object]:
    """What a program sees of the two modules, object by object."""
    modules = [id(sys.modules[name]) for name in ("_thread", "threading")]
    names = [
        (module.__name__, name, id(value))
        for module in WATCHED
        for name, value in vars(module).items()
    ]
    return [*modules, *names, rthread.is_installed()]


@contextmanager
def a_thread_of(start: Callable[[Callable[[], None]], object]) -> Iterator[None]:
    """Have a thread live inside the block, and be gone after it."""
    running, let_go = _thread.allocate_lock(), _thread.allocate_lock()
    running.acquire()
    let_go.acquire()

    def live() -> None:
        running.release()
        let_go.acquire()

    start(live)
    running.acquire()
    try:
        yield
    finally:
        let_go.release()


WAYS: dict[str, Callable[[Callable[[], None]], object]] = {
    "threading": lambda live: threading.Thread(target=live, name="the other").start(),
    "daemon": lambda live: threading.Thread(target=live, name="the other", daemon=True).start(),
    "bare": lambda live: _thread.start_new_thread(live, ()),
    "shim": lambda live: shim.Thread(target=live, name="the other").start(),
    "ours": lambda live: rthread.start_new_thread(live, ()),
}


def gone() -> bool:
    return not STOCK[0]._count() and not rthread._count() and len(threading.enumerate()) == 1


def main() -> None:
    what, way = sys.argv[1:]
    call = rthread.install if what == "install" else rthread.uninstall
    if what == "uninstall":
        rthread.install()
    before = picture()
    with a_thread_of(WAYS[way]):
        before_call = picture()
        for _ in range(2):
            try:
                call()
            except RuntimeError as error:
                print(type(error).__name__, error)
            print("nothing changed:", picture() == before_call == before)
    while not gone():
        pass
    call()
    print("done afterwards:", rthread.is_installed() == (what == "install"), picture() != before)
    print("_thread is", "rthread" if sys.modules["_thread"] is _rthread else "stock")


if __name__ == "__main__":
    main()
