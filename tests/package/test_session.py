"""``python -m rthread -`` at a terminal is ``python -`` at a terminal, on rthread."""

from __future__ import annotations

import os
import pty
import re
import select
import sys
import time
import warnings
from pathlib import Path

import pytest

import support

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs a pseudo-terminal")

PROMPTS = (">>> ", "... ")
# Terminals are told in these how to show what follows.
ESCAPES = re.compile(r"\x1b\[[?0-9;]*[a-zA-Z]|\x1b[=>]")


class Terminal:
    """A program at a terminal that knows nothing, and what the two say to each other."""

    def __init__(self, argv: list[str], directory: Path, environment: dict[str, str]) -> None:
        with warnings.catch_warnings():
            # Of the other threads here; the child becomes another program at once.
            warnings.simplefilter("ignore", DeprecationWarning)
            self._process, self._file = pty.fork()
        if self._process == 0:
            try:
                os.chdir(directory)
                # A dumb terminal, and no history file of the user's.
                given = {**os.environ, "TERM": "dumb", "HOME": str(directory), **environment}
                os.execve(sys.executable, [sys.executable, *argv], given)
            finally:
                os._exit(127)
        self.said = b""

    def talk(self, lines: list[str]) -> tuple[int, str]:
        """Enter one line after the other, and end with the end of the input."""
        for line in [*lines, "\x04"]:
            if not self._wait_for_prompt():
                break
            try:
                os.write(self._file, line.encode() + b"\r" * (line != "\x04"))
            except OSError:
                break
        while self._read():
            pass
        status = os.waitstatus_to_exitcode(os.waitpid(self._process, 0)[1])
        os.close(self._file)
        return status, self.said.decode()

    def _wait_for_prompt(self) -> bool:
        start = len(self.said)
        while not ESCAPES.sub("", self.said[start:].decode(errors="replace")).endswith(PROMPTS):
            if not self._read():
                return False
        return True

    def _read(self) -> bool:
        deadline = time.monotonic() + support.HANG
        ready, _, _ = select.select([self._file], [], [], max(0.0, deadline - time.monotonic()))
        assert ready, self.said.decode()
        try:
            some = os.read(self._file, 65536)
        except OSError:
            return False
        self.said += some
        return bool(some)


def talk(
    *argv: str, lines: list[str], directory: Path, environment: dict[str, str]
) -> tuple[int, list[str]]:
    status, said = Terminal([*argv], directory, environment).talk(lines)
    return status, support.without_addresses(ESCAPES.sub("", said)).replace("\r", "").splitlines()


def assert_same(
    *flags: str,
    lines: list[str],
    directory: Path,
    environment: dict[str, str] | None = None,
) -> tuple[int, list[str]]:
    environment = environment or {}
    plain = talk(*flags, "-", "one", lines=lines, directory=directory, environment=environment)
    ours = talk(
        *(*flags, "-m", "rthread", "-", "one"),
        lines=lines,
        directory=directory,
        environment=environment,
    )
    assert ours == plain
    return ours


SESSION = [
    "6 * 7",
    "import sys, os",
    "sys.argv, sys.flags.inspect, sys.path[0]",
    "1 / 0",
    "def f(): raise KeyError(1)",
    "",
    "f()",
    "for i in range(2): print('round', i)",
    "",
    "__name__, os.environ.get('PYTHONINSPECT')",
    "getattr(sys, '__interactivehook__', None)",
    "[m in sys.modules for m in ('readline', 'rlcompleter')]",
    "raise SystemExit(3)",
]


@pytest.mark.parametrize("flags", [[], ["-q"], ["-E"], ["-I"], ["-i"]], ids=" ".join)
def test_session(flags: list[str], tmp_path: Path) -> None:
    status, said = assert_same(*flags, lines=SESSION, directory=tmp_path)
    assert status == 3
    assert "42" in said
    assert any(line.startswith('Type "help", ') for line in said) is (flags != ["-q"])


def test_session_ends_with_the_input(tmp_path: Path) -> None:
    assert assert_same(lines=["1 + 1"], directory=tmp_path)[0] == 0


def test_session_is_on_rthread(tmp_path: Path) -> None:
    lines = ["import _thread, threading", "hasattr(_thread, 'TSS')", "threading.Lock().locked()"]
    _, said = talk("-m", "rthread", "-", lines=lines, directory=tmp_path, environment={})
    assert [line for line in said if line in ("True", "False")] == ["True", "False"]


def test_traceback_has_source_lines_where_stock_has_them(tmp_path: Path) -> None:
    _, said = assert_same(lines=["def f(): return 1 / 0", "", "f()"], directory=tmp_path)
    shown = [line for line in said if line.strip() == "def f(): return 1 / 0"]
    assert bool(shown) is (sys.version_info >= (3, 13))


@pytest.mark.parametrize(
    ("source", "x"),
    [
        ("x = 41\nprint('startup', __name__)\n", "41"),
        ("x = 42\n1 / 0\n", "42"),
        ("x = (\n", None),
        (None, None),
    ],
    ids=["fine", "failing", "syntax", "missing"],
)
def test_startup_file(source: str | None, x: str | None, tmp_path: Path) -> None:
    path = tmp_path / "startup.py"
    if source is not None:
        path.write_text(source)
    lines = ["globals().get('x')", "'__file__' in globals()", "raise SystemExit(5)"]
    environment = {"PYTHONSTARTUP": str(path)}
    # Releases from 3.13 on differ in how their own prompt takes a file that fails.
    if sys.version_info < (3, 13):
        assert_same(lines=lines, directory=tmp_path, environment=environment)
    status, said = talk(
        "-m", "rthread", "-", lines=lines, directory=tmp_path, environment=environment
    )
    assert status == 5
    assert [line for line in said if line in ("41", "42")] == ([x] if x else [])


@pytest.mark.parametrize("terminal", ["dumb", "xterm"])
def test_startup_file_runs_once(terminal: str, tmp_path: Path) -> None:
    (tmp_path / "startup.py").write_text("print('x', file=open('ran', 'a'))")
    environment = {"PYTHONSTARTUP": "startup.py", "TERM": terminal}
    lines = ["import _thread", "raise SystemExit(6 * hasattr(_thread, 'TSS'))"]
    status, _ = talk("-m", "rthread", "-", lines=lines, directory=tmp_path, environment=environment)
    assert status == 6
    assert (tmp_path / "ran").read_text() == "x\n"


def test_startup_file_that_exits(tmp_path: Path) -> None:
    (tmp_path / "startup.py").write_text("raise SystemExit(7)")
    environment = {"PYTHONSTARTUP": "startup.py"}
    status, said = talk(
        "-m", "rthread", "-", lines=["1"], directory=tmp_path, environment=environment
    )
    assert status == 7
    assert not any(line.startswith(">>>") for line in said)


def test_interactive_without_a_terminal(tmp_path: Path) -> None:
    source = "import sys\nsys.argv\n1 / 0\nraise SystemExit(4)\n"
    results = []
    for command in ([], ["-m", "rthread"]):
        done = support.run_python("-i", *command, "-", "one", cwd=tmp_path, stdin=source)
        results.append((done.returncode, done.stdout, done.stderr))
    assert results[0] == results[1]
    assert results[0][0] == 4
