"""Deadlocks under the policy "raise": none that is not one, and none that is missed."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator

from .proof import Figure, answer, none_of, proof

SEED = "RTHREAD_SEED"
# Far longer than it takes; a deadlock that is missed hangs.
HUNG = 240.0


@proof(
    "alarms",
    'threads that use locks in order, and now and then out of order, under the policy "raise"',
    long=60,
    short=4,
    unit="seconds",
)
def alarms(count: int) -> Iterator[Figure]:
    seed = int(os.environ.get(SEED) or time.time_ns() % 1_000_000)
    found = answer("install", "alarms", count, seed, timeout=count + HUNG)
    yield Figure("operations done", found["operations"])
    yield Figure("waits among them", found["waits"])
    yield Figure("deadlocks made", found["made"])
    yield none_of("deadlocks that were not told", found["missed"])
    yield none_of("false alarms", found["false"])
    for words in found["words"]:
        print(f"    {words} (again: {SEED}={seed})", flush=True)
