"""What the functions of `rthread.debug` return: small objects that cannot be changed."""

from rthread.debug import _graph, _snapshot, _text
from rthread.debug._snapshot import Snapshot, StuckRecord, ThreadRecord

TYPE_CHECKING = False
if TYPE_CHECKING:
    import threading
    from typing import Any, NoReturn

__all__ = ["Deadlock", "DeadlockError", "Owner", "Stuck", "Wait"]


class _Result:
    __slots__ = ()

    def __init__(self, **values: object) -> None:
        for name, value in values.items():
            object.__setattr__(self, name, value)

    def __setattr__(self, name: str, value: object) -> "NoReturn":
        raise AttributeError(f"{type(self).__name__} objects cannot be changed")

    def __delattr__(self, name: str) -> "NoReturn":
        raise AttributeError(f"{type(self).__name__} objects cannot be changed")

    def __reduce__(self) -> "NoReturn":
        raise TypeError(f"{type(self).__name__} objects refer to threads and cannot be pickled")

    def __repr__(self) -> str:
        return f"<{type(self).__module__}.{type(self).__name__}: {self._words()}>"

    def _words(self) -> str:
        raise NotImplementedError


class Owner(_Result):
    """The thread that has taken a lock."""

    __module__ = "rthread.debug"
    __slots__ = (
        *("_label", "by_with", "has_ended", "ident", "native_id", "since", "taken_at", "thread"),
    )

    #: The thread; None if ``threading`` does not know it, or if it has ended.
    thread: "threading.Thread | None"
    #: Its ident; 0 if the thread has ended and its ident is not known.
    ident: int
    #: The number of the thread in the operating system; 0 if it has ended.
    native_id: int
    #: Whether it has taken the lock by a ``with`` statement.
    by_with: bool
    #: Whether the thread has ended, or did not come along through fork.
    has_ended: bool
    #: Since when it has the lock, in the seconds of ``time.monotonic``, and the file, the line and
    #: the function that took it. None if that was not recorded, see `record_sites`.
    since: "float | None"
    taken_at: "tuple[str, int, str] | None"

    def _words(self) -> str:
        return f"{self._label}, by with" if self.by_with else self._label

    _label: str


class Wait(_Result):
    """A thread that waits."""

    __module__ = "rthread.debug"
    __slots__ = (
        *("_sentence", "for_seconds", "has_timeout", "ident", "kind", "native_id", "object"),
        *("since", "thread"),
    )

    #: The thread; None if ``threading`` does not know it.
    thread: "threading.Thread | None"
    ident: int
    #: The number of the thread in the operating system.
    native_id: int
    #: The object that it waits for, None for a wait without one.
    object: "Any"
    #: ``"lock"``, ``"RLock"``, ``"sentinel"`` (the end of a thread, up to 3.12), ``"join"``,
    #: ``"condition"``, ``"event"``, ``"semaphore"``, ``"barrier"``, ``"queue.get"``,
    #: ``"queue.put"``, ``"queue.join"``, ``"start"``, ``"interpreter"``, or ``"import"`` (for the
    #: import of a module by another thread).
    kind: str
    #: When the wait began, in the seconds of ``time.monotonic``.
    since: float
    #: How many seconds it had lasted when it was looked at.
    for_seconds: float
    #: Whether the wait ends by itself after some time.
    has_timeout: bool

    def _words(self) -> str:
        return self._sentence

    _sentence: str


class Deadlock(_Result):
    """Threads that wait for each other: each one for what the next one holds."""

    __module__ = "rthread.debug"
    __slots__ = ("_text", "is_certain", "locks", "threads", "waits")

    #: The threads; the ident of a thread where ``threading`` does not know it.
    threads: "tuple[threading.Thread | int, ...]"
    #: What each of them waits for: a lock, an RLock, or what stands for the end of a thread.
    locks: "tuple[Any, ...]"
    #: The waits, in the same order.
    waits: "tuple[Wait, ...]"
    #: True if no other thread can end the deadlock. False if one of the locks was taken by a bare
    #: ``acquire``: any thread may release it.
    is_certain: bool

    def text(self) -> str:
        """The threads, the locks, and the stacks at the moment when this was found."""
        return self._text

    def __str__(self) -> str:
        return self._text

    def _words(self) -> str:
        kind = "certain" if self.is_certain else "possible"
        return f"{kind}, {'; '.join([wait._sentence for wait in self.waits])}"

    _text: str


class Stuck(_Result):
    """An object for which threads wait in vain, or would."""

    __module__ = "rthread.debug"
    __slots__ = ("_text", "is_certain", "kind", "object", "reason", "threads")

    #: ``"owner ended"``, ``"owner lost by fork"``, ``"executor"`` or ``"unreachable"``.
    kind: str
    #: The sentence that says so.
    reason: str
    #: The lock, the executor or pool, or the object that is waited for; None if it is not known.
    object: "Any"
    #: The threads that wait; the ident of a thread where ``threading`` does not know it.
    threads: "tuple[threading.Thread | int, ...]"
    #: Whether no other thread can end the wait.
    is_certain: bool

    def text(self) -> str:
        """The reason, and the threads that wait with their stacks."""
        return self._text

    def __str__(self) -> str:
        return self._text

    def _words(self) -> str:
        return self.reason

    _text: str


class DeadlockError(RuntimeError):
    """Raised in the thread whose wait would have closed a certain deadlock.

    Its text names the threads and the locks, and has the stacks of the threads.
    """

    __module__ = "rthread.debug"

    #: The deadlock; None in a copy that has come from another process.
    deadlock: "Deadlock | None" = None

    def __reduce__(self) -> "tuple[Any, ...]":
        # Threads and locks cannot be pickled. The text goes along to another process.
        return type(self), self.args


def wait_of(snapshot: Snapshot, record: ThreadRecord) -> Wait:
    """Make a result of a record of a thread that waits."""
    return Wait(
        thread=record.thread,
        ident=record.ident,
        native_id=record.native_id,
        object=record.object,
        kind=_snapshot.KINDS[record.kind],
        since=record.since / 1e9,
        for_seconds=snapshot.seconds(record),
        has_timeout=record.timed,
        _sentence=f"{snapshot.label(record)} is {_text.state(snapshot, record)}",
    )


def deadlock_of(snapshot: Snapshot, cycle: "list[ThreadRecord]") -> Deadlock:
    """Make a result of a cycle."""
    return Deadlock(
        threads=threads_of(cycle),
        locks=tuple([record.object for record in cycle]),
        waits=tuple([wait_of(snapshot, record) for record in cycle]),
        is_certain=_graph.is_certain(cycle),
        _text=_text.deadlock(snapshot, cycle),
    )


def stuck_of(snapshot: Snapshot, found: StuckRecord) -> Stuck:
    """Make a result of a finding."""
    return Stuck(
        kind=found.kind,
        reason=found.reason,
        object=found.object,
        threads=threads_of(found.threads),
        is_certain=found.certain,
        _text=_text.stuck(snapshot, found),
    )


def threads_of(records: "list[ThreadRecord]") -> "tuple[threading.Thread | int, ...]":
    """The threads of records, or their idents."""
    return tuple([record.ident if record.thread is None else record.thread for record in records])


def owner_of(
    snapshot: Snapshot,
    number: int,
    ident: int,
    by_with: bool,
    taken: "tuple[str, int, str, int] | None" = None,
) -> Owner:
    """Make a result of the answers of ``__owner__`` and ``__taken_at__``."""
    record = snapshot.thread(number, ident)
    if record is None:
        fate = _graph.fate_of_owner(snapshot, number)
        return Owner(
            thread=None,
            ident=ident,
            native_id=0,
            by_with=by_with,
            has_ended=True,
            since=None if taken is None else taken[3] / 1e9,
            taken_at=None if taken is None else taken[:3],
            _label=f"a thread that {fate}",
        )
    return Owner(
        thread=record.thread,
        ident=record.ident,
        native_id=record.native_id,
        by_with=by_with,
        has_ended=False,
        since=None if taken is None else taken[3] / 1e9,
        taken_at=None if taken is None else taken[:3],
        _label=f"{snapshot.label(record)}, native id {record.native_id}",
    )
