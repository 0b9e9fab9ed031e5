"""``top`` on a terminal, and the page that it shows."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
import time
from contextlib import closing

import pytest
from outside_targets import TWO_LOCKS, target

import support
from rthread.debug import _snapshot, _table
from rthread.debug._proc import Task
from rthread.debug._snapshot import Snapshot, ThreadRecord
from rthread.debug._table import Sample, View

# The page


def thread(number: int, **facts: object) -> ThreadRecord:
    record = ThreadRecord(number=number, ident=number, native_id=100 + number)
    for name, value in {"name": f"t{number}", **facts}.items():
        setattr(record, name, value)
    return record


def sample(*threads: ThreadRecord, ticks: dict[int, int] | None = None) -> Sample:
    snapshot = Snapshot(threads, now=10**10, pid=7, version="1.2", python="3.14.0")
    ids = [record.native_id for record in threads]
    before = {number: Task(number, number, "x", "S", 0) for number in ids}
    after = {number: Task(number, number, "x", "S", (ticks or {}).get(number, 0)) for number in ids}
    return Sample(snapshot, after, before, 1.0)


def names(found: Sample, view: View) -> list[str]:
    return [line.split()[-1] for line in _table.page(found, view)[1]]


def waits(since: int, **facts: object) -> dict[str, object]:
    return {"state": _snapshot.WAITING, "since": since, **facts}


def test_sorting() -> None:
    hertz = os.sysconf("SC_CLK_TCK")
    found = sample(
        thread(1, name="c"),
        thread(2, name="b", **waits(9 * 10**9, kind=_snapshot.EVENT, address=5)),
        thread(3, name="a", **waits(10**9, kind=_snapshot.EVENT, address=5)),
        ticks={101: hertz // 2, 102: hertz, 103: 0},
    )
    view = View(1.0)
    assert names(found, view) == ["b", "c", "a"]
    view.sort = "N"
    assert names(found, view) == ["c", "b", "a"]
    view.sort = "A"
    assert names(found, view) == ["a", "b", "c"]
    view.sort = "T"
    assert names(found, view) == ["a", "b", "c"]
    view.is_reversed = True
    assert names(found, view) == ["c", "b", "a"]


def test_counts_and_hottest() -> None:
    lock = {"kind": _snapshot.LOCK, "address": 0xABC, "owner_number": 1}
    found = sample(
        thread(1),
        *(thread(number, **waits(10**9, **lock)) for number in (2, 3, 4)),
        *(thread(n, **waits(10**9, kind=_snapshot.EVENT, address=5)) for n in range(5, 10)),
        thread(10, state=_snapshot.ATTACHING),
    )
    above, below = _table.page(found, View(1.0))
    assert above[1] == "10 threads: 8 waiting, 1 GIL, 1 asleep"
    at = above.index("waiters   longest  held by             object")
    assert above[at + 1].split() == ["3", "9.0", "s", "t1", "Lock", "at", "0xabc"]
    assert above[at + 2].split() == ["5", "9.0", "s", "-", "Event", "at", "0x5"]
    assert len(below) == 10


def test_lines_fit_the_terminal() -> None:
    lock = {"kind": _snapshot.LOCK, "address": 2**47, "owner_number": 1}
    found = sample(thread(1, name="x" * 300), thread(2, **waits(1, **lock)))
    for width in (1, 20, 80, 120):
        above, below = _table.page(found, View(1.0), width)
        assert max(map(len, above + below)) <= width


def test_names_that_would_break_the_terminal() -> None:
    found = sample(thread(1, name="a\x1b[2Jb\n"))
    (line,) = _table.page(found, View(1.0))[1]
    assert line.isprintable()


# The terminal


class Terminal:
    """`top` on a terminal of its own."""

    def __init__(self, pid: int) -> None:
        self.text = ""
        self._own, other = os.openpty()
        argv = [sys.executable, "-m", "rthread.debug", "top", str(pid), "--interval=0.1"]
        env = {**os.environ, "TERM": "xterm", "LINES": "30", "COLUMNS": "120"}
        self.process = subprocess.Popen(
            argv, stdin=other, stdout=other, stderr=other, env=env, start_new_session=True
        )
        os.close(other)

    def send(self, keys: str) -> None:
        os.write(self._own, keys.encode())

    def read_until(self, text: str) -> None:
        """Read until this has been shown since the last call."""
        begin, deadline = len(self.text), time.monotonic() + support.HANG
        while text not in self.text[begin:]:
            assert time.monotonic() < deadline, self.text[begin:][:2000]
            if select.select([self._own], [], [], 1.0)[0]:
                self.text += os.read(self._own, 65536).decode("utf-8", "replace")

    def end(self) -> int:
        """Wait for its end; gives the exit status."""
        try:
            while os.read(self._own, 65536):
                pass
        except OSError:
            # The other side has been closed.
            pass
        return self.process.wait(support.HANG)

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        os.close(self._own)


def has_curses() -> bool:
    if not sys.platform.startswith("linux"):
        return False
    code = "import curses; curses.setupterm()"
    return support.run_python("-c", code, env={"TERM": "xterm"}).returncode == 0


def test_keys() -> None:
    if not has_curses():
        pytest.skip("there is no library for terminals, or no description of one")
    with target(TWO_LOCKS) as process, closing(Terminal(process.pid)) as terminal:
        terminal.read_until("deadlock:")
        terminal.send("h")
        terminal.read_until("q quit")
        terminal.send("NR Ah")
        terminal.send("s")
        terminal.read_until("now 0.1")
        terminal.send("0.2\n")
        terminal.send("s")
        terminal.read_until("now 0.2")
        # No number, so nothing changes.
        terminal.send("x\ns")
        terminal.read_until("now 0.2")
        terminal.send("\nq")
        assert terminal.end() == 3


def test_ctrl_c_ends_it() -> None:
    if not has_curses():
        pytest.skip("there is no library for terminals, or no description of one")
    with target(TWO_LOCKS) as process, closing(Terminal(process.pid)) as terminal:
        terminal.read_until("deadlock:")
        terminal.process.send_signal(signal.SIGINT)
        assert terminal.end() == 3


def test_a_process_that_ends_leaves_the_terminal_in_order() -> None:
    if not has_curses():
        pytest.skip("there is no library for terminals, or no description of one")
    with target(TWO_LOCKS) as process, closing(Terminal(process.pid)) as terminal:
        terminal.read_until("deadlock:")
        process.process.kill()
        process.process.wait()
        terminal.read_until(f"rthread: process {process.pid} has ended")
        assert terminal.end() == 1
