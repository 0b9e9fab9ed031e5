"""Tells the waits of Python classes, which rthread sees as waits for a lock or a condition.

``threading.Condition.wait`` of the interpreter's own Python class takes a lock that it has taken
before: what looks like a thread that waits for itself is a thread that waits to be notified. And a
``queue.Queue`` of the interpreter waits for one of its conditions. The frames tell.
"""

from rthread.debug import _safe, _snapshot

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import FrameType
    from typing import Any

    from rthread.debug._snapshot import ThreadRecord

__all__ = ["interpret"]

# The methods that wait, by module.
_IN_THREADING = {
    "Condition.wait": _snapshot.CONDITION,
    "Event.wait": _snapshot.EVENT,
    "Semaphore.acquire": _snapshot.SEMAPHORE,
    "Barrier.wait": _snapshot.BARRIER,
}
_IN_QUEUE = {
    "Queue.get": _snapshot.QUEUE_GET,
    "Queue.put": _snapshot.QUEUE_PUT,
    "Queue.join": _snapshot.QUEUE_JOIN,
}
_METHODS = {
    "threading": _IN_THREADING,
    "rthread.threading": _IN_THREADING,
    "queue": _IN_QUEUE,
    "rthread._native": {},
}
_MATERIALIZED = "rthread._native"

_Function: "Any" = type(lambda: None)


def interpret(record: "ThreadRecord", frames: "list[FrameType]", may_read: bool) -> None:
    """Put the wait of a Python class into a record, in the place of the wait that it is made of.

    Args:
        record: a record of a thread that waits.
        frames: its frames, the innermost first.
        may_read: whether the local variables of these may be read.
    """
    if record.kind not in (_snapshot.LOCK, _snapshot.CONDITION):
        return
    # Reading local variables is dear up to 3.12, and most frames are not those of a wait.
    inside = []
    for frame in frames:
        home = _safe.exact(_safe.globals_of(frame).get("__name__"))
        if home not in _METHODS:
            break
        inside.append((home, frame))
    if record.kind == _snapshot.LOCK and not _is_wait(inside):
        return
    for home, frame in inside:
        variables = _safe.locals_of(frame) if may_read else {}
        owner = variables.get("condition" if home == _MATERIALIZED else "self")
        kind = _kind(home, frame, owner)
        if kind is not None:
            _set(record, kind, owner)


def _is_wait(inside: "list[tuple[str, FrameType]]") -> bool:
    """Tell whether the innermost frames wait for a lock that stands for a notification."""
    if not inside:
        return False
    home, frame = inside[0]
    names = frame.f_code.co_varnames
    if home == _MATERIALIZED:
        return frame.f_code.co_name == "_wait_for"
    return frame.f_code.co_name == "wait" and "waiter" in names and "saved_state" in names


def _kind(home: str, frame: "FrameType", owner: object) -> "int | None":
    code = frame.f_code
    if home == _MATERIALIZED:
        return _snapshot.CONDITION if code.co_name.startswith("_resume") else None
    name = getattr(code, "co_qualname", None) or _qualified_name(code, owner)
    return _METHODS[home].get(_safe.exact(name))


def _qualified_name(code: "Any", owner: object) -> str:
    """The name that the code of a method has from 3.11 on."""
    for cls in _safe.mro(owner):
        for name, value in _safe.class_attributes(cls):
            if type(value) is _Function and value.__code__ is code:
                return f"{_safe.name_of(cls)}.{_safe.exact(name)}"
    return ""


def _set(record: "ThreadRecord", kind: int, owner: object) -> None:
    record.kind = kind
    record.owner_number = record.owner_ident = 0
    record.certain = False
    record.object = owner
    record.address = 0 if owner is None else id(owner)
