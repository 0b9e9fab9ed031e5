"""One look at a process: its threads, their waits, and the locks that are held.

The records here are data without behaviour. `_look` fills them inside of the process, and
`_outside` from outside of it. `_graph` finds deadlocks and stuck threads in them, and `_text` and
`_as_json` write them down. Objects are known by their addresses, so that none of this needs the
objects themselves.
"""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from typing import Any

    # A file, a line (0 if it is not known), and a function.
    Frame = tuple[str, int, str]

__all__ = ["CLASS_NAMES", "KINDS", "LockRecord", "Snapshot", "ThreadRecord", "printable"]

# The state of a thread, as the extension numbers it.
RUNNING, WAITING, ATTACHING, HANDLING = range(4)
# Only `_look` knows of this one: `Thread.start` has been called, and the thread does not run yet.
STARTING = 4

# The kinds of waits, as the extension numbers them.
NOTHING, LOCK, RLOCK, SENTINEL, JOIN, CONDITION, EVENT, SEMAPHORE, BARRIER = range(9)
QUEUE_GET, QUEUE_PUT, QUEUE_JOIN, START, INTERPRETER = range(9, 14)
# Only `_imports` knows of this one.
IMPORT = 14

# The words for the kinds, in JSON and in `Wait.kind`.
KINDS = (
    *("nothing", "lock", "RLock", "sentinel", "join", "condition", "event", "semaphore"),
    *("barrier", "queue.get", "queue.put", "queue.join", "start", "interpreter"),
    "import",
)

# The class of an object by the kind of a wait for it, where the class itself is not known.
CLASS_NAMES = (
    *("object", "Lock", "RLock", "Lock", "Thread", "Condition", "Event", "Semaphore"),
    *("Barrier", "Queue", "Queue", "Queue", "Thread", "interpreter"),
    "_ModuleLock",
)

# A wait for one of these is ended by one thread, which the object knows.
OWNED = frozenset({LOCK, RLOCK, SENTINEL, JOIN, IMPORT})
# These are waits for the end of a thread.
ENDS = frozenset({SENTINEL, JOIN})


class ThreadRecord:
    """One thread. All arguments are keywords, and all but the first three have defaults.

    Args:
        number: the number of the thread in rthread, 0 if rthread has never met it.
        ident: as ``threading.get_ident`` gives it, 0 if the thread does not run yet.
        native_id: as ``threading.get_native_id`` gives it, 0 if it is not known.
        state: `RUNNING`, `WAITING`, `ATTACHING`, `HANDLING` or `STARTING`.
        kind: the kind of the wait, `NOTHING` if there is none.
        address: the address of the object that is waited for, 0 if there is none.
        since: ``time.monotonic_ns()`` when the wait began, 0 if there is none.
        timed: whether the wait has a time-out.
        serial: grows with each wait of the thread.
        owner_number, owner_ident: the owner of the object; 0 if there is none, or it is not known.
        certain: whether only the owner can end the wait.
        name: the name of the thread, empty if it has none.
        daemon: whether the interpreter does not wait for it at exit, None if that is not known.
        is_main: whether it is the main thread.
        stack: the frames, the innermost first; None if the stack cannot be read.
        note: why the stack is missing or not complete; empty if it is whole.
        object: the object that is waited for, None outside of the process.
        inner: the object that rthread itself waits for, where `object` is a Python object that is
            made of it, as a ``queue.Queue`` of conditions.
        thread: the ``threading.Thread``, None if there is none, or outside of the process.
    """

    __slots__ = (
        *("number", "ident", "native_id", "state", "kind", "address", "since", "timed", "serial"),
        *("owner_number", "owner_ident", "certain", "name", "daemon", "is_main", "stack", "note"),
        *("object", "inner", "thread"),
    )

    def __init__(
        self,
        *,
        number: int,
        ident: int,
        native_id: int,
        state: int = RUNNING,
        kind: int = NOTHING,
        address: int = 0,
        since: int = 0,
        timed: bool = False,
        serial: int = 0,
        owner_number: int = 0,
        owner_ident: int = 0,
        certain: bool = False,
        name: str = "",
        daemon: "bool | None" = None,
        is_main: bool = False,
        stack: "list[Frame] | None" = None,
        note: str = "",
        object: "Any" = None,
        thread: "Any" = None,
    ) -> None:
        self.number = number
        self.ident = ident
        self.native_id = native_id
        self.state = state
        self.kind = kind
        self.address = address
        self.since = since
        self.timed = timed
        self.serial = serial
        self.owner_number = owner_number
        self.owner_ident = owner_ident
        self.certain = certain
        self.name = name
        self.daemon = daemon
        self.is_main = is_main
        self.stack = stack
        self.note = note
        self.object = object
        self.inner = object
        self.thread = thread

    @classmethod
    def of(cls, found: "tuple[Any, ...]") -> "ThreadRecord":
        """Make a record of a tuple of ``__threads__()``; name, stack and the like are added."""
        (number, ident, native_id, state, kind, waited_for, since, timed, *rest) = found
        serial, owner_number, owner_ident, certain = rest
        return cls(
            number=number,
            ident=ident,
            native_id=native_id,
            state=state,
            kind=kind,
            address=0 if waited_for is None else id(waited_for),
            since=since,
            timed=bool(timed),
            serial=serial,
            owner_number=owner_number,
            owner_ident=owner_ident,
            certain=certain,
            object=waited_for,
        )

    def __repr__(self) -> str:
        return f"<ThreadRecord {self.number} {self.name!r}, state {self.state}, kind {self.kind}>"


class LockRecord:
    """One lock or RLock that is held.

    Args:
        address: the address of the lock.
        kind: `LOCK` or `RLOCK`.
        owner_number, owner_ident: the thread that has taken it; 0 where it is not known.
        by_with: whether it was taken by a ``with`` statement.
        count: how often an RLock was taken; 1 for a lock.
        site: the frame that has taken it, None if that was not recorded.
        object: the lock, None outside of the process.
    """

    __slots__ = (
        *("address", "kind", "owner_number", "owner_ident", "by_with", "count", "site", "object"),
    )

    def __init__(
        self,
        *,
        address: int,
        kind: int = LOCK,
        owner_number: int = 0,
        owner_ident: int = 0,
        by_with: bool = False,
        count: int = 1,
        site: "Frame | None" = None,
        object: "Any" = None,
    ) -> None:
        self.address = address
        self.kind = kind
        self.owner_number = owner_number
        self.owner_ident = owner_ident
        self.by_with = by_with
        self.count = count
        self.site = site
        self.object = object

    @property
    def is_certain(self) -> bool:
        """Whether only the owner will release it."""
        return self.by_with or self.kind == RLOCK

    def __repr__(self) -> str:
        return f"<LockRecord {self.address:#x}, held by {self.owner_number}>"


class Snapshot:
    """The threads and held locks of a process at one moment.

    Args:
        threads: the threads in the order of the report, the main thread first.
        locks: the locks and RLocks that are held, as far as they are known.
        now: ``time.monotonic_ns()`` of this moment.
        pid: the process.
        version: the version of rthread in it.
        python: the version of the interpreter.
        names: by the address of an object, a name that refers to it: ``bank.lock``.
        classes: by the address of an object, the name of its class.
        fork_number: the highest number of a thread when this process was forked, 0 if it was not,
            None if that is not known.
        left_behind: tells of the number of a thread that does not exist whether the thread was left
            behind by a fork; None if only `fork_number` and `is_child` are known.
        is_child: whether the process is the child of a fork that has not begun another program.
        has_gil: whether it runs with a GIL.
        remarks: sentences about what this look could not see.
    """

    def __init__(
        self,
        threads: "Iterable[ThreadRecord]",
        locks: "Iterable[LockRecord]" = (),
        *,
        now: int,
        pid: int,
        version: str,
        python: str,
        names: "Mapping[int, str] | None" = None,
        classes: "Mapping[int, str] | None" = None,
        fork_number: "int | None" = None,
        left_behind: "Callable[[int], bool] | None" = None,
        is_child: bool = False,
        has_gil: bool = True,
        remarks: "Iterable[str]" = (),
    ) -> None:
        self.threads = list(threads)
        self.locks = list(locks)
        self.now = now
        self.pid = pid
        self.version = version
        self.python = python
        self.names = dict(names or {})
        self.classes = dict(classes or {})
        self.fork_number = fork_number
        self.left_behind = left_behind
        self.is_child = is_child
        self.has_gil = has_gil
        self.remarks = list(remarks)
        #: By the address of a lock, the frame that has taken it, and the one that has made it; only
        #: if that was recorded.
        self.taken: dict[int, Frame] = {}
        self.made: dict[int, Frame] = {}
        # What `_graph.stuck` cannot find in the records alone: see `_executors`.
        self.starved: list[StuckRecord] = []
        self.index()

    def index(self) -> None:
        """Make the tables for the methods below; to be repeated when records have changed."""
        self._by_number = {record.number: record for record in self.threads if record.number}
        self._by_ident = {record.ident: record for record in self.threads if record.ident}
        self._held: dict[int, list[LockRecord]] = {}
        for lock in self.locks:
            owner = self.thread(lock.owner_number, lock.owner_ident)
            if owner is not None:
                self._held.setdefault(id(owner), []).append(lock)
        names: dict[str, int] = {}
        for record in self.threads:
            names[record.name] = names.get(record.name, 0) + 1
        self._ambiguous = {name for name, count in names.items() if count > 1}

    def thread(self, number: int, ident: int = 0) -> "ThreadRecord | None":
        """The record of a thread by its number, or by its ident where the number is 0."""
        if number:
            return self._by_number.get(number)
        return self._by_ident.get(ident) if ident else None

    def owner(self, record: ThreadRecord) -> "ThreadRecord | None":
        """The owner of the object that a thread waits for, None if there is none alive."""
        return self.thread(record.owner_number, record.owner_ident)

    def held(self, record: ThreadRecord) -> "list[LockRecord]":
        """The locks and RLocks that a thread holds."""
        return self._held.get(id(record), [])

    def waiters(self, address: int) -> "list[ThreadRecord]":
        """The threads that wait for an object."""
        return [
            record
            for record in self.threads
            if record.address == address and record.state in (WAITING, HANDLING)
        ]

    def label(self, record: ThreadRecord) -> str:
        """The words by which a report refers to a thread."""
        name = printable(record.name)
        if not name:
            return f"thread {record.ident}"
        return f"{name} [{record.native_id}]" if record.name in self._ambiguous else name

    def class_name(self, address: int, kind: int) -> str:
        """The class of an object, as well as it is known."""
        return self.classes.get(address) or CLASS_NAMES[kind]

    def describe(self, address: int, kind: int) -> str:
        """The words by which a report refers to an object: its name, its class, its address."""
        if not address:
            class_name = self.class_name(address, kind)
            return f"{'an' if class_name[0] in 'AEIOU' else 'a'} {class_name}"
        words = f"{self.class_name(address, kind)} at {address:#x}"
        name = self.names.get(address)
        return f"{printable(name)} ({words})" if name else words

    def seconds(self, record: ThreadRecord) -> float:
        """How long a thread has waited."""
        return max(0, self.now - record.since) / 1e9 if record.since else 0.0


class StuckRecord:
    """An object for which threads wait in vain, or would.

    Args:
        kind: ``"owner ended"``, ``"owner lost by fork"``, ``"executor"`` or ``"unreachable"``.
        reason: the sentence that says so.
        address: the object, 0 if there is none.
        threads: the threads that wait.
        certain: whether no other thread can end the wait.
        object: the object itself, None outside of the process.
    """

    __slots__ = ("address", "certain", "kind", "object", "reason", "threads")

    def __init__(
        self,
        *,
        kind: str,
        reason: str,
        address: int,
        threads: "Iterable[ThreadRecord]",
        certain: bool,
        object: "Any" = None,
    ) -> None:
        self.kind = kind
        self.reason = reason
        self.address = address
        self.threads = list(threads)
        self.certain = certain
        self.object = object


def printable(text: str) -> str:
    """A text with each character escaped that would break a line or a terminal."""
    if text.isprintable():
        return text
    return "".join(
        c if c.isprintable() else c.encode("unicode_escape", "backslashreplace").decode("ascii")
        for c in text
    )
