"""The names that a program has given to its locks."""

from _weakref import ReferenceType as _Reference

from rthread.debug import _kinds, _safe

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any, TypeVar

    _Lock = TypeVar("_Lock")

__all__ = ["given", "name"]

# By the id of a lock, a reference to it and its name. Not by the lock: a class derived from RLock
# may have an __eq__ of its own.
_names: "dict[int, tuple[_Reference[Any], str]]" = {}


def name(lock: "_Lock", name: str) -> "_Lock":
    """Give a lock a name, by which reports and errors call it. It replaces a former one.

    Without it, a report looks for a variable or an attribute that refers to the lock.

    Args:
        lock: a lock or an RLock of rthread, or a condition, whose lock gets the name.
        name: the name. Several locks may have the same.

    Returns:
        The argument `lock`.

    Raises:
        TypeError: `lock` is no lock, or the interpreter's own; or `name` is no str.
        ValueError: `name` is empty, or has a character that cannot be printed.
    """
    named = _kinds.lock_of(lock)
    _kinds.check_lock("name", named)
    if not isinstance(name, str):
        raise TypeError(f"the name of a lock must be a str, not {_safe.class_name(name)}")
    text = _safe.exact(name)
    if not text or not text.isprintable():
        raise ValueError(f"the name of a lock must have only characters to print, not {text!r}")
    # The table needs no lock: each step is one of a dict, and the memory of the lock is not used
    # again before `forget` has returned.
    key = id(named)

    def forget(_: object, key: int = key, names: "dict[int, Any]" = _names) -> None:
        names.pop(key, None)

    _names[key] = _Reference(named, forget), text
    return lock


def given(addresses: "Iterable[int]") -> "dict[int, str]":
    """The names that were given to objects.

    Args:
        addresses: the ids of the objects, which have to be alive.

    Returns:
        By the id of an object, its name; objects without a given name are left out.
    """
    found = ((address, _names.get(address)) for address in addresses)
    return {address: entry[1] for address, entry in found if entry is not None}
