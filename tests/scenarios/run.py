"""Run a case: a script of `cases/` in a process of its own, on the stock threads or on rthread.

A case speaks on its standard output. A line `signal NAME` there is a request: the signal is sent
as soon as all threads of the case are blocked, so that it meets the wait that the case is about
and not the way there.
"""

from __future__ import annotations

import functools
import signal
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import support
from scenarios.cases.blocked_threads import wait_until_all_blocked
from scenarios.watchdog import Watchdog

CASES = Path(__file__).resolve().parent / "cases"

# How a program comes to rthread: by the command line, by a call from inside after it has imported
# the standard library, or by importing our `threading` next to the stock one.
INSTALLED = ("command", "install")
MODES = (*INSTALLED, "shim")
# The same as "command", with child processes.
SWITCHES = {"command": ["-m", "rthread"], "children": ["-m", "rthread", "--children"]}


@dataclass(frozen=True)
class Outcome:
    """What is to be seen of a process from outside."""

    status: int
    out: str
    err: str

    @property
    def lines(self) -> list[str]:
        return self.out.splitlines()


def run(mode: str, case: str, *args: str, timeout: float = support.PROCESS_HANG) -> Outcome:
    """Run `case` to its end.

    Args:
        mode: "stock", "children", or one of `MODES`.
        case: the name of a script in `cases/`, or a path; without `.py`.
        args: its arguments.
        timeout: seconds after which it counts as hung.

    Raises:
        AssertionError: when it hangs. The message has the stacks of all its threads.
    """
    switch = SWITCHES.get(mode, [])
    with tempfile.TemporaryFile("w+", encoding="utf-8", errors="backslashreplace") as err:
        process = subprocess.Popen(
            [sys.executable, *switch, str(CASES / f"{case}.py"), *args],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=err,
            text=True,
            encoding="utf-8",
            # For scripts elsewhere: they begin with what cases begin with.
            env=support._child_environment({"SCENARIO": mode, "PYTHONPATH": str(CASES)}),
            start_new_session=True,
        )
        watchdog = Watchdog(process, timeout)
        with watchdog:
            out = _serve(process)
            status = process.wait()
        err.seek(0)
        outcome = Outcome(status, *map(support.without_addresses, (out, err.read())))
    assert not watchdog.bit, f"hung for {watchdog.seconds:g} s: {mode} {case} {args}: {outcome}"
    return outcome


@functools.cache
def run_stock(case: str, *args: str) -> Outcome:
    """Run `case` on the stock threads, once for all modes that are compared with it."""
    return run("stock", case, *args)


def _serve(process: subprocess.Popen[str]) -> str:
    """Read what the process says to its end, and send the signals it asks for."""
    assert process.stdout is not None
    said = []
    with process.stdout:
        for line in process.stdout:
            said.append(line)
            if line.startswith("signal "):
                wait_until_all_blocked(process.pid)
                process.send_signal(signal.Signals[line.split()[1]])
    return "".join(said)
