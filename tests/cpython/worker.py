"""Run one of CPython's test modules through its regrtest and write down what becomes of each test.

    worker.py LOG MODULE [OPTION]…     run MODULE, with options for regrtest
    worker.py --in-use                 print which _thread this process runs on

regrtest's own JUnit file loses subtests that fail, and all of it is lost in a crash. So the calls
to unittest's result object are written to LOG as they come, one JSON object a line.

This file is run by itself, with nothing of this project importable but rthread.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import traceback
import unittest
from collections.abc import Callable
from typing import Any

HERE = os.path.dirname(os.path.abspath(__file__))


def in_use() -> str:
    """Which `_thread` this process runs on: "stock", "rthread", or what is wrong."""
    import _thread
    import threading

    threading_names: dict[str, Any] = vars(threading)
    ours = sys.modules.get("rthread._rthread")
    if ours is None:
        return "stock"
    truths = {
        "sys.modules['_thread'] is rthread._rthread": _thread is ours,
        "threading makes rthread's locks": type(threading.Lock()) is ours.LockType,
        "threading calls rthread": threading_names["_allocate_lock"] is ours.allocate_lock,
        "rthread.is_installed()": sys.modules["rthread"].is_installed(),
    }
    wrong = [name for name, true in truths.items() if not true]
    return "not so: " + ", ".join(wrong) if wrong else "rthread"


def in_use_in_child() -> str:
    """The same of a child process, started in the way that cuts it off the most."""
    child = subprocess.run(
        [sys.executable, "-I", os.path.abspath(__file__), "--in-use"],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        stdin=subprocess.DEVNULL,
        text=True,
    )
    return child.stdout.strip()


class Log:
    def __init__(self, path: str) -> None:
        self._path = path
        self._process = os.getpid()

    def write(self, event: dict[str, str]) -> None:
        # A test may fork, and its child may go on in unittest.
        if os.getpid() == self._process:
            with open(self._path, "a", encoding="utf-8") as file:
                file.write(json.dumps(event) + "\n")

    def write_use(self, place: str, found: str) -> None:
        self.write({"use": place, "found": found})


def event(test: Any, status: str, why: object = "") -> dict[str, str]:
    # A subtest that is skipped is reported by itself, and is the last that its test says.
    test = getattr(test, "test_case", test)
    # Some tests keep an `id` of their own there.
    name = unittest.TestCase.id(test) if isinstance(test, unittest.TestCase) else test.id()
    return {"test": name, "status": status, "why": str(why)}


def failure(test: Any, error: Any, where: str = "") -> dict[str, str]:
    kind, value, _ = error
    trace = "".join(traceback.format_exception(*error))
    return {**event(test, "failed", f"{where}{value}"), "kind": kind.__name__, "trace": trace}


# What each method of a unittest result object, called with these arguments, says of a test.
EVENTS: dict[str, Callable[..., dict[str, str] | None]] = {
    "startTest": lambda test: event(test, "started"),
    "addSuccess": lambda test: event(test, "passed"),
    "addSkip": lambda test, why: event(test, "skipped", why),
    "addExpectedFailure": lambda test, error: event(test, "expected failure"),
    "addUnexpectedSuccess": lambda test: event(test, "failed", "unexpected success"),
    "addFailure": failure,
    "addError": failure,
    # A subtest that fails makes its test fail; one that does not says nothing.
    "addSubTest": lambda test, sub, error: failure(test, error, f"{sub}: ") if error else None,
}


def record_results(log: Log) -> None:
    """Have every call to a unittest result object written to the log first."""

    def wrap(name: str) -> None:
        original = getattr(unittest.TestResult, name)

        def wrapper(self: unittest.TestResult, *args: Any) -> Any:
            said = EVENTS[name](*args)
            if said:
                log.write(said)
            return original(self, *args)

        setattr(unittest.TestResult, name, wrapper)

    for name in EVENTS:
        wrap(name)


def options() -> list[str]:
    """What to ask of regrtest: no test is left out that this machine can run."""
    from test.libregrtest import cmdline  # type: ignore[import-not-found]

    slow = [resource for resource in ("cpu", "walltime") if resource in cmdline.ALL_RESOURCES]
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    # The most that a test here says it may need is 4.9 GiB; what they take is far less.
    enough = ["--memlimit", "5g"] if memory > 7 else []
    return ["--fail-env-changed", "-u", ",".join(slow), *enough]


def main(log_path: str, module: str, *more: str) -> None:
    # The folder of this file: nobody should find a module here by accident.
    if sys.path and os.path.abspath(sys.path[0]) == HERE:
        del sys.path[0]
    from test.libregrtest.main import main as regrtest  # type: ignore[import-not-found]

    log = Log(log_path)
    log.write_use("in its process, before", in_use())
    log.write_use("in a child process", in_use_in_child())
    record_results(log)
    sys.argv = [sys.argv[0], *options(), *more, module]
    try:
        regrtest()
    finally:
        log.write_use("in its process, after", in_use())


if __name__ == "__main__":
    if sys.argv[1:] == ["--in-use"]:
        print(in_use())
    else:
        main(*sys.argv[1:])
