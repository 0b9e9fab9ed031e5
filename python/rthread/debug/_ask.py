"""The questions about single objects and threads: `owner`, `waiters`, `held_by`, `find_…`."""

import gc

from rthread.debug import _executors, _graph, _kinds, _look, _reachable, _results, _safe, _snapshot
from rthread.debug._results import Deadlock, Owner, Stuck, Wait

TYPE_CHECKING = False
if TYPE_CHECKING:
    import threading
    from typing import Any

__all__ = ["find_deadlocks", "find_stuck", "held_by", "look", "owner", "waiters"]


def owner(lock: object) -> "Owner | None":
    """Tell which thread has taken a lock.

    Args:
        lock: a lock or an RLock of rthread.

    Returns:
        The owner; None if the lock is free.

    Raises:
        TypeError: `lock` is no lock, or the interpreter's own.
    """
    _kinds.check_lock("owner", lock)
    return _look.undisturbed(_owner, lock)  # type: ignore[no-any-return]


def _owner(lock: object) -> "Owner | None":
    found: tuple[int, int, bool] | None = _look.extension["__owner__"](lock)
    if found is None:
        return None
    taken = _look.extension["__taken_at__"](lock)
    return _results.owner_of(_look.take(locks=False, stacks=False).snapshot, *found, taken)


def waiters(obj: object) -> "list[Wait]":
    """Tell which threads wait for an object.

    Args:
        obj: a lock, RLock, condition, event, semaphore, barrier or queue of rthread; or a thread,
            or the handle of one, that other threads wait for.

    Returns:
        The waits, in the order in which they began.

    Raises:
        TypeError: `obj` is another object, or the interpreter's own.
    """
    wanted = _kinds.identities(obj)
    return _look.undisturbed(_waiters, obj, wanted)  # type: ignore[no-any-return]


def _waiters(obj: object, wanted: "set[int]") -> "list[Wait]":
    snapshot = _look.take(locks=False).snapshot
    states = (_snapshot.WAITING, _snapshot.HANDLING)
    found = [
        record
        for record in snapshot.threads
        if record.state in states and {id(record.object), id(record.inner)} & wanted
    ]
    found.sort(key=lambda record: record.since)
    return [_results.wait_of(snapshot, record) for record in found]


def held_by(thread: "threading.Thread | int") -> "list[Any]":
    """Tell which locks and RLocks of rthread a thread has taken and not released.

    Args:
        thread: the thread, or its ident.

    Returns:
        The locks. There are none if the thread has not started or has ended.

    Raises:
        TypeError: `thread` is neither a thread nor an int.
    """
    if type(thread) is int:
        return _look.undisturbed(_held_by, thread, None)  # type: ignore[no-any-return]
    if not _kinds.is_thread(thread):
        raise TypeError(
            f"held_by() takes a Thread or the ident of one, not {_safe.class_name(thread)}"
        )
    ident = _kinds.thread_ident(thread)
    return _look.undisturbed(_held_by, ident, thread)  # type: ignore[no-any-return]


def _held_by(ident: int, thread: object) -> "list[Any]":
    snapshot = _look.take().snapshot
    record = snapshot.thread(0, ident)
    # The ident of a thread that has ended may be that of another one by now.
    if record is None or (thread is not None and record.thread is not thread):
        return []
    return [lock.object for lock in snapshot.held(record)]


def find_deadlocks() -> "list[Deadlock]":
    """Find threads that wait for each other.

    Only waits without a time-out count: for locks, RLocks, and the ends of threads.

    Returns:
        The deadlocks, each once. A program may go on despite one whose `is_certain` is false.
    """
    return _look.undisturbed(_find_deadlocks)  # type: ignore[no-any-return]


def _find_deadlocks() -> "list[Deadlock]":
    snapshot = _look.take(locks=False).snapshot
    return [_results.deadlock_of(snapshot, cycle) for cycle in _graph.cycles(snapshot)]


def find_stuck(collect: bool = False) -> "list[Stuck]":
    """Find what is stuck for good, beside deadlocks.

    These are locks whose owner has ended, or did not come along through fork, and pools of threads
    all of whose workers wait for what only their own queue can bring.

    Args:
        collect: whether to look also for objects that can be reached only from threads that wait,
            as no thread will end such a wait. It takes a garbage collection, and one more look at
            all objects for each step from an object to a module. Code in C can have references that
            Python does not know, so these findings are never certain. There are none without a GIL,
            where the variables of other threads cannot be read.

    Returns:
        The findings.
    """
    if collect:
        # What is garbage refers to nothing. Finalizers of the program may run now.
        gc.collect()
    return _look.undisturbed(_find_stuck, collect)  # type: ignore[no-any-return]


def _find_stuck(collect: bool) -> "list[Stuck]":
    snapshot = look()
    found = [_results.stuck_of(snapshot, stuck) for stuck in _graph.stuck(snapshot)]
    if collect:
        found += _find_unreachable()
    return found


def _find_unreachable() -> "list[Stuck]":
    # A thread may pass an object on while the search looks elsewhere. What is out of reach stays
    # so.
    snapshot, waits = _look_for_unreachable(None)
    if waits:
        snapshot, waits = _look_for_unreachable(waits)
    return [_results.stuck_of(snapshot, stuck) for stuck in snapshot.starved]


def _look_for_unreachable(
    before: "set[tuple[int, int]] | None",
) -> "tuple[_snapshot.Snapshot, set[tuple[int, int]]]":
    snapshot = _look.take(locks=False).snapshot
    for stuck in _reachable.unreachable(snapshot):
        waits = {(record.number, record.serial) for record in stuck.threads}
        if before is None or waits <= before:
            snapshot.starved.append(stuck)
    return snapshot, {
        (record.number, record.serial) for stuck in snapshot.starved for record in stuck.threads
    }


def look() -> _snapshot.Snapshot:
    """Take a snapshot with all that a report tells."""
    taken = _look.take()
    taken.snapshot.starved = _executors.starved(taken.snapshot, taken.frames)
    return taken.snapshot
