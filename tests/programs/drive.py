"""Run a program as it is, talk to it, and learn from its witness which threads it has run on."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import support
from scenarios.watchdog import Watchdog

HERE = Path(__file__).resolve().parent
PROGRAMS = HERE / "programs"
ENGINES = {"stock": (), "rthread": ("-m", "rthread", "--children")}


@dataclass(frozen=True)
class Note:
    """What the witness has noted of one process: see `witness/sitecustomize.py`."""

    arguments: list[str]
    engine: str
    starts: Counter[str]


@dataclass
class Program:
    """A program that runs, and what is known of it when it has ended."""

    process: subprocess.Popen[str]
    status: int | None = None
    out: str = ""
    err: str = ""
    notes: list[Note] = field(default_factory=list)

    def say(self, text: str) -> None:
        """Write to its standard input, and close that."""
        assert self.process.stdin is not None
        with self.process.stdin as stdin:
            stdin.write(text)

    def hear(self) -> str:
        """The next line of its standard output."""
        assert self.process.stdout is not None
        return self.process.stdout.readline().rstrip("\n")

    def interrupt(self) -> None:
        self.process.send_signal(signal.SIGINT)

    def ran_on(self, engine: str) -> bool:
        """Whether all of its processes, and all threads in them, were of this engine only."""
        return bool(self.notes) and all(
            note.engine == engine and set(note.starts) <= {engine} for note in self.notes
        )

    @property
    def threads(self) -> int:
        """How many threads were started in all of its processes."""
        return sum(note.starts.total() for note in self.notes)


@contextmanager
def running(engine: str, *argv: str) -> Iterator[Program]:
    """Run a program under a watchdog, from the start of a `with` block to its own end.

    After the block the program has ended, and what it has said since is in it.

    Args:
        engine: one of `ENGINES`.
        argv: a script in `programs/` or `-m` and a module, and the arguments.
    """
    script = [] if argv[0] == "-m" else [str(PROGRAMS / argv[0])]
    rest = argv[1:] if script else argv
    with tempfile.TemporaryDirectory() as folder:
        err, notes = Path(folder, "stderr"), Path(folder, "notes")
        notes.mkdir()
        with err.open("w", encoding="utf-8") as stderr:
            process = subprocess.Popen(
                [sys.executable, "-u", *ENGINES[engine], *script, *rest],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=stderr,
                text=True,
                encoding="utf-8",
                env=support._child_environment(
                    {"PYTHONPATH": str(HERE / "witness"), "WITNESS_NOTES": str(notes)}
                ),
                start_new_session=True,
            )
        program = Program(process)
        watchdog = Watchdog(process)
        assert process.stdin is not None
        assert process.stdout is not None
        with process.stdin, process.stdout, watchdog:
            yield program
            if not process.stdin.closed:
                process.stdin.close()
            program.out = process.stdout.read()
            program.status = process.wait()
        program.err = err.read_text("utf-8", errors="backslashreplace")
        program.notes = [_read_note(path) for path in notes.iterdir()]
    assert not watchdog.bit, f"hung for {watchdog.seconds:g} s: {program}"


def _read_note(path: Path) -> Note:
    note: dict[str, Any] = json.loads(path.read_text("utf-8"))
    return Note(note["arguments"], note["engine"], Counter(note["starts"]))
