"""Writes a `Snapshot` as JSON. The keys are described at `rthread.debug.dump`."""

try:
    from _json import encode_basestring_ascii as _quoted
except ImportError:  # pragma: no cover - an interpreter without its accelerators
    from json.encoder import py_encode_basestring_ascii as _quoted

from rthread.debug import _graph, _snapshot, _text
from rthread.debug._snapshot import LockRecord, Snapshot, StuckRecord, ThreadRecord

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

__all__ = ["FORMAT", "facts", "report"]

# Grows when a key changes its meaning or goes. A new key does not change it.
FORMAT = 1

_STATES = {
    _snapshot.RUNNING: "running",
    _snapshot.WAITING: "waiting",
    _snapshot.ATTACHING: "waiting for the GIL",
    _snapshot.HANDLING: "running signal handlers",
    _snapshot.STARTING: "about to start",
}


def report(snapshot: Snapshot) -> str:
    """The whole report as one line of JSON, with a newline at its end."""
    # `json` itself would import `re` and more, and asks subclasses of str and dict.
    parts: list[str] = []
    _write(facts(snapshot), parts)
    return "".join((*parts, "\n"))


def facts(snapshot: Snapshot) -> "dict[str, Any]":
    """The report as dicts and lists."""
    return {
        "format": FORMAT,
        "rthread": snapshot.version,
        "python": snapshot.python,
        "pid": snapshot.pid,
        "time": snapshot.now / 1e9,
        "remarks": snapshot.remarks,
        "threads": [_thread(snapshot, record) for record in snapshot.threads],
        "deadlocks": [_deadlock(snapshot, cycle) for cycle in _graph.cycles(snapshot)],
        "stuck": [_stuck(snapshot, found) for found in _graph.stuck(snapshot)],
    }


def _thread(snapshot: Snapshot, record: ThreadRecord) -> "dict[str, Any]":
    return {
        **_reference(record),
        "number": record.number,
        "main": record.is_main,
        "daemon": record.daemon,
        "state": _STATES.get(record.state, "running"),
        "waiting_for": _wait(snapshot, record),
        "holds": [_held(snapshot, lock) for lock in snapshot.held(record)],
        "stack": None if record.stack is None else [_frame(entry) for entry in record.stack],
        "note": record.note,
    }


def _reference(record: ThreadRecord) -> "dict[str, Any]":
    return {
        "name": record.name,
        "ident": record.ident or None,
        "native_id": record.native_id or None,
    }


def _wait(snapshot: Snapshot, record: ThreadRecord) -> "dict[str, Any] | None":
    if record.state not in (_snapshot.WAITING, _snapshot.HANDLING):
        return None
    owner = snapshot.owner(record)
    is_lost = owner is None and bool(record.owner_number or record.owner_ident)
    return {
        "kind": _snapshot.KINDS[record.kind],
        **_object(snapshot, record.address, record.kind),
        "owner": None if owner is None else _reference(owner),
        "owner_ended": is_lost and record.kind not in _snapshot.ENDS,
        "certain": record.certain,
        "since": record.since / 1e9 if record.since else None,
        "seconds": snapshot.seconds(record),
        "timeout": record.timed,
    }


def _object(snapshot: Snapshot, address: int, kind: int) -> "dict[str, Any]":
    return {
        "class": snapshot.class_name(address, kind),
        "name": snapshot.names.get(address),
        "address": f"{address:#x}" if address else None,
    }


def _held(snapshot: Snapshot, lock: LockRecord) -> "dict[str, Any]":
    return {
        **_object(snapshot, lock.address, lock.kind),
        "count": lock.count,
        "by_with": lock.by_with,
        "site": None if lock.site is None else _frame(lock.site),
    }


def _frame(entry: "_snapshot.Frame") -> "dict[str, Any]":
    file, line, function = entry
    return {"file": file, "line": line or None, "function": function}


def _deadlock(snapshot: Snapshot, cycle: "list[ThreadRecord]") -> "dict[str, Any]":
    return {
        "certain": _graph.is_certain(cycle),
        "threads": [
            {**_reference(record), "waiting_for": _wait(snapshot, record)} for record in cycle
        ],
        "text": _text.deadlock(snapshot, cycle),
    }


def _stuck(snapshot: Snapshot, found: StuckRecord) -> "dict[str, Any]":
    name = snapshot.names.get(found.address)
    return {
        "kind": found.kind,
        "certain": found.certain,
        "reason": found.reason,
        "name": name,
        "address": f"{found.address:#x}" if found.address else None,
        "threads": [_reference(record) for record in found.threads],
    }


def _write(value: "Any", parts: "list[str]") -> None:
    """Append the JSON of a value that consists of dicts, lists, texts, numbers and constants."""
    if value is None or value is True or value is False:
        parts.append({None: "null", True: "true", False: "false"}[value])
    elif type(value) is dict:
        _write_items("{", "}", [(f"{_quoted(key)}: ", item) for key, item in value.items()], parts)
    elif type(value) is list:
        _write_items("[", "]", [("", item) for item in value], parts)
    elif type(value) is str:
        parts.append(_quoted(value))
    else:
        parts.append(repr(value))


def _write_items(left: str, right: str, items: "list[tuple[str, Any]]", parts: "list[str]") -> None:
    parts.append(left)
    for index, (prefix, item) in enumerate(items):
        parts.append(f"{', ' if index else ''}{prefix}")
        _write(item, parts)
    parts.append(right)
