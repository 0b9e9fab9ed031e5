"""Native classes, which stand in for the Python classes of ``threading`` and ``queue``.

The extension makes native classes from the Python classes. This module does the part that is easier
in Python: it makes the attributes of an object that is materialized, continues the waits that this
has interrupted, and tells which objects the names of a module have to hold.
"""

import os
import sys

from rthread import _rthread

TYPE_CHECKING = False
if TYPE_CHECKING:
    import collections
    from collections.abc import Callable
    from types import FrameType
    from typing import Any

    from rthread import _stock

    Ticket = tuple[Any, Any]
    # The deque of a condition's waiters, and the tickets for its waiters.
    Waiters = tuple[Any, tuple[Ticket, ...]]

__all__ = ["THREADING", "in_threading", "wanted", "within"]

# The same as in `types`. Importing `types` or `copyreg` here would load them in every program.
_Function: "Any" = type(lambda: None)

# The classes of `threading` that have a native counterpart.
THREADING = ("Barrier", "BoundedSemaphore", "Condition", "Event", "Semaphore")
# Exceptions that native objects raise too.
_EXCEPTIONS = ("BrokenBarrierError",)

# Names that the Python classes look up in `threading` and in `queue` whenever they need them.
_LOOKED_UP = (
    *("Condition", "Lock", "RLock", "Semaphore", "_CRLock", "_allocate_lock", "_deque"),
    *("_islice", "_time"),
)
_LOOKED_UP_BY_QUEUES = ("deque", "heappop", "heappush", "time")
# Builtins that the Python classes use. A name in the module would hide them.
_BUILTINS = ("RuntimeError", "ValueError", "hasattr", "len", "super")

# Attributes that a native class has of its own, or that mean nothing for it.
_OWN = frozenset({"__dict__", "__doc__", "__module__", "__weakref__"})


def wanted() -> bool:
    """Tell whether native classes are used by default.

    Returns:
        False if the environment variable ``RTHREAD_NATIVE`` is ``0``.
    """
    return os.environ.get("RTHREAD_NATIVE") != "0"


def in_threading(evidence: "_stock.Dependencies | None" = None) -> "list[tuple[type, type]]":
    """The classes of ``threading`` that have a native counterpart, and the counterparts.

    A class has none if it is not the interpreter's own, or uses objects that are not.

    Args:
        evidence: the results of earlier checks.

    Returns:
        Pairs of a Python class and the native one.
    """
    import threading

    from rthread import _stock

    evidence = evidence or _stock.Dependencies()
    state: dict[str, Any] = vars(_rthread).setdefault("__native_state__", {})
    known: dict[str, tuple[type, type]] = state.setdefault("threading", {})
    names = vars(threading)
    missing = [name for name in THREADING if name not in known]
    classes = {name: names[name] for name in missing if evidence.fits(names.get(name), threading)}
    # The base of a class may have been replaced although the class itself was not.
    bases = [object, *classes.values(), *(old for old, _new in known.values())]
    classes = {name: old for name, old in classes.items() if all(b in bases for b in old.__bases__)}
    if classes:
        native = make({**classes, **{name: names[name] for name in _EXCEPTIONS}})
        known.update((name, (classes[name], native[name])) for name in classes)
    return list(known.values())


def make(classes: "dict[str, Any]") -> "dict[str, type]":
    """Make native types.

    Args:
        classes: the Python classes, and the exceptions that belong to them, by their names.

    Returns:
        The native types by their names.
    """
    import threading

    state: dict[str, Any] = vars(_rthread).setdefault("__native_state__", {})
    # All classes so far, by name. The recipes read them when they are used.
    python: dict[str, Any] = state.setdefault("python", {})
    native: dict[str, Any] = state.setdefault("native", {})
    python.update(classes)
    expected: dict[str, tuple[Any, ...]] = state.setdefault(
        "expected", _expected(vars(threading), _LOOKED_UP)
    )
    helpers: dict[str, Any] = {
        "adapt": _adapt,
        "finish": _finish,
        "resume": _resume,
        "resume_condition": _resume_condition,
        "checkpoint": _checkpoint,
        "rejoin_barrier": _rejoin_barrier,
        "leave_barrier": _leave_barrier,
        "end_turn": _end_turn,
        "recipes": _Recipes(python, native).all(),
        "threading": vars(threading),
        "threading_expected": expected,
    }
    if "Queue" in classes:
        import queue

        helpers["queue"] = vars(queue)
        helpers["queue_expected"] = {
            **_expected(vars(queue), _LOOKED_UP_BY_QUEUES),
            "threading": (threading,),
        }
    made: dict[str, type] = vars(_rthread)["__make_native__"](classes, helpers)
    native.update(made)
    for name in made.keys() & expected.keys():
        # `threading` may hold either class.
        expected[name] = (classes[name], made[name])
    return made


def _expected(names: "dict[str, Any]", looked_up: tuple[str, ...]) -> "dict[str, tuple[Any, ...]]":
    """The objects that each of some names may hold: the interpreter's and rthread's own."""
    ours = vars(_rthread)
    locks = tuple(ours[name] for name in ("allocate_lock", "lock") if name in ours)
    # An empty tuple: the name must not exist.
    expected: dict[str, tuple[Any, ...]] = dict.fromkeys(_BUILTINS, ())
    ours_by_name = {"Lock": locks, "_allocate_lock": locks, "_CRLock": (ours["RLock"],)}
    for name in looked_up:
        if name in names:
            own = (names[name],) if _is_interpreters(names[name], names) else ()
            expected[name] = own + ours_by_name.get(name, ())
    return expected


def _is_interpreters(value: "Any", names: "dict[str, Any]") -> bool:
    """Tell whether the interpreter has put an object into a module, and not a tool."""
    if type(value) is _Function:
        return value.__globals__ is names and value.__code__.co_filename == _file_of(names)
    module = getattr(value, "__module__", None)
    if isinstance(value, type):
        return module in {"_thread", "collections", "itertools", names["__name__"]}
    # A C function of a C module.
    return type(value) is type(len) and module in {"_thread", "time", "_heapq"}


def _file_of(names: "dict[str, Any]") -> object:
    return next(
        (
            value.__code__.co_filename
            for value in vars(names.get("Thread") or names["Queue"]).values()
            if type(value) is _Function
        ),
        None,
    )


# The functions that the extension calls.


def _adapt(function: "Any", native: type) -> "tuple[Any, Any]":
    """Adapt a function of a Python class to a native class.

    ``super()`` in the function then means the native class.

    Returns:
        The function, and the function that a program sees. The latter is the interpreter's own
        where rthread has put another function in its place.
    """
    seen = getattr(function, "__in_place_of__", None)
    if seen is not None:
        return function, _copied(seen, seen.__globals__, seen.__closure__)
    code: Any = getattr(function, "__code__", None)
    if type(function) is _Function and "__class__" in code.co_freevars:
        cells = zip(code.co_freevars, function.__closure__ or (), strict=True)
        closure = tuple(type(cell)(native) if name == "__class__" else cell for name, cell in cells)
        function = _copied(function, function.__globals__, closure)
    return function, function


def within(function: "Any", names: "dict[str, Any]") -> "Any":
    """Copy a function, with another namespace to look names up in."""
    return _copied(function, names, function.__closure__)


def _copied(function: "Any", names: "dict[str, Any]", closure: "Any") -> "Any":
    code, name, defaults = function.__code__, function.__name__, function.__defaults__
    copied = _Function(code, names, name, defaults, closure)
    copied.__kwdefaults__ = function.__kwdefaults__
    copied.__doc__ = function.__doc__
    copied.__module__ = function.__module__
    copied.__qualname__ = function.__qualname__
    copied.__dict__.update(function.__dict__)
    return copied


def _finish(native: "Any", python: "Any") -> None:
    """Give a native class the attributes that the Python class has beside its methods."""
    native.__doc__ = python.__doc__
    own = vars(python)
    for name, value in own.items():
        if name in vars(native) or name in _OWN:
            continue
        # The value may be a method under another name.
        same = [other for other in own if own[other] is value and other != name and callable(value)]
        method = next((vars(native)[other] for other in same if other in vars(native)), value)
        setattr(native, name, method)
    native.__getstate__ = _getstate


def _checkpoint() -> None:
    """Do nothing: the interpreter does its pending work when it enters the function."""


def _resume(lock: "Any", condition: "Any", left: "float | bool | None") -> bool:
    """Continue the wait of a thread that has a lock among the waiters of a condition.

    Args:
        lock: the lock of the thread.
        condition: the condition that has the lock in its ``_waiters``.
        left: how many seconds to wait at most; None for no limit, False to give up.

    Returns:
        Whether the thread was notified.
    """
    notified = False
    try:
        notified = _wait_for(lock, left)
    finally:
        with condition:
            if not notified and lock in condition._waiters:
                condition._waiters.remove(lock)
    return notified


def _wait_for(lock: "Any", left: "float | bool | None") -> bool:
    if left is None:
        return bool(lock.acquire())
    if left is False:
        return False
    return bool(lock.acquire(True, left) if left > 0 else lock.acquire(False))


def _resume_condition(
    lock: "Any", condition: "Any", left: "float | bool | None", saved: "Any"
) -> bool:
    """Continue the wait for a condition, as `Condition.wait` does.

    Args:
        lock, condition, left: as for `_resume`.
        saved: the state of the condition's lock, for ``_acquire_restore``.
    """
    notified = False
    try:
        notified = _wait_for(lock, left)
    finally:
        condition._acquire_restore(saved)
        if not notified and lock in condition._waiters:
            condition._waiters.remove(lock)
    return notified


def _rejoin_barrier(barrier: "Any", index: int, left: "float | None", condition: "Any") -> int:
    """Continue the wait of a thread that a barrier has counted, as `Barrier.wait` does.

    Args:
        barrier: the barrier.
        index: the number of this thread in the round.
        left: how many seconds to wait at most; None for no limit.
        condition: the condition that the barrier had when it was materialized.
    """
    with condition:
        try:
            if condition is barrier._cond:
                barrier._wait(left)
            else:
                _wait_for_former(barrier, condition, left)
            return index
        finally:
            barrier._count -= 1
            barrier._exit()


def _wait_for_former(barrier: "Any", condition: "Any", left: "float | None") -> None:
    """Wait for a round of a barrier that has been given another condition meanwhile."""
    import threading

    if not condition.wait_for(lambda: barrier._state != 0, left):
        barrier._break()
        raise threading.BrokenBarrierError
    if barrier._state < 0:
        raise threading.BrokenBarrierError


def _leave_barrier(barrier: "Any", condition: "Any") -> None:
    """Take a thread out of the count of a barrier, because an exception ends its wait."""
    with condition:
        barrier._count -= 1
        barrier._exit()


def _end_turn(barrier: "Any", done: bool) -> None:
    """End a round after its action, with the lock of the barrier's condition held."""
    condition = barrier._cond
    try:
        if done:
            barrier._state = 1
            condition.notify_all()
        else:
            barrier._break()
    finally:
        barrier._count -= 1
        barrier._exit()
        condition.release()


class _Recipes:
    """Makes the attributes of materialized objects, with the Python ``__init__`` and our locks."""

    def __init__(self, classes: "dict[str, Any]", native: "dict[str, Any]") -> None:
        self._classes = classes
        self._native = native
        # By name, the `__init__` of a class, and a copy of it that uses rthread's locks.
        self._inits: dict[str, tuple[Any, Any]] = {}

    def all(self) -> "dict[str, Callable[..., tuple[Any, ...]]]":
        queue = self._queue
        return {
            "Condition": self._condition,
            "Event": self._event,
            "Semaphore": self._semaphore,
            "BoundedSemaphore": self._bounded_semaphore,
            "Barrier": self._barrier,
            "Queue": lambda *args: queue("Queue", *args),
            "LifoQueue": lambda *args: queue("LifoQueue", *args),
            "PriorityQueue": lambda *args: queue("PriorityQueue", *args),
        }

    def _make(self, name: str, *args: object) -> "Any":
        """Make an object of a Python class as if no name had been replaced."""
        python = self._classes[name]
        made = object.__new__(python)
        # The interpreter's own `__init__`, even if rthread has derived a class from its class.
        bases = reversed(python.__mro__[:-1])
        init = next(vars(base)["__init__"] for base in bases if "__init__" in vars(base))
        known, on_rthread = self._inits.get(name, (None, None))
        if known is not init:
            on_rthread = _on_rthread(init, self._native["Condition"])
            # The function is kept. Without a GIL (3.14.7), a function to which only its own call
            # referred has found nothing in its namespace.
            self._inits[name] = init, on_rthread
        on_rthread(made, *args)
        return made

    def _condition(self, condition: object, lock: object, tickets: int) -> "tuple[Any, ...]":
        made = self._make("Condition", lock)
        return vars(made), _tickets(condition, made._waiters, tickets)

    def _event(self, tickets: int) -> "tuple[Any, ...]":
        return self._with_one_condition(self._make("Event"), tickets)

    def _semaphore(self, value: int, tickets: int) -> "tuple[Any, ...]":
        return self._with_one_condition(self._make("Semaphore", value), tickets)

    def _bounded_semaphore(self, value: int, bound: object, tickets: int) -> "tuple[Any, ...]":
        made = self._make("Semaphore", value)
        made._initial_value = bound
        return self._with_one_condition(made, tickets)

    def _barrier(
        self, parties: int, action: object, timeout: object, tickets: int
    ) -> "tuple[Any, ...]":
        made = self._make("Barrier", parties, action, timeout)
        return self._with_one_condition(made, tickets)

    def _with_one_condition(self, made: "Any", tickets: int) -> "tuple[Any, ...]":
        return vars(made), _tickets_of(made._cond, tickets)

    def _queue(
        self, name: str, maxsize: int, getters: int, putters: int, joiners: int
    ) -> "tuple[Any, ...]":
        made = self._make(name, maxsize)
        return (
            vars(made),
            _tickets_of(made.not_empty, getters),
            _tickets_of(made.not_full, putters),
            _tickets_of(made.all_tasks_done, joiners),
        )


def _on_rthread(function: "Any", condition: type) -> "Any":
    """Copy a function, with rthread's locks and conditions under the names that it looks up."""
    ours = vars(_rthread)
    names = {
        "Condition": condition,
        "Lock": ours.get("lock") or ours["allocate_lock"],
        "RLock": ours["RLock"],
        "_allocate_lock": ours["allocate_lock"],
    }
    names["threading"] = type(sys.implementation)(**names)
    return _copied(function, {**function.__globals__, **names}, function.__closure__)


def _tickets_of(condition: "Any", count: int) -> "Waiters":
    # Reading `_waiters` materializes a native condition, so it is not done without tickets.
    return _tickets(condition, condition._waiters, count) if count else (None, ())


def _tickets(condition: object, waiters: "collections.deque[Any]", count: int) -> "Waiters":
    """Put so many held locks into a condition's waiters, as waiting threads would do."""
    tickets = []
    for _ in range(count):
        lock = vars(_rthread)["allocate_lock"]()
        lock.acquire()
        waiters.append(lock)
        tickets.append((lock, condition))
    return waiters, tuple(tickets)


# Pickling and copying, as for objects of Python classes: their only state is their attributes.


# `object` reads the dict without its getter. Only the getter materializes a native object.


def _getstate(self: "Any") -> "Any":
    """Stand in for ``object.__getstate__``."""
    own = self.__dict__
    if getattr(self, "__slots__", None):
        _refuse_slots(type(self).__name__, sys._getframe(1))
    get = getattr(object, "__getstate__", None)
    if get is not None:
        return get(self)
    import copyreg

    names: list[str] = copyreg._slotnames(type(self))  # type: ignore[attr-defined]
    slots = {name: getattr(self, name) for name in names if hasattr(self, name)}
    return (own or None, slots) if slots else own or None


def _refuse_slots(name: str, caller: "FrameType") -> None:
    """Refuse slots of a class without its own ``__getstate__``, as protocols 0 and 1 do.

    Args:
        name: the name of the class.
        caller: the frame that asks for the state.
    """
    import copyreg

    reduce_ex: Any = copyreg._reduce_ex  # type: ignore[attr-defined]
    if caller.f_code is reduce_ex.__code__:
        # In the words of this version.
        reduce_ex(type(name, (), {"__slots__": ("slot",)})(), caller.f_locals["proto"])
