"""Threads that do a bit of everything at once, in a rain of signals, for so many seconds.

The arguments are the seconds and a seed, which decides what is done; in what order, only the system
knows. The storm comes in short rounds: in each, all threads dance in groups (see `dance.py`), do
other things in between (`asides.py`), and at its end all counts have to add up. Then every wake-up
has been given: one that was lost leaves somebody asleep, with nobody left to wake it by chance.

The last line of the output is in JSON.
"""

from __future__ import annotations

import json
import os
import random
import sys
import time
import traceback
from collections.abc import Callable

from asides import Asides
from chosen import say, threading
from crew import Worker
from dance import Dance
from dances import DANCES
from hand import Hand, Wrong
from things import Things
from weather import Weather

HANDS = 8


class Storm:
    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.rng = random.Random(seed)
        self.hands = [Hand(number, seed) for number in range(HANDS)]
        # The main thread is a hand as well, and it is the one on which it rains.
        self.workers = [Worker() for _ in self.hands[1:]]
        self.things = Things(self.rng)
        self.asides = Asides(self.things)
        self.weather = Weather(seed)
        self.weather.targets = [threading.get_ident(), *(it.ident for it in self.workers)]
        self.rounds = 0
        self.wrong: list[str] = []
        for hand in self.hands:
            hand.asides = self.asides.all()

    def rage(self, seconds: float) -> None:
        over = time.monotonic() + seconds
        self.weather.begin()
        while time.monotonic() < over and not self._lost():
            self._round()
            self.rounds += 1
        self.weather.end()
        self._settle(self.asides.settle)
        self._settle(self.weather.settle)
        for worker in self.workers:
            worker.end()

    def _round(self) -> None:
        hands = self.rng.sample(self.hands, HANDS)
        parts: list[Callable[[], None]] = [lambda: None] * HANDS
        dances: list[Dance] = []
        while hands:
            # Nobody dances alone.
            size = len(hands) if len(hands) < 4 else self.rng.randint(2, min(4, len(hands) - 2))
            dance = self.rng.choice(DANCES)(size, self.things, self.hands[0])
            dances.append(dance)
            for place in range(size):
                hand = hands.pop()
                parts[hand.number] = self._part(dance, place, hand)
        for worker, part in zip(self.workers, parts[1:], strict=True):
            worker.ask(part)
        parts[0]()
        for worker in self.workers:
            worker.answer()
        self.things.forget()
        for dance in dances:
            self._settle(dance.settle)

    def _part(self, dance: Dance, place: int, hand: Hand) -> Callable[[], None]:
        def part() -> None:
            try:
                dance.part(place, hand)
            except BaseException:
                # The others would wait for this one.
                say(f"seed {self.seed}, round {self.rounds}, {type(dance).__name__}:")
                say(traceback.format_exc())
                os._exit(1)

        return part

    def _settle(self, settle: Callable[[], None]) -> None:
        try:
            settle()
        except Wrong as error:
            self.wrong.append(f"round {self.rounds}: {error}")

    def _lost(self) -> list[str]:
        return [what for hand in self.hands for what in hand.lost]

    def report(self) -> str:
        return json.dumps(
            {
                "operations": sum(hand.done for hand in self.hands),
                "rounds": self.rounds,
                "lost": self._lost(),
                "wrong": self.wrong,
                "signals": self.weather.signals,
                "collections": self.weather.collections,
                "refused": sum(hand.refused for hand in self.hands),
                "opened": sum(hand.opened for hand in self.hands),
            }
        )


def main() -> None:
    seconds, seed = float(sys.argv[1]), int(sys.argv[2])
    storm = Storm(seed)
    storm.rage(seconds)
    say(storm.report())


if __name__ == "__main__":
    main()
