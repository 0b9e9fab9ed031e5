"""What a group of the threads does together: a task ends when all have done their part of it.

A task is made so that every wait in it is served, whichever thread is late; so a wait that lasts
has lost its wake-up. When all are through, `check_counts` adds up the counts.
"""

from __future__ import annotations

from stress_objects import StressObjects
from stress_worker import StressWorker


class GroupTask:
    """The base of all tasks of a group."""

    def __init__(self, size: int, objects: StressObjects, worker: StressWorker) -> None:
        """For so many threads; `worker` is of the thread that makes it, for its random numbers."""
        self.size = size
        self.objects = objects
        self.turns = worker.often(5, 30)

    def part(self, place: int, worker: StressWorker) -> None:
        """What the thread at this place, counted from 0, does."""
        raise NotImplementedError

    def check_counts(self) -> None:
        """
        Raises:
            Wrong: the counts do not add up.
        """

    def share(self, place: int, total: int, among: int) -> int:
        """How many of `total` are for this one of `among`."""
        return total // among + (place < total % among)


def forever(timeout: float | None) -> float:
    return -1 if timeout is None else timeout
