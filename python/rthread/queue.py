"""The interpreter's own ``queue``, in Rust.

Items are handed straight from a thread that puts to one that gets, so nobody starves; no put or
get deadlocks with one that a finalizer or a weak reference's callback makes in the middle of it;
and `shutdown` exists on every version. ``rthread.install(queue=True)`` puts these classes into
``queue`` for a whole program.
"""

import sys
from time import monotonic as _monotonic

from rthread import _native, _rthread

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
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
# What the Python classes call on themselves, and derived classes replace.
_HOOKS = ("_init", "_qsize", "_put", "_get", "__class_getitem__")


def _make() -> "dict[str, Any]":
    """Make the native classes, once in a process.

    Returns:
        What this module shows, by name, and under ``"pairs"`` the stock classes with the native
        ones.
    """
    import queue

    # A queue that opens is given conditions.
    _native.in_threading()
    stock = vars(queue)
    names: dict[str, Any] = {name: stock[name] for name in ("Empty", "Full")}
    pure = {name: stock[name] for name in _CLASSES}
    if sys.version_info >= (3, 13):
        names["ShutDown"] = stock["ShutDown"]
    else:
        names["ShutDown"] = type(
            "ShutDown",
            (Exception,),
            {
                "__module__": "queue",
                "__doc__": "Raised by put and get on a queue that has been shut down.",
            },
        )
        pure["Queue"] = _with_shutdown(**names, stock=stock["Queue"])
    native = _native.make({**pure, **names})
    for name in native.keys() - {"SimpleQueue"}:
        for hook in _HOOKS:
            if hook in vars(stock[name]):
                setattr(native[name], hook, vars(stock[name])[hook])
    names.update(native)
    names["pairs"] = [(stock[name], native[name]) for name in native]
    return names


def _with_shutdown(
    stock: "Any",
    Empty: type[Exception],
    Full: type[Exception],
    ShutDown: type[Exception],
) -> type:
    """What a queue that has opened is before 3.13: the Python class, and ``shutdown``.

    Args:
        stock: the interpreter's own ``Queue``.
        Empty: what get raises.
        Full: what put raises.
        ShutDown: what both raise.
    """

    def wait(
        condition: "Any",
        is_blocked: "Callable[[], bool]",
        is_over: "Callable[[], bool]",
        block: object,
        timeout: "Any",
        give_up: type[Exception],
    ) -> None:
        """Wait while `is_blocked`, with the lock of the condition held."""
        if not block:
            if is_blocked():
                raise give_up
            return
        if timeout is not None and timeout < 0:
            raise ValueError("'timeout' must be a non-negative number")
        deadline = None if timeout is None else _monotonic() + timeout
        while is_blocked():
            left = None if deadline is None else deadline - _monotonic()
            if left is not None and left <= 0:
                raise give_up
            condition.wait(left)
            if is_over():
                raise ShutDown

    # The functions are called with native objects, which are not of this class: no super() here.
    class Queue(stock):  # type: ignore[misc]
        __doc__ = stock.__doc__

        def __init__(self, maxsize: int = 0) -> None:
            stock.__init__(self, maxsize)
            self.is_shutdown = False

        def put(self, item: "Any", block: bool = True, timeout: "float | None" = None) -> None:
            with self.not_full:
                if self.is_shutdown:
                    raise ShutDown
                if self.maxsize > 0:
                    wait(
                        self.not_full,
                        lambda: self._qsize() >= self.maxsize,
                        lambda: self.is_shutdown,
                        block,
                        timeout,
                        Full,
                    )
                self._put(item)
                self.unfinished_tasks += 1
                self.not_empty.notify()

        def get(self, block: bool = True, timeout: "float | None" = None) -> "Any":
            def is_over() -> bool:
                return self.is_shutdown and not self._qsize()

            with self.not_empty:
                if is_over():
                    raise ShutDown
                wait(self.not_empty, lambda: not self._qsize(), is_over, block, timeout, Empty)
                item = self._get()
                self.not_full.notify()
                return item

        def shutdown(self, immediate: bool = False) -> None:
            """Let nothing be put any more, and wake whoever waits to put or get.

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

    # Error messages name functions by it.
    for name in ("__init__", "put", "get", "shutdown"):
        vars(Queue)[name].__qualname__ = f"Queue.{name}"
    for name in ("put", "get"):
        vars(Queue)[name].__doc__ = vars(stock)[name].__doc__
    return Queue


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
    """The classes of ``queue`` that have a native counterpart, and these.

    Returns:
        Pairs of a stock class and the native one.
    """
    pairs: list[tuple[type, type]] = _found["pairs"]
    return pairs
