"""The programs of examples/debugging do what the documents say of them, on each interpreter."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from support import HANG, run_python

EXAMPLES = Path(__file__).resolve().parents[2] / "examples" / "debugging"
ENDS = "100 payments each way\naccount 1 has 1000, account 2 has 1000\n"

only_on_linux = pytest.mark.skipif(
    sys.platform != "linux", reason="processes are read from outside on Linux only"
)


def program(name: str) -> str:
    return str(EXAMPLES / name)


@pytest.mark.parametrize(
    "switch", [(), ("-m", "rthread", "--deadlocks=raise")], ids=["stock", "rthread"]
)
def test_the_mended_program_ends(switch: tuple[str, ...]) -> None:
    finished = run_python(*switch, program("two_accounts_fixed.py"))

    assert (finished.returncode, finished.stdout, finished.stderr) == (0, ENDS, "")


def test_the_planted_deadlock_is_named() -> None:
    finished = run_python("-m", "rthread", "--deadlocks=exit", program("two_accounts.py"))

    assert finished.returncode == 66
    assert "Deadlock: 2 threads wait for each other." in finished.stderr
    assert "Account.lock (Lock at" in finished.stderr
    assert f'File "{program("two_accounts.py")}", line' in finished.stderr


@contextmanager
def running(name: str) -> Iterator[int]:
    """A program that runs on rthread meanwhile. Gives its process."""
    process = subprocess.Popen(
        [sys.executable, program(name)],
        env={**os.environ, "RTHREAD": "1", "RTHREAD_DEADLOCKS": "off"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        yield process.pid
    finally:
        process.kill()
        process.wait()


def dump(pid: int, text: str) -> tuple[int, str]:
    """The exit status and the output of a dump that has this text."""
    end = time.monotonic() + HANG
    while True:
        finished = run_python("-m", "rthread.debug", "dump", str(pid))
        if text in finished.stdout or time.monotonic() > end:
            return finished.returncode, finished.stdout


@only_on_linux
def test_a_dump_of_the_planted_deadlock() -> None:
    with running("two_accounts.py") as pid:
        status, text = dump(pid, "Deadlock:")

    assert status == 3
    assert "Deadlock: 2 threads wait for each other." in text
    assert text.count(", taken by with") == 2


@only_on_linux
def test_a_dump_of_the_shop() -> None:
    with running("shop.py") as pid:
        status, text = dump(pid, "Stuck:")

    assert status == 3
    assert "is held by a thread that has ended." in text


def test_the_list_has_each_program() -> None:
    listed = [
        line.partition("]")[0].removeprefix("- [")
        for line in (EXAMPLES / "README.md").read_text("utf-8").splitlines()
        if line.startswith("- [")
    ]

    assert sorted(listed) == sorted(path.name for path in EXAMPLES.glob("*.py"))
