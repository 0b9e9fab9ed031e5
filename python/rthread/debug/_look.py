"""Takes a `Snapshot` of this process.

One call each asks the extension for the waits, the collector for the locks that are held, and the
interpreter for the frames. What comes after reads what these have returned, takes no lock, imports
nothing, and runs no code of the program (`_safe`).
"""

import gc
import os
import sys
import time

from rthread import _rthread
from rthread._install import own
from rthread.debug import _given, _graph, _imports, _names, _safe, _snapshot, _waits
from rthread.debug._known import Known, known_threads
from rthread.debug._snapshot import LockRecord, Snapshot, ThreadRecord

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import FrameType
    from typing import Any

    from rthread.debug._snapshot import Frame

__all__ = ["Look", "known_threads", "take", "undisturbed"]

_interpreters: "Any" = None
for _name in ("_interpreters", "_xxsubinterpreters"):
    try:
        _interpreters = _interpreters or __import__(_name)
    except ImportError:
        pass

_LOCK_KINDS = (_snapshot.LOCK, _snapshot.RLOCK)

#: The names of the extension. A tool cannot replace those with two underscores.
extension: "dict[str, Any]" = vars(_rthread)

# Frames that a report has of one thread, at most.
_DEEPEST = 200


class Look:
    """A snapshot, and the frames that it was made of.

    The frames keep alive the local variables of their functions: a look is to be dropped soon.
    """

    __slots__ = ("frames", "snapshot")

    def __init__(self, snapshot: Snapshot, frames: "dict[int, list[FrameType]]") -> None:
        self.snapshot = snapshot
        #: By the id of a record, the frames whose local variables may be read, the innermost first.
        self.frames = frames


def undisturbed(function: "Callable[..., Any]", *args: "Any") -> "Any":
    """Call a function, and have no collection meanwhile.

    A collection would run finalizers of the program in the middle of the report. One that needs a
    lock of a deadlock would make the report hang as well.
    """
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        return function(*args)
    finally:
        if was_enabled:
            gc.enable()


def take(
    *,
    locks: bool = True,
    stacks: bool = True,
    cycle: "list[tuple[int, int, int, Any]] | None" = None,
) -> Look:
    """Take a snapshot.

    Args:
        locks: whether to look for the locks that are held, which takes as long as a collection.
        stacks: whether to read stacks. Without them, the threads that rthread has never met are
            missing, and the waits of Python classes look like waits for locks.
        cycle: a cycle as the deadlock hook gets it, of which the last wait has not begun yet.
    """
    # In this order: the owner of a lock is among the threads, unless it has ended meanwhile.
    held: list[Any] = extension["__held_locks__"]() if locks else []
    found = [ThreadRecord.of(entry) for entry in extension["__threads__"]()]
    held = _still_held(held, found)
    tops, missing = top_frames() if stacks else ({}, "")
    now = time.monotonic_ns()
    known = known_threads()
    records = _in_order(_with_names(found, tops, known), known)
    modules = _imports.add(records, extension["__threads__"])
    if cycle is not None:
        _close(records, cycle)
    snapshot = Snapshot(
        records,
        now=now,
        pid=os.getpid(),
        version=extension["__version__"],
        python=".".join(map(str, sys.version_info[:3])),
        left_behind=extension["__is_left_behind__"],
        has_gil=has_gil(),
    )
    if missing:
        snapshot.remarks.append(missing)
    taken = _Frames(snapshot, held, known).finish(tops)
    snapshot.names.update(modules)
    return taken


def _still_held(held: "list[Any]", records: "list[ThreadRecord]") -> "list[Any]":
    """Leave out the locks that their owner has released since, before it ended."""
    numbers = {record.number for record in records}
    idents = {record.ident for record in records}
    return [
        entry
        for entry in held
        if (entry[1] in numbers if entry[1] else entry[2] in idents)
        or (extension["__owner__"](entry[0]) or (0,))[0] == entry[1] != 0
    ]


def has_gil() -> bool:
    """Tell whether only one thread at a time runs Python code."""
    is_enabled = getattr(sys, "_is_gil_enabled", None)
    return is_enabled is None or bool(is_enabled())


def top_frames() -> "tuple[dict[int, FrameType], str]":
    """The innermost frames by ident, and a sentence about those that are missing."""
    # From 3.12 on, sys._current_frames() makes frame objects for the threads of every interpreter,
    # in the memory of this one. When another interpreter ends, the process crashes.
    if not extension["__is_main__"]:
        reason = "a sub-interpreter cannot read the stacks of its other threads"
    elif sys.version_info >= (3, 12) and _interpreters and len(_interpreters.list_all()) > 1:
        reason = "the stacks of other threads cannot be read while there are sub-interpreters"
    else:
        return sys._current_frames(), ""
    return {own["get_ident"](): sys._getframe()}, reason


def _with_names(
    records: "list[ThreadRecord]", tops: "dict[int, FrameType]", known: Known
) -> "list[ThreadRecord]":
    """Add the threads that rthread has never met, and to all of them what `threading` knows."""
    met = {record.ident for record in records}
    for ident in tops:
        if ident not in met:
            native_id = own["get_native_id"]() if ident == own["get_ident"]() else 0
            records.append(ThreadRecord(number=0, ident=ident, native_id=native_id))
    for record in records:
        thread = known.by_ident.get(record.ident)
        if thread is not None:
            _describe(record, thread)
        if known.main:
            record.is_main = record.ident == known.main
        else:
            record.is_main = record.native_id == os.getpid()
        if record.is_main and thread is None:
            record.name = "MainThread"
    for thread in known.starting:
        record = ThreadRecord(number=0, ident=0, native_id=0, state=_snapshot.STARTING)
        _describe(record, thread)
        records.append(record)
    return records


def _describe(record: ThreadRecord, thread: "Any") -> None:
    attributes = _safe.attributes(thread)
    record.thread = thread
    record.name = _safe.exact(attributes.get("_name"))
    daemon = attributes.get("_daemonic")
    record.daemon = daemon if type(daemon) is bool else None
    native_id = attributes.get("_native_id")
    if not record.native_id and type(native_id) is int:
        record.native_id = native_id


def _in_order(records: "list[ThreadRecord]", known: Known) -> "list[ThreadRecord]":
    order = {ident: index for index, ident in enumerate(known.by_ident)}
    last = len(order)

    def place(record: ThreadRecord) -> "tuple[bool, int, int, int]":
        return (
            not record.is_main,
            last + 1 if record.ident == 0 else order.get(record.ident, last),
            record.number,
            record.ident,
        )

    return sorted(records, key=place)


def _close(records: "list[ThreadRecord]", cycle: "list[tuple[int, int, int, Any]]") -> None:
    """Let the records say what the hook was told: the last wait has not begun yet."""
    by_number = {record.number: record for record in records}
    for index, (number, ident, kind, waited_for) in enumerate(cycle):
        record = by_number.get(number)
        if record is None:
            record = ThreadRecord(number=number, ident=ident, native_id=0)
            records.append(record)
        record.state = _snapshot.WAITING
        record.kind = kind
        record.object = record.inner = waited_for
        record.address = 0 if waited_for is None else id(waited_for)
        record.owner_number, record.owner_ident = cycle[(index + 1) % len(cycle)][:2]
        record.timed = False
        record.certain = True
        if index == 0:
            record.since = 0


class _Frames:
    """Reads the frames of all threads into a snapshot."""

    def __init__(self, snapshot: Snapshot, held: "list[Any]", known: Known) -> None:
        self._snapshot = snapshot
        self._held = held
        self._known = known
        # Those of the other threads; a remark says why.
        self._are_missing = bool(snapshot.remarks)
        self._caller: int = own["get_ident"]()
        self._frames: dict[int, list[FrameType]] = {}
        # By its id, the global names of each module on a stack.
        self._modules: dict[int, dict[str, Any]] = {}
        self._still = self._that_stand_still()

    def _that_stand_still(self) -> "set[int] | None":
        """The ids of the records whose frames cannot change meanwhile; None for all of them.

        With a GIL no thread runs while another one reads its variables.
        """
        if self._snapshot.has_gil:
            return None
        certain = filter(_graph.is_certain, _graph.cycles(self._snapshot))
        still = {id(record) for cycle in certain for record in cycle}
        return still | {id(r) for r in self._snapshot.threads if r.ident == self._caller}

    def finish(self, tops: "dict[int, FrameType]") -> Look:
        snapshot = self._snapshot
        owners = {(entry[1], entry[2]) for entry in self._held}
        numbers = {number for number, _ident in owners if number}
        idents = {ident for number, ident in owners if not number}
        for record in snapshot.threads:
            frames = self._read_stack(record, tops.pop(record.ident, None))
            holds = record.number in numbers or record.ident in idents
            if record.state == _snapshot.WAITING or holds:
                self._frames[id(record)] = frames
                _waits.interpret(record, frames, self._may_read(record))
        snapshot.locks = [*self._held_locks()]
        self._read_sites()
        snapshot.index()
        self._name_objects()
        readable = {
            id(record): self._frames[id(record)]
            for record in snapshot.threads
            if id(record) in self._frames and self._may_read(record)
        }
        return Look(snapshot, readable)

    def _may_read(self, record: ThreadRecord) -> bool:
        return self._still is None or id(record) in self._still

    def _read_stack(self, record: ThreadRecord, top: "FrameType | None") -> "list[FrameType]":
        """Put the stack of a thread into its record."""
        frames: list[FrameType] = []
        frame = top
        if record.ident == self._caller:
            frame = _without_report(frame)
        # The frames above the innermost one come and go while a thread runs without the GIL.
        deepest = _DEEPEST if self._snapshot.has_gil or self._is_at_rest(record) else 1
        while frame is not None and len(frames) < deepest:
            if frames and _is_of_the_command(frame):
                frame = None
                break
            frames.append(frame)
            frame = frame.f_back
        if frame is not None and deepest == _DEEPEST:
            record.note = f"more than {_DEEPEST} frames"
        elif frame is None and not frames and self._are_missing:
            record.note = "missing"
        elif frame is not None:
            record.note = "the other frames cannot be read while the thread runs without a GIL"
        if frames:
            record.stack = [_entry(frame) for frame in frames]
        for frame in frames:
            names = _safe.globals_of(frame)
            self._modules.setdefault(id(names), names)
        return frames

    def _is_at_rest(self, record: ThreadRecord) -> bool:
        return record.state == _snapshot.WAITING or record.ident == self._caller

    def _read_sites(self) -> None:
        """Find where locks were taken and made, if that was recorded."""
        snapshot = self._snapshot
        found = [record.object for record in snapshot.threads if record.kind in _LOCK_KINDS]
        for lock in found + [held.object for held in snapshot.locks]:
            if lock is None or id(lock) in snapshot.taken or id(lock) in snapshot.made:
                continue
            taken, made = extension["__taken_at__"](lock), extension["__made_at__"](lock)
            if taken is not None:
                snapshot.taken[id(lock)] = taken[:3]
            if made is not None:
                snapshot.made[id(lock)] = made
        for held in snapshot.locks:
            held.site = snapshot.taken.get(held.address)

    def _held_locks(self) -> "Iterator[LockRecord]":
        """The locks that are held, without those by which `threading` itself waits."""
        internal = {
            id(record.inner)
            for record in self._snapshot.threads
            if record.inner is not record.object
        }
        for thread in self._known.by_ident.values():
            internal.add(id(_safe.attributes(thread).get("_tstate_lock")))
        rlock: type = own["RLock"]
        for lock, number, ident, by_with, count in self._held:
            if id(lock) not in internal:
                yield LockRecord(
                    address=id(lock),
                    kind=_snapshot.RLOCK if _safe.is_a(lock, (rlock,)) else _snapshot.LOCK,
                    owner_number=number,
                    owner_ident=ident,
                    by_with=by_with,
                    count=count,
                    object=lock,
                )

    def _name_objects(self) -> None:
        snapshot = self._snapshot
        objects = {lock.address: lock.object for lock in snapshot.locks}
        for record in snapshot.threads:
            if record.address and record.kind not in _snapshot.ENDS:
                objects[record.address] = record.object
        lock_type: type = own["LockType"]
        for address, value in objects.items():
            is_lock = type(value) is lock_type
            snapshot.classes[address] = "Lock" if is_lock else _safe.class_name(value)
        outermost_first = (
            frame
            for record in snapshot.threads
            if self._may_read(record)
            for frame in reversed(self._frames.get(id(record), ()))
        )
        given = _given.given(objects)
        wanted = objects.keys() - given.keys()
        found = _names.find(wanted, self._modules.values(), outermost_first)
        snapshot.names = {**found, **given}


def _without_report(frame: "FrameType | None") -> "FrameType | None":
    """The innermost frame of the caller that does not belong to the report."""
    while frame is not None:
        module = _safe.exact(_safe.globals_of(frame).get("__name__"))
        is_first = module == "rthread._watch" and frame.f_code.co_name == "_first_deadlock"
        if not is_first and not module.startswith("rthread.debug"):
            break
        frame = frame.f_back
    return frame


def _is_of_the_command(frame: "FrameType") -> bool:
    """Whether a frame is one of ``python -m rthread`` itself, which runs the program."""
    return _safe.exact(_safe.globals_of(frame).get("__name__")) == "rthread._program"


def _entry(frame: "FrameType") -> "Frame":
    code = frame.f_code
    function = getattr(code, "co_qualname", code.co_name)
    return _safe.exact(code.co_filename), frame.f_lineno or 0, _safe.exact(function)
