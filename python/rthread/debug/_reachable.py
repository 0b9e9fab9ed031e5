"""Finds threads that wait for objects that no other thread can reach.

A thread that waits for an event waits for ever if all that refers to the event is on its own stack.
The collector tells what refers to an object, and what refers to that. If the search comes to a
module, or to a variable of a thread that may go on, the object is in use. If it comes to variables
of threads only that wait like this one, the object is out of reach.

C code can refer to an object without telling the collector. So the result is a possibility.
"""

import gc
import sys

from rthread.debug import _look, _safe, _snapshot
from rthread.debug._snapshot import LockRecord, Snapshot, StuckRecord, ThreadRecord

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import FrameType
    from typing import Any

__all__ = ["unreachable"]

# Objects on the way up from one that is waited for. More than these mean a module.
_MOST_OBJECTS = 20_000

# Only the owner of what is waited for by the other kinds ends the wait.
_KINDS = frozenset(
    {
        *(_snapshot.LOCK, _snapshot.CONDITION, _snapshot.EVENT, _snapshot.SEMAPHORE),
        *(_snapshot.BARRIER, _snapshot.QUEUE_GET, _snapshot.QUEUE_PUT, _snapshot.QUEUE_JOIN),
    }
)

_Module = type(sys)
_Frame: "Any" = type(sys._getframe())
_Builtin = type(len)
_Method = type((lambda self: None).__get__(0))
_RECORDS = (ThreadRecord, LockRecord, StuckRecord)


class _InUse(Exception):
    """A thread that may go on can reach the object."""


def unreachable(snapshot: Snapshot) -> "list[StuckRecord]":
    """The objects that can be reached only from threads that wait for such objects.

    Args:
        snapshot: a snapshot of this process, with a GIL.
    """
    tops, missing = _look.top_frames()
    if missing or not snapshot.has_gil:
        return []
    waiting = {id(record): record for record in snapshot.threads if _may_be_stuck(record)}
    search = _Search(snapshot, tops)
    # By the id of a record, those of the threads whose variables lead to what it waits for.
    reached_from: dict[int, set[int]] = {}
    for ident, record in waiting.items():
        try:
            reached_from[ident] = search.threads_that_reach(record.inner)
        except _InUse:
            pass
    while True:
        # A thread that may go on may also end the waits for what it can reach.
        left = {i: found for i, found in reached_from.items() if found <= reached_from.keys()}
        if len(left) == len(reached_from):
            break
        reached_from = left
    return _records(snapshot, [waiting[ident] for ident in reached_from])


def _may_be_stuck(record: ThreadRecord) -> bool:
    return (
        record.state == _snapshot.WAITING
        and record.kind in _KINDS
        and record.inner is not None
        and not record.timed
        and not record.certain
    )


def _records(snapshot: Snapshot, threads: "list[ThreadRecord]") -> "list[StuckRecord]":
    found: dict[int, StuckRecord] = {}
    for record in threads:
        if record.address in found:
            found[record.address].threads.append(record)
            continue
        what = snapshot.describe(record.address, record.kind)
        found[record.address] = StuckRecord(
            kind="unreachable",
            reason=f"{what} can be reached only from threads that wait",
            address=record.address,
            threads=[record],
            certain=False,
            object=record.object,
        )
    return list(found.values())


class _Search:
    """Walks from objects to what refers to them."""

    def __init__(self, snapshot: Snapshot, tops: "dict[int, FrameType]") -> None:
        # By the id of an object, those of the records of the threads that have it in a variable.
        self._holders: dict[int, set[int]] = {}
        # By the id of a frame, of the dict of its variables, or of what belongs to a Thread: the id
        # of the record of the thread.
        self._of_thread: dict[int, int] = {}
        namespaces = [_safe.namespace(name) for name in list(sys.modules)]
        self._modules = {id(names) for names in namespaces if names}
        # Their ids must not become those of other objects.
        self._frames: list[FrameType] = []
        for record in snapshot.threads:
            if record.thread is not None:
                self._of_thread[id(record.thread)] = id(record)
                self._of_thread[id(_safe.attributes(record.thread))] = id(record)
            frame = tops.pop(record.ident, None)
            while frame is not None:
                self._add_frame(frame, id(record))
                frame = frame.f_back

    def _add_frame(self, frame: "FrameType", record: int) -> None:
        self._frames.append(frame)
        self._modules.add(id(frame.f_globals))
        self._of_thread[id(frame)] = record
        variables: Any = _safe.variables_of(frame)
        if type(variables) is dict:
            # The frame keeps it.
            self._of_thread[id(variables)] = record
        for value in dict(variables).values():
            self._holders.setdefault(id(value), set()).add(record)

    def threads_that_reach(self, found: object) -> "set[int]":
        """The ids of the records of all threads from whose variables an object can be reached.

        Raises:
            _InUse: a module refers to it, or what refers to it is not known.
        """
        reached_from: set[int] = set()
        seen = {id(found)}
        level = [found]
        is_first = True
        while level:
            upwards, visible = self._referrers(level, reached_from, seen)
            for value in level:
                holders = self._holders.get(id(value), set())
                reached_from |= holders
                is_known = is_first or holders or id(value) in visible
                if not is_known and not _is_exit_method(value):
                    raise _InUse
            if len(seen) > _MOST_OBJECTS:
                raise _InUse
            level, is_first = upwards, False
        return reached_from

    def _referrers(
        self, level: "list[Any]", reached_from: "set[int]", seen: "set[int]"
    ) -> "tuple[list[Any], set[int]]":
        """What refers to some objects and is not known yet, and the ids of those referred to."""
        upwards: list[Any] = []
        visible: set[int] = set()
        members = {id(value) for value in level}
        # The call uses this very tuple. One that it made of a list would be among the referrers.
        asked = tuple(level)
        own = (id(level), id(upwards), id(asked))
        for value in gc.get_referrers(*asked):
            kind = type(value)
            if id(value) in own or kind in _RECORDS or _is_own_frame(value):
                continue
            if id(value) in self._modules or issubclass(kind, (_Module, type)):
                raise _InUse
            visible |= members.intersection(map(id, gc.get_referents(value)))
            if id(value) in self._of_thread:
                reached_from.add(self._of_thread[id(value)])
            elif id(value) not in seen:
                seen.add(id(value))
                upwards.append(value)
        return upwards, visible


def _is_exit_method(value: object) -> bool:
    """Tell whether an object is what a `with` statement keeps on the stack of its thread."""
    if type(value) not in (_Builtin, _Method):
        return False
    method: Any = value
    return _safe.exact(method.__name__) == "__exit__"


def _is_own_frame(value: "Any") -> bool:
    # Up to 3.10 the collector shows the frames that run.
    if type(value) is not _Frame:
        return False
    frame: FrameType = value
    return frame.f_globals is globals()
