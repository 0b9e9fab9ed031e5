"""What happens when a thread is about to close a deadlock: the policy, and the hook for it."""

import os
import sys

from rthread._install import own
from rthread._settings import DEADLOCKS
from rthread._watch import warns_of_deadlocks
from rthread.debug import _dump, _look, _results, _safe, _snapshot
from rthread.debug._results import Deadlock, DeadlockError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, Literal

    from rthread.debug._snapshot import Snapshot, ThreadRecord

    Policy = Literal["raise", "warn", "exit", "off"]
    Cycle = list[tuple[int, int, int, Any]]

__all__ = ["deadlock_policy", "observers", "record_sites", "set_deadlock_policy"]

#: The exit status of a program that is ended by the policy "exit".
EXIT_STATUS = 66

# Reported deadlocks that are remembered, so that each is reported once.
_MOST_REMEMBERED = 1000

#: Functions that are told of each deadlock that is reported: the policy, and the text. They are
#: called in the thread that would close the deadlock.
observers: "list[Callable[[str, str], object]]" = []

# There is one hook for an interpreter, and so one policy, however often this module is loaded.
_state: "dict[str, Any]" = _look.extension.setdefault(
    "__debug_state__",
    {"policy": "warn" if warns_of_deadlocks() else "off", "reported": set(), "reporting": set()},
)


def set_deadlock_policy(policy: "Policy") -> "Policy":
    """Choose what happens when a thread is about to wait in a certain deadlock.

    A deadlock is certain if no other thread can end it: each thread in it waits, without a
    time-out, for an RLock, for a lock that was taken by a ``with`` statement, or for the end of a
    thread. A lock that was taken by a bare ``acquire`` may be released by any thread; such a
    deadlock is only in `find_deadlocks` and in reports.

    Args:
        policy: ``"raise"`` raises `DeadlockError` in the thread that would close the deadlock, so
            that the others may go on; ``"warn"`` writes a report to ``sys.stderr``, once for each
            deadlock; ``"exit"`` writes it and ends the process with status 66; ``"off"``, which is
            the default, does not look for deadlocks.

    Returns:
        The former policy.

    Raises:
        TypeError: `policy` is no str.
        ValueError: there is no such policy.
    """
    if not isinstance(policy, str):
        raise TypeError(f"the policy must be a str, not {_safe.class_name(policy)}")
    if policy not in DEADLOCKS:
        choices = ", ".join(map(repr, DEADLOCKS[:-1]))
        raise ValueError(f"the policy must be {choices} or {DEADLOCKS[-1]!r}, not {policy!r}")
    former: Policy = _state["policy"]
    _state["policy"] = policy
    _update_recording()
    _look.extension["__on_deadlock__"](None if policy == "off" else on_deadlock)
    return former


def record_sites(on: bool) -> bool:
    """Record where locks and RLocks are taken and made, or do so no more.

    Reports say then where the owner of a lock took it. That costs about 40 ns a lock. The policies
    ``"raise"`` and ``"exit"`` record it too.

    Args:
        on: True to record. A lock that was taken before is told without the place.

    Returns:
        The former choice.

    Raises:
        TypeError: `on` is no bool.
    """
    if not isinstance(on, bool):
        raise TypeError(f"record_sites takes a bool, not {_safe.class_name(on)}")
    former = bool(_state.get("sites"))
    _state["sites"] = on
    _update_recording()
    return former


def _update_recording() -> None:
    wanted = bool(_state.get("sites")) or _state["policy"] in ("raise", "exit")
    _look.extension["__record_sites__"](wanted)


def deadlock_policy() -> "Policy":
    """Tell the policy that `set_deadlock_policy` has set, ``"off"`` if it was never called."""
    policy: Policy = _state["policy"]
    return policy


def on_deadlock(cycle: "Cycle", may_raise: bool) -> None:
    """Do what the policy says; the extension calls it before the last wait begins.

    Args:
        cycle: number, ident, kind of wait and object of each thread; the first is the caller.
        may_raise: whether the wait of the caller may end with an exception.

    Raises:
        DeadlockError: the policy says so.
    """
    try:
        error = _answer(cycle, may_raise)
    except Exception:
        # A report that fails, as at the end of the interpreter, must not end a wait that the
        # program means to make.
        return
    if error is not None:
        raise error


def _answer(cycle: "Cycle", may_raise: bool) -> "DeadlockError | None":
    caller = own["get_ident"]()
    reporting: set[int] = _state["reporting"]
    # The report itself may run into the deadlock: `sys.stderr` may be an object of the program's.
    if caller in reporting:
        return None
    reporting.add(caller)
    try:
        return _look.undisturbed(_report, cycle, may_raise)  # type: ignore[no-any-return]
    finally:
        reporting.discard(caller)


def _report(cycle: "Cycle", may_raise: bool) -> "DeadlockError | None":
    policy = deadlock_policy()
    if policy == "off":
        return None
    key = frozenset((number, ident, id(waited_for)) for number, ident, _kind, waited_for in cycle)
    is_error = policy == "raise" and may_raise
    if not is_error and policy != "exit" and not _is_new(key):
        return None
    found = _describe(cycle)
    if found is None:
        return None
    text = found.text()
    # A wait that cannot end with an exception goes on, and the report is all that tells of it.
    told = "warn" if policy == "raise" and not is_error else policy
    for observer in list(observers):
        observer(told, text)
    if is_error:
        error = DeadlockError(text)
        error.deadlock = found
        return error
    _write(f"rthread: {text}\n")
    if policy == "exit":
        _flush_output()
        os._exit(EXIT_STATUS)
    return None


def _describe(cycle: "Cycle") -> "Deadlock | None":
    snapshot = _look.take(locks=False, cycle=cycle).snapshot
    found = [snapshot.thread(number, ident) for number, ident, *_ in cycle]
    records = [record for record in found if record is not None]
    if any(_is_taken_elsewhere(snapshot, record) for record in records):
        return None
    # Last: the sites above are those of holds that have not ended meanwhile. A generator that is
    # resumed by another thread may have released the lock since the cycle was found.
    if not _is_still_held(cycle):
        return None
    return _results.deadlock_of(snapshot, records)


def _is_still_held(cycle: "Cycle") -> bool:
    """Whether each lock of a cycle is still held by the next thread of the cycle."""
    owner_of = _look.extension["__owner__"]
    for (_, _, kind, lock), holder in zip(cycle, cycle[1:] + cycle[:1], strict=True):
        if kind in (_snapshot.LOCK, _snapshot.RLOCK):
            owner = owner_of(lock)
            if owner is None or holder[1] != owner[1]:
                return False
    return True


def _is_taken_elsewhere(snapshot: "Snapshot", record: "ThreadRecord") -> bool:
    """Whether the owner of a lock has left the function that took it by a ``with`` statement.

    That is the case if the function is a generator or a coroutine: another thread may resume it,
    and it releases the lock then. The same is assumed of a context manager that another one has
    entered, as an ``ExitStack`` does.
    """
    site, owner = snapshot.taken.get(record.address), snapshot.owner(record)
    if record.kind != _snapshot.LOCK or site is None or owner is None or not owner.stack:
        return False
    file, _line, function = site
    # The classes of `threading` that are written in Python take their lock in a method.
    if function.endswith(".__enter__"):
        return False
    return (file, function) not in {(frame[0], frame[2]) for frame in owner.stack}


def _is_new(key: "frozenset[tuple[int, int, int]]") -> bool:
    reported: set[Any] = _state["reported"]
    if key in reported:
        return False
    if len(reported) >= _MOST_REMEMBERED:
        reported.clear()
    reported.add(key)
    return True


def _write(text: str) -> None:
    for file in (sys.stderr, sys.__stderr__):
        if file is not None and _dump.write(file, text):
            return


def _flush_output() -> None:
    """Flush ``sys.stdout``, which a process that ends at once would not do."""
    output = sys.stdout
    # Another object may be a program's own, and wait for the deadlock.
    if type(output) is type(sys.__stdout__) and output is not None:
        try:
            output.flush()
        except Exception:
            pass


def _forget_threads() -> None:
    # The other threads, and their deadlocks, are not in the child.
    _state["reported"].clear()
    _state["reporting"].clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_threads)
