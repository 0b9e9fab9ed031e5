"""Looks at another process that runs on rthread, on Linux.

The extension keeps a record of each thread: what it waits for, and since when. Its exported symbol
``rthread_tables`` says where the records are. They are read from the memory of the process. Nothing
runs in there meanwhile, so this works for a process that hangs, or that is stopped.

The process is not stopped either. So a record counts only if its serial number is even and the same
before and after the look, and a deadlock counts only if a second look finds the same waits.
"""

import errno
import os
import struct
import time
from typing import NamedTuple

import rthread
from rthread.debug import _graph
from rthread.debug._elf import ElfError, Image
from rthread.debug._frames import NoStacks, PythonThread, Stacks
from rthread.debug._proc import CannotLook, Process, Task
from rthread.debug._snapshot import (
    HANDLING,
    JOIN,
    LOCK,
    NOTHING,
    RLOCK,
    RUNNING,
    SENTINEL,
    WAITING,
    LockRecord,
    Snapshot,
    ThreadRecord,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from rthread.debug._elf import Read

__all__ = ["CannotLook", "Outside", "has_findings"]

_SYMBOL = "rthread_tables"
# The errors of a read at an address at which the process has no memory.
_NOT_MAPPED = (errno.EFAULT, errno.EIO)
_EXTENSION = "_rthread."
_MAGIC = b"rthread\0"
_LAYOUT = 1
_FREE_THREADED = 1

# `src/debug/tables.rs` and `src/sync/record.rs`.
_TABLES = struct.Struct("<8sII16sIIQIIQQIIIIQQ")
_RECORD = struct.Struct("<4xIQI4xIIQQQII32s32x")
_SERIAL = 56

# The word of a lock.
_LOCKED, _BY_WITH, _NUMBER_SHIFT = 1, 1 << 6, 16

_MOST_THREADS = 1 << 16
# So often a record is read again if it has changed during the look.
_TRIES = 5
_LONGEST_NAME = 256
_TIMED = 1

# The state of a thread for Linux.
_DOINGS = {"R": "running", "S": "asleep", "D": "asleep", "T": "stopped", "t": "stopped"}
_MISSING = "missing"


class Tables(NamedTuple):
    """What the symbol of the extension says."""

    magic: bytes
    layout: int
    size: int
    version_bytes: bytes
    python: int
    flags: int
    slots: int
    slot_count: int
    unused: int
    runtime: int
    epoch: int
    word_offset: int
    owner_offset: int
    count_offset: int
    ident_offset: int
    largest: int
    forked_at: int

    @property
    def version(self) -> str:
        return self.version_bytes.rstrip(b"\0").decode("ascii", "replace")


class Outside:
    """A process that runs on rthread, seen from outside.

    Args:
        pid: its number.

    Raises:
        CannotLook: if there is no such process, if this one may not read it, or if it does not run
            on this version of rthread. Says which in one sentence.
    """

    def __init__(self, pid: int) -> None:
        self.process = Process(pid)
        try:
            self._tables_address = self._find_tables()
            self._tables = self._read_tables()
        except OSError as error:
            raise self.process.trouble(error) from None
        self._clock = self.process.monotonic_offset()
        # The threads as Linux knew them at the last look, by their native ids.
        self.tasks: dict[int, Task] = {}

    def close(self) -> None:
        """Give back what the look at the process has opened."""
        self.process.close()

    def _find_tables(self) -> int:
        """The address of the symbol of the extension."""
        pid, read = self.process.pid, self.process.read
        mappings = [mapping for mapping in self.process.mappings() if mapping.offset == 0]
        is_there = False
        for mapping in mappings:
            if not os.path.basename(mapping.path).startswith(_EXTENSION):
                continue
            is_there = True
            address = _address_of(_SYMBOL, read, mapping.start)
            if address:
                return address
        if is_there:
            raise CannotLook(f"process {pid} runs a version of rthread that has no tables to read")
        for mapping in mappings:
            if _address_of("Py_IsInitialized", read, mapping.start):
                raise CannotLook(f"process {pid} runs Python without rthread")
        raise CannotLook(f"process {pid} does not run Python")

    def _read_tables(self) -> Tables:
        pid = self.process.pid
        content = self.process.read(self._tables_address, _TABLES.size)
        tables = Tables(*_TABLES.unpack(content))
        if tables.magic != _MAGIC:
            raise CannotLook(f"process {pid} has tables of rthread that are damaged")
        ours = rthread.__version__
        if tables.version != ours or tables.layout != _LAYOUT or tables.size < _TABLES.size:
            raise CannotLook(
                f"process {pid} runs rthread {tables.version}, and this is rthread {ours}: "
                "look with the rthread of its own environment"
            )
        if tables.slot_count > _MOST_THREADS:
            raise CannotLook(f"process {pid} has tables of rthread that are damaged")
        return tables

    def look(self, stacks: bool = True) -> Snapshot:
        """Look at the process once.

        Args:
            stacks: whether to read the Python stacks of the threads, too.

        Raises:
            CannotLook: if the process has ended, or has begun another program.
        """
        try:
            if self._read_tables() != self._tables:
                raise CannotLook(f"process {self.process.pid} has begun another program")
            snapshot = self._snapshot(stacks)
            if has_findings(snapshot):
                self._confirm(snapshot)
        except OSError as error:
            if self.process.has_ended():
                raise CannotLook(f"process {self.process.pid} has ended") from None
            if error.errno in _NOT_MAPPED:
                raise CannotLook(f"process {self.process.pid} has begun another program") from None
            raise self.process.trouble(error) from None
        return snapshot

    def _confirm(self, snapshot: Snapshot) -> None:
        """Look at the waits again; forget the owners in those that have changed.

        The waits of a snapshot have been read one after the other. So its threads may seem to wait
        for each other, although they never did at the same time.
        """
        again = {record.number: record for record in self._records()}
        for record in snapshot.threads:
            other = again.get(record.number)
            if not record.number or (other is not None and _wait_of(other) == _wait_of(record)):
                continue
            record.owner_number = record.owner_ident = 0
            record.certain = False
        snapshot.locks = _locks_of(snapshot.threads, self._counts)
        snapshot.index()

    def _snapshot(self, with_stacks: bool) -> Snapshot:
        process, tables = self.process, self._tables
        tasks = process.tasks()
        records = self._records()
        now = time.monotonic_ns() + self._clock
        remarks = ["From outside, a lock is seen to be held only if a thread waits for it."]
        stacks, known = None, {}
        if with_stacks:
            try:
                stacks = Stacks(process.read, tables.runtime, tables.python)
                known = {thread.native_id: thread for thread in stacks.threads()}
            except NoStacks as reason:
                stacks = None
                remarks.append(f"The stacks are missing: {reason}.")
        by_native_id = {record.native_id: record for record in records}
        threads = []
        for task in tasks:
            record = by_native_id.pop(task.own_tid, None)
            thread = known.get(task.own_tid)
            if record is None:
                ident = thread.ident if thread else 0
                record = ThreadRecord(number=0, ident=ident, native_id=task.own_tid)
            record.is_main = task.tid == process.pid
            record.name = record.name or ("MainThread" if record.is_main else task.comm)
            if stacks is None:
                record.note = _MISSING if with_stacks else ""
            elif thread is not None:
                _add_stack(record, stacks, thread)
            else:
                doing = _DOINGS.get(task.state, f"in state {task.state}")
                record.note = f"not a thread of Python's, {doing}"
            threads.append(record)
        for record in by_native_id.values():
            record.note = "begun or ended during the look"
            threads.append(record)
        idents = {record.ident: record.number for record in threads}
        for record in threads:
            if not record.owner_number:
                record.owner_number = idents.get(record.owner_ident, 0)
        epoch = self._number(tables.epoch, 4)
        self.tasks = {task.own_tid: task for task in tasks}
        return Snapshot(
            threads,
            _locks_of(threads, self._counts),
            now=now,
            pid=process.pid,
            version=tables.version,
            python=_python_version(tables.python),
            classes=self._classes(threads),
            fork_number=self._number(tables.forked_at, 4) if epoch else 0,
            is_child=epoch != 0,
            has_gil=not tables.flags & _FREE_THREADED,
            remarks=remarks,
        )

    def _records(self) -> "list[ThreadRecord]":
        """The threads that have a number, by number."""
        tables = self._tables
        count = min(self._number(tables.largest, 4) + 1, tables.slot_count)
        self._counts: dict[int, int] = {}
        slots = struct.unpack(f"<{count}Q", self.process.read(tables.slots, 8 * count))
        found = [self._record(number, slot) for number, slot in enumerate(slots) if slot]
        return [record for record in found if record is not None]

    def _record(self, number: int, address: int) -> "ThreadRecord | None":
        """One record; None if its thread has ended."""
        record = None
        for _ in range(_TRIES):
            fields = _RECORD.unpack(self.process.read(address, _RECORD.size))
            own, ident, native_id, state, kind, waited_for, resource, since, serial = fields[:9]
            flags, name = fields[9:]
            if own != number:
                return None
            record = ThreadRecord(
                number=number,
                ident=ident,
                native_id=native_id,
                serial=serial,
                name=name.partition(b"\0")[0].decode("utf-8", "replace"),
            )
            if serial & 1:
                continue
            record.state, record.kind, record.since = state, kind, since
            record.address = waited_for or resource
            record.timed = bool(flags & _TIMED)
            try:
                self._add_owner(record, resource)
            except OSError:
                # The lock has been freed, so the wait is over.
                pass
            if self._number(address + _SERIAL, 4) == serial:
                return record
        if record is not None:
            # It waits again and again, each time for a moment: as good as running.
            record.state, record.kind, record.since = RUNNING, NOTHING, 0
            record.address = record.owner_number = record.owner_ident = 0
            record.timed = record.certain = False
        return record

    def _add_owner(self, record: ThreadRecord, resource: int) -> None:
        tables = self._tables
        if record.state not in (WAITING, HANDLING):
            return
        if record.kind == JOIN:
            record.owner_ident = self._number(resource + tables.ident_offset, 8)
            record.certain = record.owner_ident != 0
        elif record.kind in (LOCK, RLOCK, SENTINEL):
            # The lock inside of an RLock is at its beginning.
            word = self._number(resource + tables.word_offset, 4)
            if not word & _LOCKED:
                return
            record.owner_number = word >> _NUMBER_SHIFT
            record.certain = bool(word & _BY_WITH) or record.kind != LOCK
            if record.kind == RLOCK:
                record.owner_ident = self._number(resource + tables.owner_offset, 8)
                count = self._number(resource + tables.count_offset, 8)
                self._counts[record.address] = count

    def _classes(self, threads: "list[ThreadRecord]") -> "dict[int, str]":
        """The classes of the objects that are waited for."""
        is_free_threaded = bool(self._tables.flags & _FREE_THREADED)
        type_at, name_at = (24, 40) if is_free_threaded else (8, 24)
        classes: dict[int, str] = {}
        for record in threads:
            address = record.address
            if not address or address in classes or record.kind in (*_CLASS_IS_KNOWN, NOTHING):
                continue
            try:
                kind = self._number(address + type_at, 8)
                name = self._c_string(self._number(kind + name_at, 8)).rpartition(".")[2]
            except OSError:
                continue
            if name.isidentifier():
                classes[address] = name
        return classes

    def _c_string(self, address: int) -> str:
        content = b""
        while b"\0" not in content and len(content) < _LONGEST_NAME:
            # Not beyond the end of a page, after which nothing may be.
            at = address + len(content)
            content += self.process.read(at, min(_LONGEST_NAME, 4096 - at % 4096))
        return content.partition(b"\0")[0].decode("utf-8", "replace")

    def _number(self, address: int, size: int) -> int:
        return int.from_bytes(self.process.read(address, size), "little")


# For these the kind of the wait says which class it is.
_CLASS_IS_KNOWN = (LOCK, RLOCK, SENTINEL, JOIN)


def _address_of(symbol: str, read: "Read", start: int) -> int:
    """The address of a symbol of the file that is mapped at `start`; 0 if it is not there.

    A process that becomes another program loses its mappings while they are looked through.
    """
    try:
        return Image(read, start).address_of(symbol) or 0
    except ElfError:
        return 0
    except OSError as error:
        if error.errno in _NOT_MAPPED:
            return 0
        raise


def has_findings(snapshot: Snapshot) -> bool:
    """Tell whether there is a deadlock, or a thread that is stuck for good."""
    return bool(_graph.cycles(snapshot) or _graph.stuck(snapshot))


def _add_stack(record: ThreadRecord, stacks: Stacks, thread: PythonThread) -> None:
    try:
        record.stack = stacks.stack(thread)
    except NoStacks as reason:
        record.note = str(reason)
    else:
        record.note = "" if record.stack else "no Python frame"


def _wait_of(record: ThreadRecord) -> "tuple[int, ...]":
    """What has to be the same in two looks at one wait."""
    # The number of a thread that is joined has been looked up by its ident.
    owner = record.owner_ident if record.kind == JOIN else record.owner_number
    return record.serial, record.state, record.kind, record.address, owner


def _locks_of(threads: "list[ThreadRecord]", counts: "Mapping[int, int]") -> "list[LockRecord]":
    """The held locks that threads wait for."""
    found: dict[int, LockRecord] = {}
    for record in threads:
        if record.kind in (LOCK, RLOCK) and (record.owner_number or record.owner_ident):
            found[record.address] = LockRecord(
                address=record.address,
                kind=record.kind,
                owner_number=record.owner_number,
                owner_ident=record.owner_ident,
                by_with=record.certain and record.kind == LOCK,
                count=counts.get(record.address, 1),
            )
    return list(found.values())


def _python_version(version: int) -> str:
    parts = (version >> 24, version >> 16 & 0xFF, version >> 8 & 0xFF)
    # 3.10 does not say which of its releases runs.
    return ".".join(map(str, parts if parts >= (3, 11) else parts[:2]))
