import sys
from _queue import Empty as Empty
from queue import Full as Full
from types import GenericAlias
from typing import Any, Generic, TypeVar, overload

from typing_extensions import disjoint_base

from rthread._rthread import LockType
from rthread.threading import Condition

__all__ = [
    "Empty",
    "Full",
    "LifoQueue",
    "PriorityQueue",
    "Queue",
    "ShutDown",
    "SimpleQueue",
]

_T = TypeVar("_T")

if sys.version_info >= (3, 13):
    from queue import ShutDown as ShutDown
else:
    class ShutDown(Exception):
        """Raised by put and get on a queue that has been shut down."""

@disjoint_base
class Queue(Generic[_T]):
    """Items on their way between threads: the first that was put is the first to be got.

    Args:
        maxsize: how many items fit in; 0 or less stands for any number.
    """

    maxsize: int
    """How many items fit in. When it is raised, threads that wait for room go on."""

    unfinished_tasks: int
    """For how many items `task_done` is still to be called."""

    is_shutdown: bool
    """Whether `shutdown` was called."""

    # Attributes that a queue gets when a program reads one of them. From then on the Python class
    # of `queue` serves the queue, which is as slow as that class.
    mutex: LockType
    not_empty: Condition
    not_full: Condition
    all_tasks_done: Condition
    queue: Any
    def __init__(self, maxsize: int = 0) -> None: ...
    def put(self, item: _T, block: bool = True, timeout: float | None = None) -> None:
        """Put an item into the queue, and wait for room if it is full.

        Args:
            item: the object to put.
            block: when false, do not wait at all.
            timeout: how many seconds to wait at most; None means no limit.

        Raises:
            Full: there was no room within the time.
            ShutDown: the queue has been shut down.
            ValueError: `timeout` is negative.
        """
    def get(self, block: bool = True, timeout: float | None = None) -> _T:
        """Take an item out of the queue, and wait for one if it is empty.

        Args:
            block: when false, do not wait at all.
            timeout: how many seconds to wait at most; None means no limit.

        Raises:
            Empty: there was no item within the time.
            ShutDown: the queue has been shut down, and is empty.
            ValueError: `timeout` is negative.
        """
    def put_nowait(self, item: _T) -> None:
        """Put an item without waiting: ``put(item, block=False)``."""
    def get_nowait(self) -> _T:
        """Take an item without waiting: ``get(block=False)``."""
    def qsize(self) -> int:
        """Tell how many items are in the queue at this moment."""
    def empty(self) -> bool:
        """Tell whether the queue is empty at this moment."""
    def full(self) -> bool:
        """Tell whether the queue is full at this moment."""
    def task_done(self) -> None:
        """Say that the work on an item is done.

        Raises:
            ValueError: it was called more often than items were put.
        """
    @overload
    def join(self, timeout: None = None) -> None:
        """Wait until `task_done` was called for every item.

        Args:
            timeout: how many seconds to wait at most; None means no limit.

        Returns:
            With a time-out, whether `task_done` was called for every item within the time;
            without one, None.

        Raises:
            ValueError: `timeout` is negative.
        """
    @overload
    def join(self, timeout: float) -> bool: ...
    def shutdown(self, immediate: bool = False) -> None:
        """Let nothing be put any more, and wake all threads that wait to put or get.

        From now on `put` raises `ShutDown`, and so does `get` when the queue is empty.

        Args:
            immediate: whether to take out and drop the items that are still in the queue, and
                count them as done.
        """
    # For derived classes that keep the items in another way.
    def _init(self, maxsize: int) -> None: ...
    def _qsize(self) -> int: ...
    def _put(self, item: _T) -> None: ...
    def _get(self) -> _T: ...
    def __class_getitem__(cls, item: Any, /) -> GenericAlias: ...

@disjoint_base
class PriorityQueue(Queue[_T]):
    """A queue from which the least item is got first, by ``<``.

    If a comparison raises in `get`, the item is still in the queue. If one raises in `put`, the
    item may be in the queue already, as with the interpreter's class.
    """

    queue: list[_T]
    def __init__(self, maxsize: int = 0) -> None: ...

class LifoQueue(Queue[_T]):
    """A queue from which the item that was put last is got first."""

    queue: list[_T]
    def __init__(self, maxsize: int = 0) -> None: ...

@disjoint_base
class SimpleQueue(Generic[_T]):
    """A queue without a limit and without tasks."""

    def __new__(cls) -> SimpleQueue[_T]: ...
    def put(self, item: _T, block: bool = True, timeout: float | None = None) -> None:
        """Put an item into the queue. It never waits, whatever the other arguments say."""
    def get(self, block: bool = True, timeout: float | None = None) -> _T:
        """Take an item out of the queue, and wait for one if it is empty.

        Args:
            block: when false, do not wait at all.
            timeout: how many seconds to wait at most; None means no limit.

        Raises:
            Empty: there was no item within the time.
            ValueError: `timeout` is negative.
        """
    def put_nowait(self, item: _T) -> None:
        """Put an item into the queue, as `put` does."""
    def get_nowait(self) -> _T:
        """Take an item without waiting: ``get(block=False)``."""
    def qsize(self) -> int:
        """Tell how many items are in the queue at this moment."""
    def empty(self) -> bool:
        """Tell whether the queue is empty at this moment."""
    def __class_getitem__(cls, item: Any, /) -> GenericAlias: ...
