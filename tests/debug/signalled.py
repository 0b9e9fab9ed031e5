"""Programs that are sent signals, and what they write to standard error meanwhile.

A program tells on standard output how far it is, and waits for lines on standard input. So no test
depends on how fast anything is.
"""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

import support

PRELUDE = """
import os, signal, sys, threading, time
import rthread
rthread.install()
from rthread import debug

def say(text):
    os.write(1, f"{text}\\n".encode())

def order():
    # Waits for a line from the test, one byte at a time, so that no more is read.
    line = b""
    while not line.endswith(b"\\n"):
        byte = os.read(0, 1)
        if not byte:
            os._exit(9)
        line += byte
    return line.decode().strip()

def start(name, function, *args):
    thread = threading.Thread(target=function, args=args, name=name, daemon=True)
    thread.start()
    return thread

def keep_gil():
    # Says "kept" when no other thread can run Python code. Returns when the test gives an order.
    import ctypes
    assert ctypes.PyDLL(None).system(b"echo kept; read order") == 0
"""

END = re.compile(
    r"^No deadlock was found.*$|^(?:Possible d|D)eadlock:|^(?:Possibly s|S)tuck:", re.M
)
RECORDS = "Note: Python stacks are missing: "


class Program:
    """A process that runs a source after the prelude."""

    def __init__(
        self,
        folder: Path,
        source: str,
        *options: str,
        command: tuple[str, ...] = (),
        env: dict[str, str] | None = None,
    ) -> None:
        self._errors = folder / "stderr.txt"
        text = (PRELUDE if not command else "") + textwrap.dedent(source)
        with self._errors.open("wb") as errors:
            self.process = subprocess.Popen(
                [sys.executable, *options, *command, "-c", text],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                env=support._child_environment({"PYTHONFAULTHANDLER": "0", **(env or {})}),
                start_new_session=True,
            )

    @property
    def pid(self) -> int:
        return self.process.pid

    def errors(self) -> str:
        return self._errors.read_text("utf-8", "backslashreplace")

    def expect(self, line: str) -> None:
        """Wait until the program says this next."""
        assert self.process.stdout is not None
        said = self.process.stdout.readline().decode().rstrip("\n")
        assert said == line, f"{said!r} instead of {line!r}\n--- stderr\n{self.errors()}"

    def order(self, line: str = "") -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(f"{line}\n".encode())
        self.process.stdin.flush()

    def send(self, signum: int, pid: int | None = None) -> None:
        os.kill(self.pid if pid is None else pid, signum)

    def until(self, pattern: str | re.Pattern[str], since: int = 0, times: int = 1) -> str:
        """Wait until the program has written this to standard error, and give all of that.

        Args:
            pattern: what it has to write.
            since: the length of what it had written before.
            times: how often it has to write it.
        """

        def is_there() -> bool:
            has_ended = self.process.poll() is not None
            text = self.errors()[since:]
            found = len(re.findall(pattern, text)) >= times
            assert found or not has_ended, f"it ended ({self.process.returncode})"
            return found

        try:
            support.wait_until(is_there, f"{pattern}")
        except AssertionError as error:
            raise AssertionError(f"{error}\n--- stderr\n{self.errors()}") from None
        return self.errors()

    def report(self, signum: int, *words: str, pid: int | None = None) -> str:
        """Send a signal until a report has all of these words, and give that report."""
        for _ in range(1000):
            before = len(self.errors())
            self.send(signum, pid)
            text = self.until(END, before)[before:]
            if all(word in text for word in words):
                return text
        raise AssertionError(f"no report has {words}\n{self.errors()}")

    def finish(self, status: int = 0) -> str:
        """Wait for the end of the program, and give what it has written to standard error."""
        assert self.process.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.close()
        found = self.process.wait(support.PROCESS_HANG)
        assert found == status, f"exit status {found}\n--- stderr\n{self.errors()}"
        return self.errors()

    def close(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)
        self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout):
            if pipe is not None:
                with contextlib.suppress(BrokenPipeError):
                    pipe.close()


@contextlib.contextmanager
def program(
    folder: Path,
    source: str,
    *options: str,
    command: tuple[str, ...] = (),
    env: dict[str, str] | None = None,
) -> Iterator[Program]:
    """A running program, which is killed at the end if it still runs."""
    running = Program(folder, source, *options, command=command, env=env)
    try:
        yield running
    finally:
        running.close()
