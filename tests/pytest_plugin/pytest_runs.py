"""Runs pytest in fresh processes, on tests that are written for the occasion."""

from __future__ import annotations

import re
import subprocess
import textwrap
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import support

# A module that the tests of a run can import.
CROSSING = '''
import threading
import time

from rthread import debug


def wait_until_awaited(lock):
    while not debug.waiters(lock):
        time.sleep(0.001)


def cross(closer, guard=None):
    """Have two threads take two locks in opposite order.

    `closer` names the thread that closes the circle: "main" or "worker". `guard`, if there is one,
    is a context manager around what the worker does.
    """
    left, right = threading.Lock(), threading.Lock()
    both_have_one = threading.Barrier(2)

    def take_both():
        with left:
            both_have_one.wait()
            if closer == "worker":
                wait_until_awaited(left)
            with right:
                pass

    def work():
        if guard is None:
            take_both()
        else:
            with guard:
                take_both()

    worker = threading.Thread(target=work, name="worker")
    worker.start()
    try:
        with right:
            both_have_one.wait()
            if closer == "main":
                wait_until_awaited(right)
            with left:
                pass
    finally:
        worker.join()
'''

_COUNTS = re.compile(r"(\d+) (passed|failed|error|warning|skipped|xfailed)s?\b")


class Run:
    """A finished run of pytest."""

    def __init__(self, finished: subprocess.CompletedProcess[str]) -> None:
        self.status = finished.returncode
        self.out = finished.stdout
        self.err = finished.stderr

    @property
    def counts(self) -> dict[str, int]:
        """How many tests passed, failed and so on: the last line of the output."""
        lines = [line for line in self.out.splitlines() if _COUNTS.search(line)]
        return {word: int(number) for number, word in _COUNTS.findall(lines[-1])} if lines else {}

    def section(self, title: str) -> str:
        """The part of the output under a heading that contains `title`; empty without one."""
        found = []
        is_in = False
        for line in self.out.splitlines():
            if re.match(r"[=_-]{4,} ?\S.* ?[=_-]{4,}$", line):
                is_in = title in line
            elif is_in:
                found.append(line)
        return "\n".join(found)

    def __repr__(self) -> str:
        return f"exit status {self.status}\n--- stdout\n{self.out}\n--- stderr\n{self.err}"


RunPytest = Callable[..., Run]


def run_pytest_in(
    place: Path,
    source: str,
    *options: str,
    ini: str = "",
    files: Mapping[str, str] | None = None,
    env: Mapping[str, str] | None = None,
) -> Run:
    """Run `source` (dedented) as ``test_it.py`` in a fresh process.

    Args:
        place: an empty directory.
        source: the tests.
        options: for pytest.
        ini: lines for the configuration file.
        files: more files by their names.
        env: variables for the process.
    """
    written: dict[str, Any] = {
        "crossing.py": CROSSING,
        "test_it.py": source,
        "pytest.ini": f"[pytest]\n{textwrap.dedent(ini)}",
        **(files or {}),
    }
    for name, text in written.items():
        (place / name).write_text(textwrap.dedent(text), encoding="utf-8")
    variables = {"PYTEST_ADDOPTS": "", "PYTHONPATH": str(place), **(env or {})}
    arguments = ("-m", "pytest", "-p", "no:cacheprovider", "--color=no", *options, "test_it.py")
    return Run(support.run_python(*arguments, cwd=place, env=variables))
