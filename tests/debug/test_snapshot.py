"""Reports on records made by hand: what text and JSON say, and which deadlocks there are."""

from __future__ import annotations

import json
from typing import Any

import pytest

from rthread.debug import _as_json, _graph, _snapshot, _text
from rthread.debug._snapshot import LockRecord, Snapshot, ThreadRecord, printable

SECOND = 1_000_000_000
A, B, C = 0xA000, 0xB000, 0xC000


def thread(number: int, **values: Any) -> ThreadRecord:
    values = {"name": f"t{number}", "stack": [("x.py", number, "f")], **values}
    values = {"ident": 1000 + number, "native_id": 100 + number, **values}
    return ThreadRecord(number=number, **values)


def waiting(number: int, owner: int, address: int = A, **values: Any) -> ThreadRecord:
    values = {"kind": _snapshot.LOCK, "certain": True, "since": SECOND, **values}
    return thread(number, state=_snapshot.WAITING, address=address, owner_number=owner, **values)


def snapshot(*threads: ThreadRecord, **values: Any) -> Snapshot:
    values = {"now": 3 * SECOND, "pid": 7, "version": "1.2.3", "python": "3.13.0", **values}
    return Snapshot(threads, **values)


def numbers(found: list[list[ThreadRecord]]) -> list[list[int]]:
    return [[record.number for record in cycle] for cycle in found]


def test_a_whole_report() -> None:
    taken = snapshot(
        thread(1, name="MainThread", is_main=True, daemon=False, native_id=0),
        waiting(2, 3, B, daemon=True),
        waiting(3, 2, A, stack=[("x.py", 5, "f"), ("x.py", 0, "<module>")]),
        waiting(4, 9, C, kind=_snapshot.RLOCK),
        thread(5, state=_snapshot.ATTACHING, note="the rest is missing"),
        thread(6, state=_snapshot.STARTING, stack=None),
        locks=[
            LockRecord(address=A, owner_number=2, by_with=True, site=("x.py", 4, "f")),
            LockRecord(address=B, owner_number=3, by_with=True),
            LockRecord(address=C, kind=_snapshot.RLOCK, owner_number=9),
            LockRecord(address=C + 1, kind=_snapshot.RLOCK, owner_number=3, count=2),
        ],
        names={A: "bank.a"},
        remarks=["Something is missing."],
    )
    assert _text.report(taken) == (
        "rthread 1.2.3, Python 3.13.0, process 7: 6 threads, 4 locks held\n"
        "Note: Something is missing.\n"
        "\n"
        "MainThread, main thread, ident 1001\n"
        "  state  running\n"
        '  stack  File "x.py", line 1, in f\n'
        "\n"
        "t2, daemon, native id 102, ident 1002\n"
        "  state  waiting for Lock at 0xb000, held by t3, for 2.0 s\n"
        '  holds  bank.a (Lock at 0xa000), taken by with, at File "x.py", line 4, in f\n'
        '  stack  File "x.py", line 2, in f\n'
        "\n"
        "t3, native id 103, ident 1003\n"
        "  state  waiting for bank.a (Lock at 0xa000), held by t2, for 2.0 s\n"
        "  holds  Lock at 0xb000, taken by with\n"
        "         RLock at 0xc001, taken 2 times\n"
        '  stack  File "x.py", line 5, in f\n'
        '         File "x.py", line ?, in <module>\n'
        "\n"
        "t4, native id 104, ident 1004\n"
        "  state  waiting for RLock at 0xc000, held by a thread that has ended, for 2.0 s\n"
        '  stack  File "x.py", line 4, in f\n'
        "\n"
        "t5, native id 105, ident 1005\n"
        "  state  waiting for the GIL\n"
        '  stack  File "x.py", line 5, in f\n'
        "         the rest is missing\n"
        "\n"
        "t6, native id 106, ident 1006\n"
        "  state  about to start\n"
        "\n"
        "Deadlock: 2 threads wait for each other.\n"
        "  t2: waiting for Lock at 0xb000, held by t3, for 2.0 s\n"
        "  t3: waiting for bank.a (Lock at 0xa000), held by t2, for 2.0 s\n"
        "\n"
        "Stuck: RLock at 0xc000 is held by a thread that has ended.\n"
        "  t4: waiting for RLock at 0xc000, held by a thread that has ended, for 2.0 s\n"
    )


def test_a_report_without_findings_says_so() -> None:
    text = _text.report(snapshot(thread(1)))
    assert text.endswith("\n\nNo deadlock was found, and no thread that is stuck for good.\n")
    assert text.startswith("rthread 1.2.3, Python 3.13.0, process 7: 1 thread, 0 locks held\n")


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({"kind": _snapshot.CONDITION}, "waiting for Condition at 0xa000, for 2.0 s"),
        ({"kind": _snapshot.EVENT}, "waiting for Event at 0xa000, for 2.0 s"),
        ({"kind": _snapshot.SEMAPHORE}, "waiting for Semaphore at 0xa000, for 2.0 s"),
        ({"kind": _snapshot.BARRIER}, "waiting for Barrier at 0xa000, for 2.0 s"),
        ({"kind": _snapshot.QUEUE_GET}, "waiting for an item from Queue at 0xa000, for 2.0 s"),
        ({"kind": _snapshot.QUEUE_PUT}, "waiting for room in Queue at 0xa000, for 2.0 s"),
        (
            {"kind": _snapshot.QUEUE_JOIN},
            "waiting for the end of all tasks of Queue at 0xa000, for 2.0 s",
        ),
        ({"kind": _snapshot.JOIN, "owner_number": 2}, "waiting for the end of t2, for 2.0 s"),
        ({"kind": _snapshot.SENTINEL}, "waiting for the end of a thread, for 2.0 s"),
        ({"kind": _snapshot.START, "address": 0}, "waiting until a new thread runs, for 2.0 s"),
        ({"kind": _snapshot.INTERPRETER, "since": 0}, "waiting for the interpreter"),
        ({"kind": _snapshot.LOCK, "owner_number": 1}, "Lock at 0xa000, held by itself, for 2.0 s"),
        ({"kind": _snapshot.LOCK}, "waiting for Lock at 0xa000, for 2.0 s"),
        ({"kind": _snapshot.LOCK, "timed": True}, "for 2.0 s (with a time-out)"),
        ({"kind": _snapshot.EVENT, "address": 0}, "waiting for an Event, for 2.0 s"),
        (
            {"kind": _snapshot.LOCK, "state": _snapshot.HANDLING},
            "running signal handlers in the middle of waiting for Lock at 0xa000",
        ),
    ],
)
def test_states(values: dict[str, Any], expected: str) -> None:
    values = {"state": _snapshot.WAITING, "address": A, "since": SECOND, **values}
    taken = snapshot(thread(1, **values), thread(2))
    assert _text.state(taken, taken.threads[0]).endswith(expected)


def test_without_a_gil_no_thread_waits_for_it() -> None:
    taken = snapshot(thread(1, state=_snapshot.ATTACHING), has_gil=False)
    assert _text.state(taken, taken.threads[0]) == "waiting until the interpreter lets it go on"


# Deadlocks


def test_each_cycle_is_found_once_and_begins_with_the_first_of_its_threads() -> None:
    taken = snapshot(
        thread(1),
        # Leads into a cycle, and is not in it.
        waiting(2, 4),
        waiting(3, 5),
        waiting(4, 3),
        waiting(5, 4),
        # Waits for itself.
        waiting(6, 6),
        # Waits for a thread that does not wait.
        waiting(7, 1),
    )
    assert numbers(_graph.cycles(taken)) == [[3, 5, 4], [6]]


@pytest.mark.parametrize(
    "values",
    [
        {"timed": True},
        {"state": _snapshot.ATTACHING},
        {"kind": _snapshot.CONDITION},
        {"owner_number": 0},
        {"owner_number": 9},
    ],
)
def test_a_wait_that_ends_otherwise_closes_no_cycle(values: dict[str, Any]) -> None:
    first = waiting(1, 2)
    for name, value in values.items():
        setattr(first, name, value)
    assert _graph.cycles(snapshot(first, waiting(2, 1))) == []


def test_a_cycle_is_certain_if_all_its_waits_are() -> None:
    (cycle,) = _graph.cycles(snapshot(waiting(1, 2), waiting(2, 1)))
    assert _graph.is_certain(cycle)
    (cycle,) = _graph.cycles(snapshot(waiting(1, 2), waiting(2, 1, certain=False)))
    assert not _graph.is_certain(cycle)


def test_a_thread_that_runs_signal_handlers_goes_on_with_its_wait() -> None:
    taken = snapshot(waiting(1, 2), waiting(2, 1))
    taken.threads[0].state = _snapshot.HANDLING
    assert numbers(_graph.cycles(taken)) == [[1, 2]]


def test_a_thread_that_waits_for_itself_by_a_bare_acquire_waits_for_a_signal() -> None:
    assert numbers(_graph.cycles(snapshot(waiting(1, 1)))) == [[1]]
    assert _graph.cycles(snapshot(waiting(1, 1, certain=False))) == []


def test_an_owner_is_found_by_its_ident_where_it_has_no_number() -> None:
    first = waiting(1, 0, owner_ident=1002, kind=_snapshot.JOIN)
    assert numbers(_graph.cycles(snapshot(first, waiting(2, 1)))) == [[1, 2]]


def test_a_deadlock_has_the_stacks_of_its_threads() -> None:
    taken = snapshot(waiting(1, 2, B), waiting(2, 1, A, stack=None), thread(3))
    (cycle,) = _graph.cycles(taken)
    assert _text.deadlock(taken, cycle) == (
        "Deadlock: 2 threads wait for each other.\n"
        "  t1: waiting for Lock at 0xb000, held by t2, for 2.0 s\n"
        "  t2: waiting for Lock at 0xa000, held by t1, for 2.0 s\n"
        "t1 stands at\n"
        '  File "x.py", line 1, in f\n'
        "t2 stands at\n"
        "  no Python frame"
    )


# Lost owners


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({}, "has ended"),
        ({"fork_number": 0}, "has ended"),
        ({"fork_number": 8}, "has ended"),
        ({"fork_number": 9}, "did not come along through fork"),
        ({"is_child": True}, "has ended or did not come along through fork"),
        ({"left_behind": lambda number: number == 9}, "did not come along through fork"),
        ({"left_behind": lambda number: False}, "has ended"),
    ],
)
def test_the_fate_of_an_owner(values: dict[str, Any], expected: str) -> None:
    lock = LockRecord(address=A, owner_number=9, by_with=True)
    (found,) = _graph.stuck(snapshot(thread(1), locks=[lock], **values))
    assert found.reason == f"Lock at 0xa000 is held by a thread that {expected}"
    is_lost = expected.startswith("did not")
    assert found.kind == ("owner lost by fork" if is_lost else "owner ended")


def test_a_lost_owner_that_only_a_wait_shows() -> None:
    taken = snapshot(waiting(1, 9), waiting(2, 9))
    (found,) = _graph.stuck(taken)
    assert [record.number for record in found.threads] == [1, 2]
    # The end of a thread that has ended is about to be told.
    assert _graph.stuck(snapshot(waiting(1, 9, kind=_snapshot.SENTINEL))) == []


# Words


def test_printable() -> None:
    assert printable("Thread-1 (f) ünï") == "Thread-1 (f) ünï"
    assert printable("a\nb\t\x00\x1b[1m\u2028\ud800") == r"a\nb\t\x00\x1b[1m\u2028\ud800"


def test_json_is_that_of_the_json_module() -> None:
    taken = snapshot(
        waiting(1, 2, name='"\\\n\ud800ünï😀', is_main=True, daemon=None),
        waiting(2, 1, B, owner_ident=1001, note="x"),
        thread(3, stack=None),
        locks=[LockRecord(address=A, owner_number=1, site=("x.py", 3, "f")), LockRecord(address=B)],
        names={B: "m.b"},
        remarks=["one", "two"],
    )
    text = _as_json.report(taken)
    assert text == json.dumps(_as_json.facts(taken)) + "\n"
    assert json.loads(text) == _as_json.facts(taken)


def test_a_tuple_of_the_extension_becomes_a_record() -> None:
    lock = object()
    found = (3, 1003, 103, 1, 2, lock, SECOND, 1, 12, 4, 1004, True)
    record = ThreadRecord.of(found)
    assert (record.number, record.ident, record.native_id) == (3, 1003, 103)
    assert (record.state, record.kind) == (_snapshot.WAITING, _snapshot.RLOCK)
    assert (record.object, record.address) == (lock, id(lock))
    assert (record.since, record.timed, record.serial) == (SECOND, True, 12)
    assert (record.owner_number, record.owner_ident, record.certain) == (4, 1004, True)
