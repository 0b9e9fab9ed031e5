"""What a thread is called: in logging, and by `current_thread()` and `enumerate()`.

Threads are started through `threading` as the mode has it, through the plain `threading`, and by
`_thread` alone; in the mode "shim" these are different modules, in all others the same.
"""

from __future__ import annotations

import _thread
import logging
import sys
import threading as plain
from typing import Any

from chosen import MODE, say, threading

if MODE == "shim":
    # The other way to spell it.
    from rthread import threading as again

    assert again is threading
    assert again is not plain

FORMAT = "%(levelname)s %(threadName)s %(message)s"


def modules_agree() -> bool:
    """Whether both modules give the same current thread, other threads, and number of threads."""
    return (
        threading.current_thread() is plain.current_thread()
        and set(threading.enumerate()) == set(plain.enumerate())
        and threading.active_count() == plain.active_count()
        and threading.main_thread() is plain.main_thread()
        and threading.get_ident() == plain.get_ident() == plain.current_thread().ident
        and threading.get_native_id() == plain.current_thread().native_id
    )


def describe(where: str) -> None:
    logging.info("in %s: modules agree: %s", where, modules_agree())


def subclass_of(module: Any) -> Any:
    """A thread class of either module that gives its threads a name of its own choice."""

    def run(self: Any) -> None:
        self.name = f"renamed {self.name}"
        describe("a subclass")

    return type("Worker", (module.Thread,), {"run": run})


def run_thread(thread: Any) -> None:
    thread.start()
    thread.join()


def run_bare() -> None:
    """A thread that no `threading` has started gets a dummy object of the module asked first."""
    done = threading.Lock()
    done.acquire()

    def bare() -> None:
        try:
            # Its number is not to be foretold.
            threading.current_thread().name = "found by name"
            describe("a bare thread")
            thread = plain.current_thread()
            say(type(thread).__name__, thread.daemon, thread.is_alive())
        finally:
            done.release()

    _thread.start_new_thread(bare, ())
    done.acquire()


def nested(inner: Any, outer: Any) -> None:
    """A thread of one module that starts one of the other inherits, and is seen, as ever."""

    def start_inner() -> None:
        describe("the outer one")
        thread = inner.Thread(target=describe, args=("the inner one",), name="inner")
        say("daemon inherited", thread.daemon)
        thread.start()
        thread.join()

    thread = outer.Thread(target=start_inner, name="outer", daemon=True)
    thread.start()
    thread.join()


def main() -> None:
    logging.basicConfig(stream=sys.stdout, level=logging.INFO, format=FORMAT)
    describe("the main thread")
    for module in (threading, plain):
        run_thread(module.Thread(target=describe, args=("a thread",)))
        run_thread(module.Thread(target=describe, args=("one",), name="called so"))
        run_thread(subclass_of(module)(name="one"))
        run_thread(module.Timer(0, describe, ("a timer",)))
    run_bare()
    nested(threading, plain)
    nested(plain, threading)
    # Up to 3.11 the dummy object of a thread that has ended stays until its ident is used again.
    say([thread.name for thread in threading.enumerate() if not thread.daemon], modules_agree())


if __name__ == "__main__":
    main()
