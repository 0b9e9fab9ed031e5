"""Ctrl-C and other signals in every wait."""

from __future__ import annotations

import math
import signal
import statistics
from collections import defaultdict
from collections.abc import Iterator
from itertools import chain
from typing import Any

from .proof import Figure, answer, at_most, none_of, proof

MODES = ("install", "shim")
# Milliseconds from the sending of Ctrl-C to where its exception is caught.
PROMISED = 50.0
# Tries by which to judge a 99th percentile.
ENOUGH = 1000
# What a try takes, in seconds, on a machine that does much else: to tell that one hangs.
AT_MOST = 0.5
MISSING = "" if hasattr(signal, "pthread_kill") else "the OS cannot signal a thread"


def percentile(values: list[float], percent: float) -> float:
    """The least value that so many percent of all are not above."""
    return sorted(values)[math.ceil(len(values) * percent / 100) - 1]


SHORT_CTRL_C, SHORT_HANDLERS = 4, 40


def _tell(mode: str, wrong: list[str]) -> None:
    for what in wrong:
        print(f"    {mode}: {what}", flush=True)


@proof(
    "signals",
    "Ctrl-C in every wait of the main thread",
    long=1000,
    short=SHORT_CTRL_C,
    unit="tries of each wait",
    missing=MISSING,
)
def signals(count: int) -> Iterator[Figure]:
    def tries(mode: str, count: int) -> Any:
        # There are some forty kinds of waits.
        found = answer(mode, "ctrl_c_often", count, timeout=120 + 50 * count * AT_MOST)
        _tell(mode, found["wrong"])
        return found

    found = [tries(mode, math.ceil(count / len(MODES))) for mode in MODES]
    kinds: dict[str, list[float]] = defaultdict(list)
    for each in found:
        for name, waits in each["late"].items():
            kinds[name] += waits
    late = list(chain(*kinds.values()))
    sleep = [ms for each in found for ms in each["sleep"]]
    yield Figure("waits interrupted", len(late))
    yield Figure("kinds of waits", len(kinds))
    yield Figure("late by, median", statistics.median(late), "ms")
    # Chance does not make most of a kind late.
    slowest = max(statistics.median_low(waits) for waits in kinds.values() if waits)
    yield at_most("late by, median of the slowest kind", slowest, PROMISED, "ms")
    # Of a few hundred tries, a hundredth is too few to tell by, on a machine that does much else.
    percent = 99 if len(late) >= ENOUGH else 90
    yield _in_time(percent, percentile(late, percent), percentile(sleep, percent))
    yield Figure("late by, at most", max(late), "ms")
    yield Figure("time.sleep() late by, 99th percentile", percentile(sleep, 99), "ms")
    yield none_of("objects inconsistent afterwards", sum(len(each["wrong"]) for each in found))
    # What stock fails is a wrong test. At length only: stock's own bugs are not CI's business.
    if count > SHORT_CTRL_C:
        stock = tries("stock", count // 20)
        yield none_of("objects inconsistent afterwards, stock", len(stock["wrong"]))


def _in_time(percent: int, late: float, sleep: float) -> Figure:
    """Where even a sleep is not interrupted in time, it is the machine that is late."""
    ok = late <= PROMISED or sleep > PROMISED
    wanted = f"at most {PROMISED:g}, unless time.sleep() is late by more"
    return Figure(f"late by, {percent}th percentile", late, "ms", ok, wanted)


@proof(
    "handlers",
    "signal handlers that raise, serve, wait or fork in every wait, and signals to other threads",
    long=10_000,
    short=SHORT_HANDLERS,
    unit="tries",
    missing=MISSING,
)
def handlers(count: int) -> Iterator[Figure]:
    def tries(mode: str, count: int) -> Any:
        found = answer(mode, "handlers_often", count, mode, timeout=120 + count * AT_MOST)
        _tell(mode, found["wrong"])
        return found

    found = [tries(mode, math.ceil(count / len(MODES))) for mode in MODES]
    for way in found[0]["tries"]:
        yield Figure(WAYS[way], sum(each["tries"][way] for each in found))
    yield Figure("handlers run", sum(each["handled"] for each in found))
    yield none_of("waits broken", sum(len(each["wrong"]) for each in found))
    if count > SHORT_HANDLERS:
        stock = tries("stock", count // 20)
        yield none_of("waits broken, stock", len(stock["wrong"]))


# The ways of `handlers_often.py` in words.
WAYS = {
    "raises": "handlers that raised",
    "serves_and_raises": "handlers that served the wait and raised",
    "serves": "handlers that served the wait",
    "takes": "handlers that waited for the same thing, or took their thread's RLock",
    "forks": "handlers that forked",
    "hits_another": "waits of other threads that were signalled",
}
