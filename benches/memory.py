"""How much memory an object takes, with all that it is made of: lists, locks, dictionaries.

sys.getsizeof sees only the outermost of these. So many are made, in a process of their own, and
what the process then has resident is divided by their number.

python -m benches.memory RIVAL KIND prints the bytes of one; without arguments it is not run.
"""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median
from typing import Any

from .fresh import printed_number
from .measure import Rival

OBJECTS = 100_000
_PROCESSES = 3

# By the row's name, the name to ask a rival for, and the arguments.
KINDS: dict[str, tuple[str, tuple[int, ...]]] = {
    "lock": ("allocate_lock", ()),
    "RLock": ("RLock", ()),
    "Event": ("Event", ()),
    "Condition": ("Condition", ()),
    "Semaphore": ("Semaphore", ()),
    "Barrier": ("Barrier", (2,)),
    "Queue": ("Queue", ()),
}
_STATM = Path("/proc/self/statm")


def compare(rivals: Sequence[Rival], kind: str) -> dict[str, int]:
    """The bytes of one object of each rival that has this kind; empty if this system has no statm.

    A process that has held many objects gives the next ones memory that is resident already, so
    that each rival needs fresh ones. Below a byte there is nothing but the edges of pages.
    """
    if not _STATM.exists():
        return {}
    samples: dict[str, list[float]] = {r.name: [] for r in rivals if KINDS[kind][0] in r.names}
    for _ in range(_PROCESSES):
        for name, of_rival in samples.items():
            of_rival.append(printed_number("-m", "benches.memory", name, kind))
    return {name: round(median(of_rival)) for name, of_rival in samples.items()}


def _bytes_of_one(make: Callable[..., Any], arguments: tuple[int, ...]) -> float:
    held: list[Any] = [None] * OBJECTS
    # What is set up once, with the first object, is not counted.
    make(*arguments)
    gc.collect()
    gc.disable()
    before = _resident()
    for place in range(OBJECTS):
        held[place] = make(*arguments)
    return (_resident() - before) / OBJECTS


def _resident() -> int:
    pages = int(_STATM.read_text(encoding="ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def main(rival: str, kind: str) -> None:
    # Only here: the module that compares has its rivals given.
    from .rivals import RIVALS

    names = next(found.names for found in RIVALS if found.name == rival)
    maker, arguments = KINDS[kind]
    print(_bytes_of_one(names[maker], arguments))
    # Taking 100,000 objects apart is not measured, and takes as long as making them.
    sys.stdout.flush()
    os._exit(0)


if __name__ == "__main__":
    main(*sys.argv[1:])
