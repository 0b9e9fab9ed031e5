"""Finds threads that wait for the import of a module by another thread.

The import system has a lock for each module, which consists of locks that any thread may release;
or of the interpreter's own locks, whose waits rthread does not see. But it notes which thread waits
for which module, and which thread imports that, so as to find circles of imports. It does not find
a circle of imports and locks.
"""

from _weakref import ReferenceType as _Reference

from rthread.debug import _safe, _snapshot

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from rthread.debug._snapshot import ThreadRecord

__all__ = ["add"]


def add(
    records: "list[ThreadRecord]", look: "Callable[[], list[tuple[Any, ...]]]"
) -> "dict[int, str]":
    """Put the waits for imports into the records of the threads.

    Args:
        records: the records of a look at the threads.
        look: takes another look, as ``__threads__()``.

    Returns:
        By the address of a module's lock, the name of the module.
    """
    by_ident = {record.ident: record for record in records if record.ident}
    names: dict[int, str] = {}
    for ident, lock in _waits():
        attributes = _safe.attributes(lock)
        owner = by_ident.get(attributes.get("owner", 0))
        record = by_ident.get(ident)
        if record is None or owner is None or owner is record:
            continue
        if record.state == _snapshot.RUNNING:
            record.state = _snapshot.WAITING
            record.inner = lock
        elif record.inner is not attributes.get("wakeup", lock):
            continue
        record.kind = _snapshot.IMPORT
        record.object = lock
        record.address = id(lock)
        record.owner_number, record.owner_ident = owner.number, owner.ident
        record.certain = True
        names[id(lock)] = _safe.exact(attributes.get("name"))
    if names:
        _confirm(records, look())
    return names


def _waits() -> "list[tuple[int, Any]]":
    """The idents of threads, and the locks of modules that they wait for."""
    found: Any = _safe.namespace("_frozen_importlib").get("_blocking_on")
    # A dict up to 3.11, then a class of the import system around a dict of weak references.
    table = found if type(found) is dict else _safe.attributes(found).get("data")
    if type(table) is not dict:
        return []
    waits = []
    for ident, value in list(table.items()):
        if _safe.is_a(value, (_Reference,)):
            value = _Reference.__call__(value)
        if _safe.is_a(value, (list,)):
            # A finalizer may import in the middle of an import.
            value = (list.copy(value) or [None])[-1]
        if type(ident) is int and value is not None:
            waits.append((ident, value))
    return waits


def _confirm(records: "list[ThreadRecord]", again: "list[tuple[Any, ...]]") -> None:
    """Forget the owners in waits that have changed since the look.

    The imports were looked at later than the waits. A thread that has waited all the time has not
    ended its import meanwhile.
    """
    now = {entry[0]: (entry[8], entry[9]) for entry in again}
    for record in records:
        is_of_rthread = record.state == _snapshot.WAITING and record.kind != _snapshot.IMPORT
        if is_of_rthread and now.get(record.number) != (record.serial, record.owner_number):
            record.owner_number = record.owner_ident = 0
            record.certain = False
