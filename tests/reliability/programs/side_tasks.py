"""What all threads of the storm do in between, with objects that last for as long as it does."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from chosen import threading
from dance import forever
from hand import Hand, expect
from queues import get, queue
from things import Things


class Account:
    """A number that only who has the lock may change, in steps."""

    def __init__(self, name: str, lock: Any, places: int = 1) -> None:
        self.name = name
        self.lock = lock
        self.places = places
        self.inside = 0
        self.count = 0
        # By the number of the thread, and so of one thread each.
        self.counted: dict[int, int] = {}
        self._guard = threading.Lock()

    def use(self, hand: Hand) -> None:
        hand.until_served(f"{self.name}.acquire", self._acquire)
        try:
            with self._guard:
                self.inside += 1
                inside = self.inside
                count = self.count
            if inside > self.places:
                expect(f"threads at once in a {self.name}", inside, self.places)
            if hand.rng.random() < 0.2:
                time.sleep(0)
            with self._guard:
                # With room for one, nobody has changed it.
                if self.places == 1:
                    expect(f"count under a {self.name}", self.count, count)
                self.count += 1
                self.inside -= 1
            self.counted[hand.number] = self.counted.get(hand.number, 0) + 1
        finally:
            self.lock.release()

    def _acquire(self, timeout: float | None) -> object:
        if hasattr(self.lock, "_value"):
            return self.lock.acquire(True, timeout)
        return self.lock.acquire(True, forever(timeout))

    def settle(self) -> None:
        expect(f"counted under a {self.name}", self.count, sum(self.counted.values()))
        expect(f"free places in a {self.name}", self._free(), self.places)

    def _free(self) -> int:
        free = 0
        while free <= self.places and self.lock.acquire(False):
            free += 1
            if not hasattr(self.lock, "_value"):
                break
        for _ in range(free):
            self.lock.release()
        return free


class Asides:
    def __init__(self, things: Things) -> None:
        self.accounts = [
            Account("Lock", threading.Lock()),
            Account("RLock", threading.RLock()),
            Account("Condition", threading.Condition()),
            Account("Semaphore", threading.Semaphore(2), 2),
            Account("BoundedSemaphore", threading.BoundedSemaphore(1)),
        ]
        self.things = things
        self.local = threading.local()
        self.pile: Any = queue.SimpleQueue()
        self.put: dict[int, int] = {}
        self.got: dict[int, int] = {}

    def all(self) -> list[Callable[[Hand], object]]:
        return [
            *(self._once(account.use) for account in self.accounts),
            self.nested,
            self.put_on_pile,
            self.get_from_pile,
            self.look_at_local,
            self.open_one,
        ]

    def _once(self, use: Callable[[Hand], object]) -> Callable[[Hand], object]:
        """Not again within itself: another lock may be wanted, in another order."""

        def call(hand: Hand) -> None:
            asides, hand.asides = hand.asides, ()
            use(hand)
            hand.asides = asides

        return call

    def nested(self, hand: Hand) -> None:
        """A lock within an RLock that is taken several times."""
        rlock = self.accounts[1].lock
        depth = hand.often(1, 3)
        for _ in range(depth):
            rlock.acquire()
        self.accounts[0].lock.acquire()
        self.accounts[0].lock.release()
        expect("owned", rlock._is_owned(), True)
        for _ in range(depth):
            rlock.release()
        hand.done += 2 * depth + 2

    def put_on_pile(self, hand: Hand) -> None:
        self.pile.put(hand.number)
        self.put[hand.number] = self.put.get(hand.number, 0) + 1
        hand.done += 1

    def get_from_pile(self, hand: Hand) -> None:
        hand.done += 1
        try:
            get(self.pile, hand.rng.choice((0, 0.0002)))
        except queue.Empty:
            return
        self.got[hand.number] = self.got.get(hand.number, 0) + 1

    def look_at_local(self, hand: Hand) -> None:
        number = getattr(self.local, "number", hand.number)
        expect("local to a thread", number, hand.number)
        self.local.number = hand.number
        hand.done += 1

    def open_one(self, hand: Hand) -> None:
        hand.opened += self.things.open_one(hand.rng)

    def settle(self) -> None:
        for account in self.accounts:
            account.settle()
        left = self.pile.qsize()
        expect("pile", sum(self.got.values()) + left, sum(self.put.values()))
