"""Locks, and values that belong to a thread."""

from __future__ import annotations

from ..measure import Operation

OPERATIONS = [
    Operation(
        "lock: acquire + release",
        takes="allocate_lock",
        setup="lock = allocate_lock()",
        statement="lock.acquire(); lock.release()",
    ),
    Operation(
        "lock: `with`",
        takes="allocate_lock",
        setup="lock = allocate_lock()",
        statement="with lock: pass",
    ),
    Operation(
        "RLock: `with`",
        takes="RLock",
        setup="lock = RLock()",
        statement="with lock: pass",
    ),
    Operation(
        "RLock: `with`, already held",
        takes="RLock",
        setup="lock = RLock(); lock.acquire()",
        statement="with lock: pass",
        teardown="lock.release()",
    ),
    Operation(
        "lock: create",
        takes="allocate_lock",
        statement="allocate_lock()",
    ),
    Operation(
        "RLock: create",
        takes="RLock",
        statement="RLock()",
    ),
    Operation(
        "local: get",
        takes="_local",
        setup="local = _local(); local.name = 1",
        statement="local.name",
    ),
    Operation(
        "local: set",
        takes="_local",
        setup="local = _local()",
        statement="local.name = 1",
    ),
    Operation(
        "get_ident",
        takes="get_ident",
        statement="get_ident()",
    ),
]
