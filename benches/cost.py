"""What rthread costs beside time spent in it: the size of its locks, and its import."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from statistics import median

from .fresh import printed_number
from .measure import Rival

SIZED = {"lock": "allocate_lock", "RLock": "RLock"}
IMPORTS = {"stock": "threading", "rthread": "rthread"}

_IMPORT = "import time; t = time.perf_counter(); import {}; print(time.perf_counter() - t)"


def sizes(rivals: Sequence[Rival]) -> dict[str, dict[str, int]]:
    """The bytes that sys.getsizeof gives for a new object of each kind, by rival."""
    return {
        kind: {rival.name: sys.getsizeof(rival.names[maker]()) for rival in rivals}
        for kind, maker in SIZED.items()
    }


def import_seconds(rounds: int) -> dict[str, float]:
    """How long `import rthread` takes in a fresh process, and `import threading` beside it."""
    samples: dict[str, list[float]] = {name: [] for name in IMPORTS}
    for _ in range(rounds):
        for name, module in IMPORTS.items():
            samples[name].append(printed_number("-c", _IMPORT.format(module)))
    return {name: median(of_module) for name, of_module in samples.items()}
