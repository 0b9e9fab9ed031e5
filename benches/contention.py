"""Many threads on one object, for a fixed time: how often it is used, and how fairly."""

from __future__ import annotations

import textwrap
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

from .measure import Rival, alternate

# Stock barrier for everyone: it is what comes after it that is measured. The threads share `lock`
# and `racing` as cells of one function, which is how threads share objects in a program; without
# the GIL they then meet at the reference count of the lock as well.
_TEMPLATE = """
def race(lock, started, counts):
    racing = True

    def run(number):
        started.wait()
        done = 0
        while racing:
{body}
            done += {calls}
        counts[number] = done

    def stop():
        nonlocal racing
        racing = False

    return run, stop
"""
# The longest that a thread looks at nothing but the lock.
_CALLS = 10
_TAKE = f"for _ in range({_CALLS}):\n    with lock: pass"


@dataclass(frozen=True)
class Contest:
    """What each of the threads does, `_CALLS` times at once."""

    name: str
    threads: int
    calls: str


CONTESTS = [
    *(Contest(f"one lock, {threads} threads", threads, _TAKE) for threads in (2, 4, 8)),
    Contest("lock.locked() on one lock, 2 threads", 2, "\n".join(["lock.locked()"] * _CALLS)),
]


@dataclass(frozen=True)
class Contended:
    """Medians over the rounds: how many calls there were in a second, by all threads together, and
    Jain's fairness index of their shares: 1 if equal, 1/threads if one had all."""

    per_second: float
    fairness: float


def compare(
    contest: Contest, rivals: Sequence[Rival], rounds: int, seconds: float
) -> dict[str, Contended]:
    """One lock of each rival in turn, used by all threads at once."""
    shares: dict[str, list[list[float]]] = {rival.name: [] for rival in rivals}
    for rival in alternate(rivals, rounds):
        shares[rival.name].append(_race(contest, rival.names["allocate_lock"], seconds))
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


def _race(contest: Contest, make_lock: Callable[[], Any], seconds: float) -> list[float]:
    """How many calls a second each thread made."""
    body = textwrap.indent(contest.calls, " " * 12)
    namespace: dict[str, Any] = {}
    exec(_TEMPLATE.format(body=body, calls=_CALLS), namespace)
    started = threading.Barrier(contest.threads + 1)
    counts = [0] * contest.threads
    run, stop = namespace["race"](make_lock(), started, counts)
    runners = [threading.Thread(target=run, args=(number,)) for number in range(contest.threads)]
    for runner in runners:
        runner.start()
    started.wait()
    begun = time.perf_counter()
    time.sleep(seconds)
    stop()
    elapsed = time.perf_counter() - begun
    for runner in runners:
        runner.join()
    return [count / elapsed for count in counts]
