"""How many times as good as stock each row is to be, on which kind of build.

The numbers are those of the issues that asked for rthread. They hold for interpreters as people
run them, built with profile-guided optimisation.
"""

from __future__ import annotations

from typing import Any

from . import company

# Nothing may be slower than stock by more than what a measurement is off by.
FLOOR = 0.95
FAIRNESS = 0.95
IMPORT_SECONDS = 0.010
# How much of its speed a computing thread keeps beside two that take turns.
COMPUTING_LEFT = 0.8

# By row: with the GIL, and without.
_TIMES: dict[str, tuple[float, float]] = {
    "Event: set + clear": (8, 8),
    "Event: wait on a set event": (4, 4),
    "Semaphore: acquire + release": (8, 8),
    "BoundedSemaphore: acquire + release": (8, 8),
    "Condition: `with` + notify, no waiter": (2.5, 2.5),
    "Event: create": (8, 8),
    "Condition: create": (8, 8),
    "Semaphore: create": (8, 8),
    "stock queue.Queue: put + get": (2.5, 2.5),
    "Queue: put + get": (10, 10),
    "Thread: start + join": (1.2, 4),
    "Thread: start + join, reused": (2, 8),
    "start_new_thread, wait for its release": (1.1, 1.1),
    "ping-pong: two threads, two locks": (12, 12),
    "ping-pong: two threads, one Condition": (12, 12),
    "ping-pong: two threads, two events": (12, 12),
    "ping-pong: two threads, two queues": (12, 12),
    "Barrier of two: a round": (12, 4),
    "executor: submit(f).result()": (8, FLOOR),
    "Queue: three stages": (5, FLOOR),
    "executor.map, 1 workers": (3, FLOOR),
    company.NAME: (10, FLOOR),
    "one lock, 2 threads": (1, 1.4),
    "one lock, 4 threads": (1, 1.4),
    "one lock, 8 threads": (1, 1.4),
    "lock.locked() on one lock, 2 threads": (FLOOR, 1.8),
    "memory: lock": (1, 1),
    "memory: Event": (5, 5),
    "memory: Condition": (5, 5),
    "memory: Semaphore": (5, 5),
    "sys.getsizeof: lock": (1, 1),
}

# Rows that are also to be fair, by Jain's index.
FAIR = {"one lock, 2 threads", "one lock, 4 threads", "one lock, 8 threads"}
# What stock does in C as well. It has come ever closer to what a method call costs.
_METHOD_CALLS = {"lock: acquire + release", "lock: `with`", "RLock: `with`"}
# What nobody asked anything of. An object may be larger if it is nothing beside what it replaces.
_FREE = {"sys.getsizeof: RLock", "memory: RLock", "memory: Barrier", "memory: Queue"}


# Rows of sizes, which are the same however busy the machine is.
_SIZES = ("memory", "sys.getsizeof")
# What two threads hand to each other: it depends on which of them sleeps.
_HAND_OFFS = {name for name in _TIMES if name.startswith(("ping-pong", "Barrier of two"))}


def times(name: str, machine: dict[str, Any]) -> float | None:
    """How many times as good as stock this row has to be on this interpreter."""
    version = tuple(map(int, str(machine["python"]).split(".")[:2]))
    with_gil = machine["gil"] == "GIL"
    if name in _FREE:
        return None
    if _is_busy(machine) and not name.startswith(_SIZES):
        # The other figures of speed hold for a machine that does nothing else.
        return 4 if name in _HAND_OFFS and machine.get("beside") == 1 else FLOOR
    if name in _METHOD_CALLS:
        return 1.5 if version < (3, 14) else 1.25 if version == (3, 14) else FLOOR
    if name in _TIMES:
        return _TIMES[name][0 if with_gil else 1]
    return FLOOR


def geometric_mean(machine: dict[str, Any]) -> float:
    """What the programs of `textbook.py` are to reach together."""
    if _is_busy(machine):
        return FLOOR
    return 5 if machine["gil"] == "GIL" else 6


def _is_busy(machine: dict[str, Any]) -> bool:
    """Whether there are other things to do, or only one processor to do it."""
    return bool(machine.get("beside")) or machine.get("allowed", 2) == 1
