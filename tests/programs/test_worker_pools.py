"""Programs that share work out among threads and among processes."""

from __future__ import annotations

import hashlib
import multiprocessing
from pathlib import Path

import pytest

from programs.drive import ENGINES, running

CLERKS = 12
MESSAGES = 25


@pytest.mark.parametrize("engine", ENGINES)
def test_thread_pool(engine: str, tmp_path: Path) -> None:
    paths = [tmp_path / f"{number:03}" for number in range(120)]
    for number, path in enumerate(paths):
        path.write_bytes(bytes([number]) * number)
    with running(engine, "digests.py") as program:
        missing = [tmp_path / "missing", tmp_path]
        program.say("".join(f"{path}\n" for path in paths + missing))

    digests = [hashlib.sha256(path.read_bytes()).hexdigest() for path in paths]
    assert program.out.splitlines() == [
        *[f"{digests[number]} {number} {number:03}" for number in range(120)],
        "2 could not be read",
    ]
    assert (program.status, program.err) == (0, "")
    assert program.ran_on(engine)
    assert 1 <= program.threads <= 8


@pytest.mark.parametrize("engine", ENGINES)
def test_log_records_from_many_threads(engine: str) -> None:
    told = [
        (f"clerk{clerk}", f"message {number}")
        for number in range(MESSAGES)
        for clerk in range(CLERKS)
    ]
    with running(engine, "log_funnel.py") as program:
        program.say("".join(f"{name} {message}\n" for name, message in told))

    written = [line.split(": ") for line in program.out.splitlines()]
    assert written.pop() == ["MainThread", f"{CLERKS} clerks have gone"]
    assert len(written) == len(told)
    for clerk in range(CLERKS):
        messages = [message for name, message in written if name == f"clerk{clerk}"]
        assert messages == [f"message {number}" for number in range(MESSAGES)]
    assert (program.status, program.err) == (0, "")
    assert program.ran_on(engine)
    assert program.threads == CLERKS + 1


METHODS = {"spawn", "forkserver"} & set(multiprocessing.get_all_start_methods())


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("method", sorted(METHODS))
def test_processes(method: str, engine: str) -> None:
    numbers = [221, 97, 1009, 35, 143, 1763, 2, 899]
    with running(engine, "processes.py", method, *map(str, numbers)) as program:
        pass

    assert program.out.splitlines() == [
        "factors: 13 97 1009 5 11 41 2 29",
        f"sum: {sum(numbers)} exit status: 0",
    ]
    assert (program.status, program.err) == (0, "")
    assert program.ran_on(engine)
    # The parent, the two of the pool, and the single one; there may be helpers without threads.
    assert len(program.notes) >= 4
    # One of the pool may have been too slow to get any work.
    assert sum(1 for note in program.notes if note.starts) >= 3
