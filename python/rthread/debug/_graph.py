"""Finds deadlocks and stuck threads in a `Snapshot`.

A thread waits for one object at a time, and a lock, an RLock or the end of a thread has one owner.
So each thread has at most one successor, and a deadlock is a cycle of successors. A wait with a
time-out ends by itself and belongs to no cycle.
"""

from rthread.debug import _snapshot
from rthread.debug._snapshot import LockRecord, Snapshot, StuckRecord, ThreadRecord

__all__ = ["cycles", "fate_of_owner", "is_certain", "stuck"]

_ENDED = "has ended"
_LOST = "did not come along through fork"


def cycles(snapshot: Snapshot) -> "list[list[ThreadRecord]]":
    """The deadlocks.

    Returns:
        A list of threads for each cycle: each thread waits for what the next one owns, and the last
        one for what the first one owns. The first is the one that comes first in the snapshot.
    """
    # By the id of a record, the thread from which the walk has come there first.
    seen: dict[int, int] = {}
    found = []
    for start in snapshot.threads:
        path: list[ThreadRecord] = []
        record: ThreadRecord | None = start
        while record is not None and id(record) not in seen:
            seen[id(record)] = id(start)
            path.append(record)
            record = _successor(snapshot, record)
        if record is not None and seen[id(record)] == id(start):
            cycle = path[next(i for i, other in enumerate(path) if other is record) :]
            # A thread that takes a lock a second time by a bare acquire() waits for a signal: other
            # threads release the lock. `Condition.wait` of the Python class does so.
            if len(cycle) > 1 or is_certain(cycle):
                found.append(_in_order(snapshot, cycle))
    return found


def _successor(snapshot: Snapshot, record: ThreadRecord) -> "ThreadRecord | None":
    """The thread that has to do something before a thread can go on."""
    is_owned = record.kind in _snapshot.OWNED
    return snapshot.owner(record) if _waits(record) and is_owned and not record.timed else None


def _waits(record: ThreadRecord) -> bool:
    # A thread that runs signal handlers goes on with its wait when they have returned.
    return record.state in (_snapshot.WAITING, _snapshot.HANDLING)


def _in_order(snapshot: Snapshot, cycle: "list[ThreadRecord]") -> "list[ThreadRecord]":
    members = {id(record) for record in cycle}
    first = next(record for record in snapshot.threads if id(record) in members)
    index = next(i for i, record in enumerate(cycle) if record is first)
    return cycle[index:] + cycle[:index]


def is_certain(cycle: "list[ThreadRecord]") -> bool:
    """Tell whether no thread outside of a cycle can end it."""
    return all(record.certain for record in cycle)


def stuck(snapshot: Snapshot) -> "list[StuckRecord]":
    """The locks whose owner is gone, and what else the snapshot has found."""
    found = [_stuck_lock(snapshot, lock) for lock in _locks(snapshot) if _is_lost(snapshot, lock)]
    return found + snapshot.starved


def _locks(snapshot: Snapshot) -> "list[LockRecord]":
    """The locks that are held, those included that only a wait for them has shown."""
    locks = list(snapshot.locks)
    known = {lock.address for lock in locks}
    for record in snapshot.threads:
        is_lock = record.kind in (_snapshot.LOCK, _snapshot.RLOCK)
        if _waits(record) and is_lock and record.address not in known:
            known.add(record.address)
            locks.append(
                LockRecord(
                    address=record.address,
                    kind=record.kind,
                    owner_number=record.owner_number,
                    owner_ident=record.owner_ident,
                    by_with=record.certain,
                    object=record.object,
                )
            )
    return locks


def _is_lost(snapshot: Snapshot, lock: LockRecord) -> bool:
    if not lock.owner_number and not lock.owner_ident:
        return False
    return snapshot.thread(lock.owner_number, lock.owner_ident) is None


def _stuck_lock(snapshot: Snapshot, lock: LockRecord) -> StuckRecord:
    what = snapshot.describe(lock.address, lock.kind)
    fate = fate_of_owner(snapshot, lock.owner_number)
    reason = f"{what} is held by a thread that {fate}"
    if not lock.is_certain:
        reason += "; it was taken by a bare acquire(), so another thread may still release it"
    return StuckRecord(
        kind="owner lost by fork" if fate == _LOST else "owner ended",
        reason=reason,
        address=lock.address,
        threads=snapshot.waiters(lock.address),
        certain=lock.is_certain,
        object=lock.object,
    )


def fate_of_owner(snapshot: Snapshot, number: int) -> str:
    """The words for the fate of a thread that owns a lock and is not in the snapshot.

    Args:
        snapshot: the snapshot.
        number: the number of the thread, 0 if it is not known.
    """
    if number and snapshot.left_behind is not None:
        return _LOST if snapshot.left_behind(number) else _ENDED
    if number and snapshot.fork_number is not None:
        return _LOST if number <= snapshot.fork_number else _ENDED
    return f"{_ENDED} or {_LOST}" if snapshot.is_child else _ENDED
