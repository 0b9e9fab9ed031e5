"""The interpreter's own ``queue``, in Rust.

A put hands its item directly to a thread that waits in get, so no thread starves. A finalizer or a
weak reference's callback may call put or get in the middle of another put or get without a
deadlock. `shutdown` exists on every version. ``rthread.install(queue=True)`` puts these classes
into ``queue`` for a whole program.
"""

import sys

from rthread import _native, _rthread

TYPE_CHECKING = False
if TYPE_CHECKING:
    # Functions that are copied into the namespace of `queue` find `time` there.
    from time import monotonic as time
    from types import ModuleType
    from typing import Any

__all__ = [
    "Empty",
    "Full",
    "LifoQueue",
    "PriorityQueue",
    "Queue",
    "ShutDown",
    "SimpleQueue",
]

_CLASSES = ("Queue", "LifoQueue", "PriorityQueue", "SimpleQueue")


def _make() -> "dict[str, Any]":
    """Make the native classes, once in a process.

    Returns:
        The public objects of this module by name, and under ``"pairs"`` the stock classes with the
        native ones.
    """
    import queue

    # A materialized queue has conditions.
    _native.in_threading()
    stock = vars(queue)
    names: dict[str, Any] = {name: stock[name] for name in ("Empty", "Full")}
    python = {name: stock[name] for name in _CLASSES}
    python["Queue"] = _with_join(queue)
    if sys.version_info >= (3, 13):
        names["ShutDown"] = stock["ShutDown"]
    else:
        names["ShutDown"] = _shut_down_error()
        _add_shutdown(python["Queue"], queue, names["ShutDown"])
    native = _native.make({**python, **names})
    names.update(native)
    names["pairs"] = [(stock[name], native[name]) for name in native]
    return names


def _shut_down_error() -> type[Exception]:
    """The exception of queues that have been shut down, for versions of `queue` without it."""
    # It is pickled by its name in this module, whether or not `queue` has it as well.
    return type(
        "ShutDown",
        (Exception,),
        {
            "__module__": __name__,
            "__doc__": "Raised by put and get on a queue that has been shut down.",
        },
    )


# The functions of the following classes are called with native objects, which are not of these
# classes. So they cannot use super(). They look names of `queue` up there at each use, as its own
# functions do.


def _with_join(queue: "ModuleType") -> "Any":
    """Derive a class from the interpreter's ``Queue``, with a `join` that takes a time-out.

    Args:
        queue: the interpreter's own module.

    Returns:
        The class, with all attributes of the interpreter's class in its own dict.
    """
    names = vars(queue)
    stock: Any = names["Queue"]

    class Queue(stock):  # type: ignore[misc]
        def join(self, timeout=None):  # type: ignore[no-untyped-def]
            with self.all_tasks_done:
                if timeout is None:
                    while self.unfinished_tasks:
                        self.all_tasks_done.wait()
                    return None
                if timeout < 0:
                    raise ValueError("'timeout' must be a non-negative number")
                deadline = time() + timeout
                while self.unfinished_tasks:
                    left = deadline - time()
                    if left <= 0:
                        return False
                    self.all_tasks_done.wait(left)
                return True

    for name, value in vars(stock).items():
        if name not in {"__dict__", "__weakref__", "join"}:
            setattr(Queue, name, value)
    Queue.join = _native.within(vars(Queue)["join"], names)  # type: ignore[method-assign]
    _stand_for(Queue, stock, "join")
    return Queue


def _stand_for(cls: "Any", stock: "Any", *methods: str) -> None:
    """Name methods like the interpreter's own, and let them look like these in a native class."""
    for method in methods:
        own = vars(cls)[method]
        own.__qualname__ = f"{stock.__qualname__}.{method}"
        own.__module__ = stock.__module__
        if method in vars(stock):
            own.__in_place_of__ = vars(stock)[method]


def _add_shutdown(cls: "Any", queue: "ModuleType", ShutDown: type[Exception]) -> None:
    """Give a class the `shutdown` that ``Queue`` has from 3.13 on.

    Args:
        cls: a class derived from the interpreter's ``Queue``.
        queue: the interpreter's own module.
        ShutDown: the exception that `put` and `get` raise.
    """
    names = vars(queue)
    stock = names["Queue"]
    initialise = stock.__init__

    # These functions have no annotations, as those of `queue`, and get its namespace: see below.

    def wait(condition, is_blocked, is_over, block, timeout, give_up):  # type: ignore[no-untyped-def]
        """Wait while `is_blocked`, with the lock of the condition held."""
        if not block:
            if is_blocked():
                give_up()
            return
        if timeout is not None and timeout < 0:
            raise ValueError("'timeout' must be a non-negative number")
        deadline = None if timeout is None else time() + timeout
        while is_blocked():
            left = None if deadline is None else deadline - time()
            if left is not None and left <= 0:
                give_up()
            condition.wait(left)
            if is_over():
                refuse()

    def refuse():  # type: ignore[no-untyped-def]
        raise names.get("ShutDown", ShutDown)

    def full():  # type: ignore[no-untyped-def]
        raise Full

    def empty():  # type: ignore[no-untyped-def]
        raise Empty

    def is_shut_down(self):  # type: ignore[no-untyped-def]
        # A class that has only borrowed a method has no such attribute.
        return getattr(self, "is_shutdown", False)

    def __init__(self, maxsize=0):  # type: ignore[no-untyped-def]
        initialise(self, maxsize)
        if is_shut_down(self):
            del self.is_shutdown

    def put(self, item, block=True, timeout=None):  # type: ignore[no-untyped-def]
        with self.not_full:
            if is_shut_down(self):
                refuse()
            if self.maxsize > 0:
                wait(
                    self.not_full,
                    lambda: self._qsize() >= self.maxsize,
                    lambda: is_shut_down(self),
                    block,
                    timeout,
                    full,
                )
            self._put(item)
            self.unfinished_tasks += 1
            self.not_empty.notify()

    def get(self, block=True, timeout=None):  # type: ignore[no-untyped-def]
        def is_over():  # type: ignore[no-untyped-def]
            return is_shut_down(self) and not self._qsize()

        with self.not_empty:
            if is_over():
                refuse()
            wait(self.not_empty, lambda: not self._qsize(), is_over, block, timeout, empty)
            item = self._get()
            self.not_full.notify()
            return item

    def shutdown(self, immediate=False):  # type: ignore[no-untyped-def]
        """Let nothing be put any more, and wake all threads that wait to put or get.

        From now on put raises ShutDown, and so does get when the queue is empty.

        Args:
            immediate: whether to take out and drop what is still in the queue, and count it
                as done.
        """
        with self.mutex:
            self.is_shutdown = True
            while immediate and self._qsize():
                self._get()
                self.unfinished_tasks = max(0, self.unfinished_tasks - 1)
            for condition in (self.not_empty, self.not_full, self.all_tasks_done):
                condition.notify_all()

    # The copies look names up where the interpreter's own functions do. They go into the cells by
    # which the functions find one another.
    wait, full, empty = (_native.within(function, names) for function in (wait, full, empty))
    # An attribute of the class. An object gets one of its own when it is shut down.
    cls.is_shutdown = False
    for function in (__init__, put, get, shutdown):
        setattr(cls, function.__name__, _native.within(function, names))
    _stand_for(cls, stock, "__init__", "put", "get", "shutdown")


def _names() -> "dict[str, Any]":
    state: dict[str, Any] = vars(_rthread).setdefault("__native_state__", {})
    if "queue" not in state:
        state["queue"] = _make()
    names: dict[str, Any] = state["queue"]
    return names


_found = _names()
Empty = _found["Empty"]
Full = _found["Full"]
LifoQueue = _found["LifoQueue"]
PriorityQueue = _found["PriorityQueue"]
Queue = _found["Queue"]
ShutDown = _found["ShutDown"]
SimpleQueue = _found["SimpleQueue"]


def _pairs() -> "list[tuple[type, type]]":
    """The classes of ``queue`` that have a native counterpart, and the counterparts.

    Returns:
        Pairs of a stock class and the native one.
    """
    pairs: list[tuple[type, type]] = _found["pairs"]
    return pairs
