"""Writes a `Snapshot` as text: one fact a line, the main thread first, findings last."""

from rthread.debug import _graph, _snapshot
from rthread.debug._snapshot import LockRecord, Snapshot, StuckRecord, ThreadRecord, printable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from rthread.debug._snapshot import Frame

__all__ = ["deadlock", "report", "stack", "state", "stuck"]

# The words for a wait, by its kind.
_WAITS = {
    _snapshot.QUEUE_GET: "for an item from ",
    _snapshot.QUEUE_PUT: "for room in ",
    _snapshot.QUEUE_JOIN: "for the end of all tasks of ",
}


def report(snapshot: Snapshot) -> str:
    """The whole report, with a newline at its end."""
    lines = [_headline(snapshot), *(f"Note: {printable(text)}" for text in snapshot.remarks)]
    for record in snapshot.threads:
        lines += ["", *_thread(snapshot, record)]
    findings = [_deadlock_lines(snapshot, cycle) for cycle in _graph.cycles(snapshot)]
    findings += [_stuck_lines(snapshot, found) for found in _graph.stuck(snapshot)]
    for finding in findings:
        lines += ["", *finding]
    if not findings:
        lines += ["", "No deadlock was found, and no thread that is stuck for good."]
    return "\n".join((*lines, ""))


def deadlock(snapshot: Snapshot, cycle: "list[ThreadRecord]") -> str:
    """A deadlock, with the stacks of its threads; without a newline at its end."""
    return "\n".join([*_deadlock_lines(snapshot, cycle), *_stacks(snapshot, cycle)])


def stuck(snapshot: Snapshot, found: StuckRecord) -> str:
    """A finding, with the stacks of the threads that wait; without a newline at its end."""
    return "\n".join([*_stuck_lines(snapshot, found), *_stacks(snapshot, found.threads)])


def _headline(snapshot: Snapshot) -> str:
    threads = _count(len(snapshot.threads), "thread")
    locks = _count(len(snapshot.locks), "lock")
    return (
        f"rthread {snapshot.version}, Python {snapshot.python}, process {snapshot.pid}: "
        f"{threads}, {locks} held"
    )


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _thread(snapshot: Snapshot, record: ThreadRecord) -> "Iterator[str]":
    facts = [snapshot.label(record)]
    if record.is_main:
        facts.append("main thread")
    if record.daemon:
        facts.append("daemon")
    if record.native_id:
        facts.append(f"native id {record.native_id}")
    if record.ident:
        facts.append(f"ident {record.ident}")
    yield ", ".join(facts)
    yield f"  state  {state(snapshot, record)}"
    yield from _aligned("holds", [held(snapshot, lock) for lock in snapshot.held(record)])
    yield from _aligned("stack", stack(record))


def _aligned(title: str, lines: "list[str]") -> "Iterator[str]":
    for index, line in enumerate(lines):
        yield f"  {title if index == 0 else '':<5}  {line}"


def state(snapshot: Snapshot, record: ThreadRecord) -> str:
    """The words for the state of a thread."""
    if record.state == _snapshot.STARTING:
        return "about to start"
    if record.state == _snapshot.ATTACHING:
        if snapshot.has_gil:
            return "waiting for the GIL"
        return "waiting until the interpreter lets it go on"
    if record.state == _snapshot.HANDLING:
        return f"running signal handlers in the middle of waiting {_wait(snapshot, record)}"
    if record.state != _snapshot.WAITING:
        return "running"
    seconds = f", for {snapshot.seconds(record):.1f} s" if record.since else ""
    limit = " (with a time-out)" if record.timed else ""
    return f"waiting {_wait(snapshot, record)}{seconds}{limit}"


def _wait(snapshot: Snapshot, record: ThreadRecord) -> str:
    kind = record.kind
    if kind == _snapshot.START:
        return "until a new thread runs"
    if kind == _snapshot.INTERPRETER:
        return "for the interpreter"
    if kind in _snapshot.ENDS:
        owner = snapshot.owner(record)
        return f"for the end of {snapshot.label(owner) if owner is not None else 'a thread'}"
    if kind == _snapshot.IMPORT:
        owner = snapshot.owner(record)
        by = f" by {snapshot.label(owner)}" if owner is not None else ""
        return f"for the import of {printable(snapshot.names.get(record.address, '?'))}{by}"
    what = snapshot.describe(record.address, kind)
    if kind in (_snapshot.LOCK, _snapshot.RLOCK):
        return f"for {what}{_holder(snapshot, record)}"
    return f"{_WAITS.get(kind, 'for ')}{what}"


def _holder(snapshot: Snapshot, record: ThreadRecord) -> str:
    owner = snapshot.owner(record)
    if owner is record:
        return ", held by itself"
    if owner is not None:
        return f", held by {snapshot.label(owner)}"
    if record.owner_number or record.owner_ident:
        return f", held by a thread that {_graph.fate_of_owner(snapshot, record.owner_number)}"
    return ""


def held(snapshot: Snapshot, lock: LockRecord) -> str:
    """The words for a lock that a thread holds."""
    words = snapshot.describe(lock.address, lock.kind)
    if lock.count > 1:
        words += f", taken {lock.count} times"
    elif lock.by_with:
        words += ", taken by with"
    if lock.site is not None:
        words += f", at {frame(lock.site)}"
    return words


def stack(record: ThreadRecord) -> "list[str]":
    """The lines for the stack of a thread, the innermost frame first."""
    lines = [frame(entry) for entry in record.stack or ()]
    if record.note:
        lines.append(printable(record.note))
    elif record.stack is None and record.state != _snapshot.STARTING:
        lines.append("no Python frame")
    return lines


def frame(entry: "Frame") -> str:
    """The line for a frame, as faulthandler writes it."""
    file, line, function = entry
    return f'File "{printable(file)}", line {line or "?"}, in {printable(function)}'


def _deadlock_lines(snapshot: Snapshot, cycle: "list[ThreadRecord]") -> "Iterator[str]":
    certain = _graph.is_certain(cycle)
    if len(cycle) == 1:
        sentence = "a thread waits for itself"
    else:
        sentence = f"{len(cycle)} threads wait for each other"
    remark = "" if certain else ", unless another thread releases a lock that one of them holds"
    yield f"{'Deadlock' if certain else 'Possible deadlock'}: {sentence}{remark}."
    for record in cycle:
        yield from _wait_lines(snapshot, record)


def _wait_lines(snapshot: Snapshot, record: ThreadRecord) -> "Iterator[str]":
    """What a thread waits for, where the owner took it, and which lock it is if it has no name."""
    yield f"  {snapshot.label(record)}: {state(snapshot, record)}"
    taken, made = snapshot.taken.get(record.address), snapshot.made.get(record.address)
    owner = snapshot.owner(record)
    if taken is not None and owner is not None:
        yield f"    {snapshot.label(owner)} took it at {frame(taken)}"
    if made is not None and record.address not in snapshot.names:
        yield f"    it was made at {frame(made)}"


def _stuck_lines(snapshot: Snapshot, found: StuckRecord) -> "Iterator[str]":
    yield f"{'Stuck' if found.certain else 'Possibly stuck'}: {found.reason}."
    for record in found.threads:
        yield from _wait_lines(snapshot, record)
    if not found.threads:
        yield "  no thread waits for it at this moment"


def _stacks(snapshot: Snapshot, threads: "list[ThreadRecord]") -> "Iterator[str]":
    for record in threads:
        yield f"{snapshot.label(record)} stands at"
        for line in stack(record):
            yield f"  {line}"
