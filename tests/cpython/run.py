"""Runs a test module in a process of its own, on the stock modules or on rthread."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TextIO

from .exceptions import left_out
from .suites import Suite

WORKER = Path(__file__).with_name("worker.py")
STOCK, RTHREAD = "stock", "rthread"
# What is put before a script for it to run on either.
LAUNCHERS = {
    STOCK: [sys.executable],
    RTHREAD: [sys.executable, "-m", "rthread", "--children"],
}
# The slowest module sleeps for two minutes and more: only a hang meets this.
WATCHDOG_SECONDS = 400.0

PASSED, FAILED, SKIPPED = "passed", "failed", "skipped"
# Begun and never ended: the process died or hung in it.
STARTED = "started"
# The kind of a process's failure that is not worth waiting for again.
HUNG = "hung"
# In the process of the other side only.
ABSENT = "absent"


@dataclass(frozen=True)
class Outcome:
    """What became of one test: its status, and for a failure the exception's type and words."""

    status: str
    kind: str = ""
    why: str = ""
    trace: str = ""

    def __str__(self) -> str:
        words = self.why.strip().splitlines()
        said = ": ".join(part for part in (self.kind, words[0] if words else "") if part)
        return f"{self.status} ({said[:200]})" if said else self.status


@dataclass
class Run:
    """One module on one side: the outcomes by test, and which `_thread` was found to be in use."""

    outcomes: dict[str, Outcome] = field(default_factory=dict)
    in_use: dict[str, str] = field(default_factory=dict)
    output: str = ""
    seconds: float = 0.0

    def outcome(self, test: str) -> Outcome:
        return self.outcomes.get(test, Outcome(ABSENT))


def process_of(suite: Suite) -> str:
    """The name, beside those of a module's tests, of how its process ended."""
    return f"the process of {suite.module}"


def run_both(suite: Suite, pattern: str = "") -> dict[str, Run]:
    """The module, or its tests that match, on both sides at the same time, under the same load."""
    with ThreadPoolExecutor(len(LAUNCHERS)) as pool:
        runs = {side: pool.submit(run_one, suite, side, pattern) for side in LAUNCHERS}
        return {side: run.result() for side, run in runs.items()}


def run_one(suite: Suite, side: str, pattern: str = "") -> Run:
    run = Run()
    with tempfile.TemporaryDirectory(prefix="cpython-tests-") as folder:
        log = Path(folder, "log")
        command = [
            *LAUNCHERS[side],
            str(WORKER),
            str(log),
            suite.module,
            *_selection(suite, pattern),
        ]
        started = time.monotonic()
        with open(Path(folder, "output"), "w+", encoding="utf-8", errors="replace") as output:
            ended = _run_process(command, folder, output)
            output.seek(0)
            run.output = output.read()
        run.seconds = time.monotonic() - started
        lines = log.read_text(encoding="utf-8").splitlines() if log.exists() else []
    _read_log(run, lines)
    run.outcomes[process_of(suite)] = _judge_process(run, ended)
    return run


def _selection(suite: Suite, pattern: str) -> list[str]:
    """regrtest's options for what to run of a module."""
    ignored = [option for test in left_out(suite) for option in ("--ignore", test)]
    return [*ignored, *(["--match", pattern] if pattern else [])]


def _run_process(command: Sequence[str], folder: str, output: TextIO) -> int | None:
    """The exit status, or None where the process hung."""
    process = subprocess.Popen(
        command,
        cwd=folder,
        env=_environment(folder),
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )
    try:
        return process.wait(WATCHDOG_SECONDS)
    except subprocess.TimeoutExpired:
        # regrtest turns faulthandler on: SIGABRT makes it write the stacks of all threads.
        os.killpg(process.pid, signal.SIGABRT)
        return None
    finally:
        _kill_all(process)


def _kill_all(process: subprocess.Popen[bytes]) -> None:
    """End the process and what it left behind."""
    try:
        process.wait(10)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        pass


def _environment(folder: str) -> dict[str, str]:
    """This process's, without what would make either side run in a way of its own."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("PYTHON", "RTHREAD", "PYTEST"))
    }
    return {**kept, "TMPDIR": folder}


def _read_log(run: Run, lines: list[str]) -> None:
    for line in lines:
        event: dict[str, Any] = json.loads(line)
        if "use" in event:
            run.in_use[event["use"]] = event["found"]
            continue
        test = event["test"]
        new = Outcome(
            event["status"], event.get("kind", ""), event.get("why", ""), event.get("trace", "")
        )
        # A test can say more than one thing of itself (subtests, or an error in its clean-up):
        # a failure stays one.
        if run.outcome(test).status != FAILED:
            run.outcomes[test] = new


def _judge_process(run: Run, status: int | None) -> Outcome:
    """The ends of a process that its tests do not account for are failures of their own."""
    counted = {outcome.status for outcome in run.outcomes.values()}
    if status is None:
        return Outcome(FAILED, HUNG, f"no end in {WATCHDOG_SECONDS:g} s")
    if status < 0:
        return Outcome(FAILED, "died", signal.Signals(-status).name)
    # regrtest's own statuses: 2 says that tests failed, 3 that they left threads, files or
    # settings behind, 4 that there was none to run.
    if status == 0 or (status == 2 and FAILED in counted):
        return Outcome(PASSED)
    if status == 4:
        return Outcome(SKIPPED)
    if status == 3:
        return Outcome(FAILED, "left something behind", _last_warning(run.output))
    return Outcome(FAILED, f"exit status {status}", (run.output.strip().splitlines() or [""])[-1])


def _last_warning(output: str) -> str:
    warnings = [line for line in output.splitlines() if "Warning --" in line]
    return warnings[-1] if warnings else ""
