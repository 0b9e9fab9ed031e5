"""Many threads on one lock, for a fixed time: how often it is taken, and how fairly."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

from .measure import Rival

THREADS = (2, 4, 8)
# The longest that a thread looks at nothing but the lock.
_UNROLL = 10


@dataclass(frozen=True)
class Contended:
    """Medians over the rounds: how many times the lock was taken in a second, by all threads
    together, and Jain's fairness index of their shares: 1 if equal, 1/threads if one had all."""

    per_second: float
    fairness: float


def compare(
    rivals: Sequence[Rival], threads: int, rounds: int, seconds: float
) -> dict[str, Contended]:
    """One lock of each rival in turn, taken by `threads` threads at once."""
    shares: dict[str, list[list[float]]] = {rival.name: [] for rival in rivals}
    for number in range(rounds):
        for rival in rivals[:: 1 if number % 2 else -1]:
            shares[rival.name].append(_race(rival.names["allocate_lock"], threads, seconds))
    return {
        name: Contended(
            median(sum(rates) for rates in of_rival), median(jain(rates) for rates in of_rival)
        )
        for name, of_rival in shares.items()
    }


def jain(shares: Sequence[float]) -> float:
    """Jain's index: the square of the sum over n times the sum of the squares."""
    squares = sum(share * share for share in shares)
    return sum(shares) ** 2 / (len(shares) * squares) if squares else 1.0


def _race(make_lock: Callable[[], Any], threads: int, seconds: float) -> list[float]:
    """How many times a second each thread took the lock."""
    lock = make_lock()
    started = threading.Barrier(threads + 1)
    racing = True
    counts = [0] * threads

    def run(number: int) -> None:
        started.wait()
        taken = 0
        while racing:
            for _ in itertools.repeat(None, _UNROLL):
                with lock:
                    pass
            taken += _UNROLL
        counts[number] = taken

    # Stock threads for everyone: it is the lock that is measured here.
    runners = [threading.Thread(target=run, args=(number,)) for number in range(threads)]
    for runner in runners:
        runner.start()
    started.wait()
    begun = time.perf_counter()
    time.sleep(seconds)
    racing = False
    elapsed = time.perf_counter() - begun
    for runner in runners:
        runner.join()
    return [count / elapsed for count in counts]
