"""Tells whether an object is one whose waiters and owner rthread sees."""

import collections
import gc

from rthread._install import own, stock_thread
from rthread.debug import _safe

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["check_lock", "identities", "is_thread", "lock_of", "parts", "thread_ident"]

_LOCKS: "tuple[type, ...]" = (own["LockType"], own["RLock"])
_STOCK_LOCKS: "tuple[type, ...]" = (stock_thread().LockType, stock_thread().RLock)
# From 3.13 on.
_HANDLES: "tuple[type, ...]" = tuple([own["_ThreadHandle"]] if "_ThreadHandle" in own else ())
_STOCK_HANDLES = tuple(cls for cls in (vars(stock_thread()).get("_ThreadHandle"),) if cls)

# The Python classes that consist of locks or conditions, and an attribute that shows of which.
_PYTHON_CLASSES = {
    "threading": {
        "Condition": "_lock",
        "Event": "_cond",
        "Semaphore": "_cond",
        "Barrier": "_cond",
    },
    "queue": {"Queue": "mutex"},
}
_PYTHON_CLASSES["rthread.threading"] = _PYTHON_CLASSES["threading"]

_HINT = "only what is made after rthread.install(), or through rthread, is rthread's"


def check_lock(function: str, value: object) -> None:
    """Let only locks and RLocks of rthread pass.

    Args:
        function: the name of the public function, for the message.
        value: its argument.

    Raises:
        TypeError: the argument is another object.
    """
    if _safe.is_a(value, _LOCKS):
        return
    if _safe.is_a(value, _STOCK_LOCKS):
        raise TypeError(
            f"{function}() cannot tell: this {_safe.class_name(value)} is the interpreter's own, "
            f"and rthread does not see its owner; {_HINT}"
        )
    raise TypeError(
        f"{function}() takes a lock or an RLock of rthread, not {_safe.class_name(value)}"
    )


def lock_of(value: object) -> object:
    """The lock of a condition; any other object itself, and a condition whose lock is not found."""
    if not _is_of(value, "threading", "Condition"):
        return value
    attributes = _safe.attributes(value)
    if "_lock" in attributes:
        return attributes["_lock"]
    # An attribute access would turn a native condition into a Python object. A derived class may
    # have attributes that are locks, too.
    others = {id(attribute) for attribute in attributes.values()}
    found = [inside for inside in gc.get_referents(value) if _safe.is_a(inside, _LOCKS)]
    own_locks = [lock for lock in found if id(lock) not in others]
    return own_locks[0] if len(own_locks) == 1 else value


def identities(value: object) -> "set[int]":
    """The ids of the objects by which threads wait for an object: itself, and its parts.

    Raises:
        TypeError: rthread does not see the waiters of the object.
    """
    if _safe.is_a(value, (*_LOCKS, *_safe.native_classes())):
        return parts(value)
    if _safe.is_a(value, _HANDLES):
        return {id(value)}
    if is_thread(value):
        return set(_of_thread(value))
    if _is_python_class(value):
        return parts(value)
    if _is_stock(value):
        raise _not_seen(value)
    raise TypeError(
        "waiters() takes a lock, condition, event, semaphore, barrier, queue or thread of rthread, "
        f"not {_safe.class_name(value)}"
    )


def _not_seen(value: object) -> TypeError:
    return TypeError(
        f"waiters() cannot tell: this {_safe.class_name(value)} is the interpreter's own, or "
        f"consists of the interpreter's own locks, and rthread does not see its waiters; {_HINT}"
    )


def is_thread(value: object) -> bool:
    """Tell whether an object is a ``threading.Thread``."""
    modules = (_safe.namespace("threading"), _safe.namespace("rthread.threading"))
    return _safe.is_a(value, tuple([names["Thread"] for names in modules if "Thread" in names]))


def thread_ident(thread: object) -> int:
    """The ident of a ``threading.Thread``, 0 if it has not started."""
    ident = _safe.attributes(thread).get("_ident")
    return ident if type(ident) is int else 0


def _of_thread(thread: object) -> "Iterator[int]":
    for name, value in list(_safe.attributes(thread).items()):
        # The handle has another name in each version; the lock is that of versions up to 3.12.
        if type(value) in _STOCK_HANDLES or (
            name == "_tstate_lock" and type(value) in _STOCK_LOCKS
        ):
            raise _not_seen(thread)
        if type(value) in _HANDLES or name == "_tstate_lock":
            yield id(value)


def _is_python_class(value: object) -> bool:
    """Tell whether an object of a Python class of `threading` or `queue` consists of our locks."""
    attribute = next(
        (
            attribute
            for module, classes in _PYTHON_CLASSES.items()
            for name, attribute in classes.items()
            if _is_of(value, module, name)
        ),
        None,
    )
    if attribute is None:
        return False
    inside = _safe.attributes(value).get(attribute)
    return _safe.is_a(inside, (*_LOCKS, *_safe.native_classes())) or _is_python_class(inside)


def _is_of(value: object, module: str, name: str) -> bool:
    """Tell whether an object's class is, or is derived from, a Python class of a module."""
    # The name may hold the native class now.
    return any(
        _safe.name_of(cls) == name and _safe.module_of(cls) in (module, f"rthread.{module}")
        for cls in _safe.mro(value)
    )


def _is_stock(value: object) -> bool:
    modules = ("threading", "_thread", "queue", "_queue")
    return _safe.module_of(type(value)) in modules


def parts(value: object) -> "set[int]":
    """The ids of an object, and of the conditions and locks by which it makes threads wait."""
    return {id(value), *_of_python_object(value)}


def _of_python_object(value: object) -> "Iterator[int]":
    attributes = _safe.attributes(value)
    for name in ("_cond", "not_empty", "not_full", "all_tasks_done"):
        inside = attributes.get(name)
        if inside is not None:
            yield id(inside)
            yield from _of_python_object(inside)
    waiters = attributes.get("_waiters")
    if type(waiters) is collections.deque:
        yield from map(id, list(waiters))
