"""A program read from a terminal: `-` with its startup file, its prompts and its tracebacks."""

from __future__ import annotations

import os
import select
import subprocess
import sys
import time
from pathlib import Path

import pytest

import support

pty = pytest.importorskip("pty")

LINES = (
    "import sys",
    "greeting",
    "def f():",
    "    return 1 / 0",
    "",
    "f()",
    "print(sys.argv, __name__)",
    "exit(3)",
)


def typed(*switch: str, startup: Path) -> tuple[str, int]:
    """All that is shown while the lines are typed, and the exit status."""
    master, slave = pty.openpty()
    variables = {**support._child_environment(None), "PYTHONSTARTUP": str(startup)}
    # The prompt that is there on every version.
    variables.update(PYTHON_BASIC_REPL="1", TERM="dumb", NO_COLOR="1")
    process = subprocess.Popen(
        [sys.executable, *switch, "-", "argument"],
        stdin=slave,
        stdout=slave,
        stderr=slave,
        env=variables,
        start_new_session=True,
    )
    os.close(slave)
    shown = ""
    lines = list(LINES)
    deadline = time.monotonic() + support.HANG
    while time.monotonic() < deadline:
        if select.select([master], [], [], 0.1)[0]:
            try:
                piece = os.read(master, 65536).decode(errors="replace")
            except OSError:
                break
            if not piece:
                break
            shown += piece
        elif lines and shown.endswith((">>> ", "... ")):
            os.write(master, f"{lines.pop(0)}\n".encode())
    os.close(master)
    return shown.replace("\r\n", "\n"), process.wait(support.HANG)


def test_a_program_typed_in_is_run_as_on_stock(tmp_path: Path) -> None:
    startup = tmp_path / "startup.py"
    startup.write_text("greeting = 'from the startup file'\n", encoding="utf-8")
    wanted, status = typed(startup=startup)
    assert status == 3, wanted
    assert "from the startup file" in wanted

    assert typed("-m", "rthread", startup=startup) == (wanted, status)
