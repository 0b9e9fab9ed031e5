"""What some threads of the storm do together: each ends when all have done their part of it.

A dance is made so that every wait in it is served, whoever is late; so one that lasts has lost its
wake-up. When all are through, `settle` adds up the counts.
"""

from __future__ import annotations

from hand import Hand
from things import Things


class Dance:
    def __init__(self, size: int, things: Things, hand: Hand) -> None:
        """For so many threads; `hand` is of the thread that makes it, and lends its dice."""
        self.size = size
        self.things = things
        self.turns = hand.often(5, 30)

    def part(self, place: int, hand: Hand) -> None:
        """What the thread at this place, counted from 0, does."""
        raise NotImplementedError

    def settle(self) -> None:
        """
        Raises:
            Wrong: the counts do not add up.
        """

    def share(self, place: int, total: int, among: int) -> int:
        """How many of `total` are for this one of `among`."""
        return total // among + (place < total % among)


def forever(timeout: float | None) -> float:
    return -1 if timeout is None else timeout
