"""Dances with conditions, semaphores and barriers: who waits is told, and counts."""

from __future__ import annotations

import time

from chosen import threading
from dance import Dance
from hand import Hand, expect
from things import Things


class Tokens(Dance):
    """Given under a condition's lock, with as many notifications as there are tokens."""

    def __init__(self, size: int, things: Things, hand: Hand) -> None:
        super().__init__(size, things, hand)
        kind = hand.rng.choice(("Lock", "RLock"))
        self.what = f"Condition.wait, {kind}"
        self.condition = things.make("Condition", getattr(threading, kind)())
        self.tokens = self.given = 0
        self.taken = [0] * size

    def part(self, place: int, hand: Hand) -> None:
        if place == 0:
            self._give(hand)
            return
        for _ in range(self.share(place - 1, self.turns, self.size - 1)):
            hand.turn_aside()
            with self.condition:
                while not self.tokens:
                    hand.until_served(self.what, self._wait)
                self.tokens -= 1
                self.taken[place] += 1

    def _wait(self, timeout: float | None) -> bool:
        """The lock being held since there were no tokens."""
        served: bool = self.condition.wait(timeout)
        # After a long one, it should have been a notification that told of the token.
        return served or self.tokens > 0

    def _give(self, hand: Hand) -> None:
        while self.given < self.turns:
            hand.turn_aside()
            count = min(hand.often(1, 3), self.turns - self.given)
            with self.condition:
                self.tokens += count
                self.given += count
                hand.done += 1
                if hand.rng.random() < 0.8:
                    self.condition.notify(count)
                else:
                    self.condition.notify_all()

    def settle(self) -> None:
        expect("tokens given, taken and left", sum(self.taken) + self.tokens, self.given)
        expect("tokens", self.given, self.turns)
        expect("waiters left", len(self.condition._waiters), 0)


class Notified(Dance):
    """Each notification wakes one waiter, and nobody wakes without."""

    def __init__(self, size: int, things: Things, hand: Hand) -> None:
        super().__init__(size, things, hand)
        self.condition = things.make("Condition")
        self.waiting = self.notified = self.woken = 0

    def part(self, place: int, hand: Hand) -> None:
        if place == 0:
            self._notify(hand)
            return
        for _ in range(self.turns):
            # Not turn aside with the lock held: nobody waits there who could be notified.
            hand.turn_aside()
            with self.condition:
                self.waiting += 1
                hand.soon("Condition.wait, notified", self.condition.wait)
                self.woken += 1
                if self.woken > self.notified:
                    expect("woken", self.woken, self.notified)

    def _notify(self, hand: Hand) -> None:
        while self.notified < self.turns * (self.size - 1):
            hand.turn_aside()
            with self.condition:
                count = min(self.waiting, hand.often(0, 3))
                self.waiting -= count
                self.notified += count
                hand.done += 1
                self.condition.notify(count)
            if not count:
                time.sleep(0)

    def settle(self) -> None:
        expect("notified and woken", self.woken, self.notified)
        expect("waiters left", len(self.condition._waiters), 0)


class Permits(Dance):
    """What is released is acquired, several at a time; the value is what is left."""

    def __init__(self, size: int, things: Things, hand: Hand) -> None:
        super().__init__(size, things, hand)
        self.left = hand.often(0, 2)
        self.semaphore = things.make("Semaphore", 0)

    def part(self, place: int, hand: Hand) -> None:
        if place:
            for _ in range(self.turns):
                hand.until_served(
                    "Semaphore.acquire", lambda timeout: self.semaphore.acquire(True, timeout)
                )
            return
        to_give = self.turns * (self.size - 1) + self.left
        while to_give:
            hand.turn_aside()
            count = min(hand.often(1, 3), to_give)
            to_give -= count
            hand.done += 1
            self.semaphore.release(count)

    def settle(self) -> None:
        expect("permits left", self.semaphore._value, self.left)


class Meetings(Dance):
    """All meet, many times; then one aborts instead of coming."""

    def __init__(self, size: int, things: Things, hand: Hand) -> None:
        super().__init__(size, things, hand)
        self.actions = 0
        self.places: list[list[int]] = [[] for _ in range(size)]
        self.broken = [0] * size
        self.through = threading.Semaphore(0)
        self.barrier = things.make("Barrier", size, self._count)

    def _count(self) -> None:
        self.actions += 1

    def part(self, place: int, hand: Hand) -> None:
        for _ in range(self.turns):
            hand.turn_aside()
            hand.soon("Barrier.wait", lambda timeout: self._meet(place, timeout))
        hand.done += 1
        if place == 0:
            # Who has not left yet would be told as well.
            for _ in range(self.size - 1):
                hand.soon("all through", lambda timeout: self.through.acquire(True, timeout))
            self.barrier.abort()
            return
        self.through.release()
        try:
            self.barrier.wait()
        except threading.BrokenBarrierError:
            self.broken[place] = 1

    def _meet(self, place: int, timeout: float | None) -> bool:
        try:
            self.places[place].append(self.barrier.wait(timeout))
        except threading.BrokenBarrierError:
            return False
        return True

    def settle(self) -> None:
        expect("actions of a barrier", self.actions, self.turns)
        for turn in zip(*self.places, strict=True):
            expect("places at a barrier", sorted(turn), list(range(self.size)))
        expect("barrier broken for", sum(self.broken), self.size - 1)
        self.barrier.reset()
        expect("waiting at a barrier", self.barrier.n_waiting, 0)
