"""Two threads that take turns while a third one of the same program computes."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

from .measure import Rival, alternate

NAME = "turns beside a computing thread"


@dataclass(frozen=True)
class Company:
    """Medians over the rounds: turns a second, and the computing thread's speed as a part of its
    speed alone."""

    per_second: float
    left: float


def compare(rivals: Sequence[Rival], rounds: int, seconds: float) -> dict[str, Company]:
    found: dict[str, list[tuple[float, float]]] = {rival.name: [] for rival in rivals}
    for rival in alternate(rivals, rounds):
        make = rival.names["allocate_lock"]
        _, alone = _run(make, seconds, players=False)
        turns, beside = _run(make, seconds, players=True)
        found[rival.name].append((turns, beside / alone))
    return {
        name: Company(median(turns for turns, _ in of_rival), median(left for _, left in of_rival))
        for name, of_rival in found.items()
    }


def _run(make_lock: Callable[[], Any], seconds: float, players: bool) -> tuple[float, float]:
    """How many turns there were in a second, and how many steps of computing."""
    mine, yours, playing = make_lock(), make_lock(), True
    turns = steps = 0

    def play(first: Any, second: Any) -> None:
        nonlocal turns
        while True:
            first.acquire()
            turns += 1
            second.release()
            if not playing:
                break

    def compute() -> None:
        nonlocal steps
        while playing:
            for _ in range(1000):
                pass
            steps += 1

    yours.acquire()
    threads = [threading.Thread(target=compute)]
    if players:
        threads.append(threading.Thread(target=play, args=(mine, yours)))
        threads.append(threading.Thread(target=play, args=(yours, mine)))
    for thread in threads:
        thread.start()
    turns = steps = 0
    begun = time.perf_counter()
    time.sleep(seconds)
    elapsed, done = time.perf_counter() - begun, (turns / 2, steps)
    playing = False
    for thread in threads:
        thread.join()
    return done[0] / elapsed, done[1] / elapsed
