"""The page that ``top`` shows: counts, the hottest locks, and a line for each thread."""

import os

from rthread.debug import _graph, _snapshot
from rthread.debug._snapshot import ThreadRecord, printable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from rthread.debug._proc import Task
    from rthread.debug._snapshot import Snapshot

__all__ = ["SORT_KEYS", "Sample", "View", "page"]

# The keys that sort the threads, those of top where it has the same column.
SORT_KEYS = {
    "P": "processor time",
    "T": "time of the wait",
    "N": "native id",
    "A": "name",
}

_MOST_LOCKS = 5
_WAITS = (_snapshot.WAITING, _snapshot.HANDLING)
# For a thread that does not wait for anything of rthread's, what Linux says.
_KERNEL_STATES = {"R": "running", "S": "asleep", "D": "disk", "T": "stopped", "t": "stopped"}

_HEADINGS = ("native id", "cpu %", "state", "since", "waiting for", "held by", "name")
# The widths of the columns; 0 for the last one, which takes what is left.
_WIDTHS = (9, 5, 8, 9, 34, 18, 0)
_RIGHT = (0, 1, 3)


class View:
    """What the user has chosen to see."""

    def __init__(self, interval: float) -> None:
        self.interval = interval
        self.sort = "P"
        self.is_reversed = False


class Sample:
    """A look at a process, and the share of a processor that each thread has had since the last.

    Args:
        snapshot: the threads and their waits.
        tasks: the threads as Linux knows them, by native id.
        before: the same at the look before, empty at the first look.
        seconds: the time between the two looks.
    """

    def __init__(
        self,
        snapshot: "Snapshot",
        tasks: "Mapping[int, Task]",
        before: "Mapping[int, Task]",
        seconds: float,
    ) -> None:
        self.snapshot = snapshot
        self._tasks = tasks
        self._before = before
        self._seconds = seconds

    def cpu(self, record: ThreadRecord) -> "float | None":
        """The share in per cent, None at the first look at a thread."""
        now, then = self._tasks.get(record.native_id), self._before.get(record.native_id)
        if now is None or then is None or self._seconds <= 0:
            return None
        ticks_per_second = os.sysconf("SC_CLK_TCK")
        return max(0, now.ticks - then.ticks) * 100 / ticks_per_second / self._seconds

    def state(self, record: ThreadRecord) -> str:
        """One word for the state of a thread."""
        if record.state == _snapshot.WAITING:
            return "waiting"
        if record.state == _snapshot.HANDLING:
            return "signal"
        if record.state == _snapshot.ATTACHING:
            return "GIL" if self.snapshot.has_gil else "resuming"
        task = self._tasks.get(record.native_id)
        return _KERNEL_STATES.get(task.state, task.state) if task else "running"


def page(sample: Sample, view: View, width: int = 0) -> "tuple[list[str], list[str]]":
    """The lines of a page.

    Args:
        sample: the look.
        view: how the threads are sorted.
        width: the number of columns; 0 for lines of any length.

    Returns:
        The lines above the threads, with their heading as the last one; and a line for each thread.
    """
    above = [*_counts(sample), *_findings(sample), "", *_hottest(sample), ""]
    above.append(_row(_HEADINGS, width))
    threads = [_row(_cells(sample, record), width) for record in _sorted(sample, view)]
    if width:
        above = [line[:width] for line in above]
    return above, threads


def _counts(sample: Sample) -> "list[str]":
    snapshot = sample.snapshot
    states: dict[str, int] = {}
    for record in snapshot.threads:
        state = sample.state(record)
        states[state] = states.get(state, 0) + 1
    named = ", ".join(f"{count} {state}" for state, count in sorted(states.items(), key=_by_count))
    number = len(snapshot.threads)
    return [
        f"process {snapshot.pid}, rthread {snapshot.version}, Python {snapshot.python}",
        f"{number} thread{'' if number == 1 else 's'}: {named}",
    ]


def _by_count(item: "tuple[str, int]") -> "tuple[int, str]":
    return -item[1], item[0]


def _findings(sample: Sample) -> "list[str]":
    snapshot = sample.snapshot
    lines = []
    for cycle in _graph.cycles(snapshot):
        names = " -> ".join(snapshot.label(record) for record in [*cycle, cycle[0]])
        lines.append(f"{'' if _graph.is_certain(cycle) else 'possible '}deadlock: {names}")
    for found in _graph.stuck(snapshot):
        lines.append(f"{'' if found.certain else 'possibly '}stuck: {found.reason}")
    return lines


def _hottest(sample: Sample) -> "list[str]":
    """The objects that most threads wait for."""
    snapshot = sample.snapshot
    waits: dict[int, list[ThreadRecord]] = {}
    for record in snapshot.threads:
        if record.state in _WAITS and record.address:
            waits.setdefault(record.address, []).append(record)
    if not waits:
        return ["no thread waits for an object"]
    # Where no thread holds what is waited for, threads are idle rather than held up.
    hottest = sorted(
        waits.values(),
        key=lambda records: (-bool(_owner(snapshot, records[0])), -len(records)),
    )[:_MOST_LOCKS]
    lines = ["waiters   longest  held by             object"]
    for records in hottest:
        longest = max(snapshot.seconds(record) for record in records)
        owner = _owner(snapshot, records[0]) or "-"
        what = _what(snapshot, records[0])
        lines.append(f"{len(records):7} {_time(longest):>9}  {_cut(owner, 18)}  {what}")
    return lines


def _what(snapshot: "Snapshot", record: ThreadRecord) -> str:
    """The words for what a thread waits for."""
    if record.kind in _snapshot.ENDS:
        return "end of a thread"
    if record.address:
        return snapshot.describe(record.address, record.kind)
    return _snapshot.KINDS[record.kind]


def _owner(snapshot: "Snapshot", record: ThreadRecord) -> str:
    owner = snapshot.owner(record)
    if owner is not None:
        return snapshot.label(owner)
    is_lost = record.kind not in _snapshot.ENDS and (record.owner_number or record.owner_ident)
    return "an ended thread" if is_lost else ""


def _sorted(sample: Sample, view: View) -> "list[ThreadRecord]":
    snapshot = sample.snapshot

    def key(record: ThreadRecord) -> "tuple[object, ...]":
        waited = -snapshot.seconds(record)
        if view.sort == "N":
            return (record.native_id,)
        if view.sort == "A":
            return record.name, record.native_id
        if view.sort == "T":
            return waited, record.native_id
        # Among equals those first that wait for what another thread holds.
        return -(sample.cpu(record) or 0), not _owner(snapshot, record), waited, record.native_id

    return sorted(snapshot.threads, key=key, reverse=view.is_reversed)


def _cells(sample: Sample, record: ThreadRecord) -> "tuple[str, ...]":
    snapshot = sample.snapshot
    cpu = sample.cpu(record)
    waits = record.state in _WAITS
    what = held_by = since = ""
    if waits:
        since = _time(snapshot.seconds(record)) if record.since else ""
        held_by = _owner(snapshot, record)
        what = _what(snapshot, record)
    return (
        str(record.native_id or "-"),
        "-" if cpu is None else f"{cpu:.1f}",
        sample.state(record),
        since,
        what,
        held_by,
        printable(record.name),
    )


def _row(cells: "tuple[str, ...]", width: int) -> str:
    parts = []
    for index, (cell, size) in enumerate(zip(cells, _WIDTHS, strict=True)):
        text = _cut(cell, size) if size else cell
        parts.append(text.strip().rjust(size) if index in _RIGHT else text)
    line = "  ".join(parts).rstrip()
    return line[:width] if width else line


def _cut(text: str, size: int) -> str:
    """A text of exactly so many letters."""
    return text.ljust(size) if len(text) <= size else text[: size - 1] + "…"


def _time(seconds: float) -> str:
    """A time in at most nine letters."""
    if seconds < 600:
        return f"{seconds:.1f} s"
    minutes, hours = int(seconds // 60), int(seconds // 3600)
    return f"{minutes} min" if hours < 10 else f"{hours} h"
