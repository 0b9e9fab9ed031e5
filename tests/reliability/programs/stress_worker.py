"""One thread of a stress run: its random numbers, and what it counts."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Sequence
from typing import Any

# A wait of the run is served long before this, or its wake-up is lost.
LONG = 60.0
TIMEOUTS = (None, LONG, LONG, 0.0, 0.0002, 0.002)


class Wrong(Exception):
    """Counts that do not add up."""


class StressWorker:
    """Belongs to one thread; `done` and the rest are looked at when that one is at rest."""

    def __init__(self, number: int, seed: int) -> None:
        self.number = number
        self.rng = random.Random(seed * 1000 + number)
        # Operations done, objects materialized, and those waits that were served but slept on.
        self.done = 0
        self.materialized = 0
        # Threads that the system did not have.
        self.refused = 0
        self.lost: list[str] = []
        # What is done now and then in between.
        self.side_tasks: Sequence[Callable[[StressWorker], object]] = ()

    def until_served(self, what: str, wait: Callable[[float | None], object]) -> None:
        """Wait, with time-outs at random, for what is bound to come.

        Args:
            what: named where the wake-up is lost.
            wait: takes a time-out, and says whether it was served.
        """
        while True:
            self.do_side_task()
            if self._wait(what, wait, self.rng.choice(TIMEOUTS)):
                return

    def soon(self, what: str, wait: Callable[[float | None], object]) -> None:
        """As `until_served`, where to give up would spoil it for others."""
        self._wait(what, wait, self.rng.choice((None, LONG)))

    def _wait(
        self, what: str, wait: Callable[[float | None], object], timeout: float | None
    ) -> object:
        self.done += 1
        began = time.monotonic()
        served = wait(timeout)
        # A last look at the end of the time may find it, and then the thread has slept on it.
        if timeout == LONG and (not served or time.monotonic() - began >= LONG):
            self.lost.append(what)
        return served

    def do_side_task(self) -> None:
        if self.side_tasks and self.rng.random() < 0.2:
            self.rng.choice(self.side_tasks)(self)

    def often(self, least: int, most: int) -> int:
        return self.rng.randint(least, most)


def expect(what: str, found: Any, wanted: Any) -> None:
    """
    Raises:
        Wrong: they differ.
    """
    if found != wanted:
        raise Wrong(f"{what}: {found}, not {wanted}")
