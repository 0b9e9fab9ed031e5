"""What some threads of the storm do together: each ends when all have done their part of it.

A dance is made so that every wait in it is served, whoever is late; so one that lasts has lost its
wake-up. When all are through, `settle` adds up the counts.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from typing import Any

from chosen import low_level, threading
from hand import LONG, Hand, expect
from queues import queue
from things import QUEUES, Things


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


class Items(Dance):
    """Each item that was put is got, once, by somebody; then join() returns."""

    def __init__(self, size: int, things: Things, hand: Hand) -> None:
        super().__init__(size, things, hand)
        self.name = hand.rng.choice(QUEUES)
        self.queue = things.make(self.name, *self._limit(hand))
        self.putters = hand.often(1, size - 1)
        self.put: list[list[Any]] = [[] for _ in range(size)]
        self.got: list[list[Any]] = [[] for _ in range(size)]

    def _limit(self, hand: Hand) -> tuple[int, ...]:
        return () if self.name == "SimpleQueue" else (hand.often(0, 3),)

    def part(self, place: int, hand: Hand) -> None:
        if place >= self.putters:
            getters = self.size - self.putters
            for _ in range(self.share(place - self.putters, self.turns * self.putters, getters)):
                hand.until_served(f"{self.name}.get", lambda timeout: self._get(place, timeout))
            return
        for turn in range(self.turns):
            item = (place, turn)
            hand.until_served(f"{self.name}.put", lambda timeout, it=item: self._put(it, timeout))
            self.put[place].append(item)
        if self.name != "SimpleQueue":
            hand.done += 1
            self.queue.join()

    def _put(self, item: Any, timeout: float | None) -> bool:
        try:
            self.queue.put(item, True, timeout)
        except queue.Full:
            return False
        return True

    def _get(self, place: int, timeout: float | None) -> bool:
        try:
            item = self.queue.get(True, timeout)
        except queue.Empty:
            return False
        self.got[place].append(item)
        if self.name != "SimpleQueue":
            self.queue.task_done()
        return True

    def settle(self) -> None:
        put, got = Counter(sum(self.put, [])), Counter(sum(self.got, []))
        expect(f"items of a {self.name}", got, put)
        expect(f"left in a {self.name}", self.queue.qsize(), 0)
        if self.name != "SimpleQueue":
            expect(f"tasks of a {self.name}", self.queue.unfinished_tasks, 0)


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
                    hand.until_served(self.what, lambda timeout: self._wait(hand, timeout))
                self.tokens -= 1
                self.taken[place] += 1

    def _wait(self, hand: Hand, timeout: float | None) -> bool:
        """The lock being held since there were no tokens."""
        served: bool = self.condition.wait(timeout)
        if served or not self.tokens:
            return served
        if timeout == LONG:
            # With this token should have come a notification.
            hand.lost.append(self.what)
        return True

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


class Ring(Dance):
    """A token goes round: each waits for the one before, and serves the one after."""

    KINDS = ("Lock", "Event", "Semaphore", "SimpleQueue", "Queue")

    def __init__(self, size: int, things: Things, hand: Hand) -> None:
        super().__init__(size, things, hand)
        self.passed = [0] * size
        self.kinds = [hand.rng.choice(self.KINDS) for _ in range(size)]
        self.links = [self._link(kind) for kind in self.kinds]

    def _link(self, kind: str) -> tuple[Callable[[float | None], object], Callable[[], object]]:
        """How to wait for it, and how to serve."""
        it = self.things.make(kind, *((0,) if kind == "Semaphore" else ()))
        if kind == "Lock":
            it.acquire()
            return lambda timeout: it.acquire(True, forever(timeout)), it.release
        if kind == "Event":
            return lambda timeout: it.wait(timeout) and not it.clear(), it.set
        if kind == "Semaphore":
            return lambda timeout: it.acquire(True, timeout), it.release

        def get(timeout: float | None) -> bool:
            try:
                return bool(it.get(True, timeout))
            except queue.Empty:
                return False

        return get, lambda: it.put(True)

    def part(self, place: int, hand: Hand) -> None:
        wait, _ = self.links[place]
        _, serve = self.links[(place + 1) % self.size]
        for turn in range(self.turns):
            if place or turn:
                hand.until_served(f"{self.kinds[place]} in a ring", wait)
                self.passed[place] += 1
            hand.done += 1
            serve()
        if place == 0:
            hand.until_served(f"{self.kinds[place]} in a ring", wait)
            self.passed[place] += 1

    def settle(self) -> None:
        expect("times a token was passed", self.passed, [self.turns] * self.size)


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
        for turn in zip(*self.places):
            expect("places at a barrier", sorted(turn), list(range(self.size)))
        expect("barrier broken for", sum(self.broken), self.size - 1)
        self.barrier.reset()
        expect("waiting at a barrier", self.barrier.n_waiting, 0)


class Crowd(Dance):
    """Threads that end; all join them, at once, and find done what they had to do."""

    def __init__(self, size: int, things: Things, hand: Hand) -> None:
        super().__init__(size, things, hand)
        self.local = threading.local()
        self.lock = threading.Lock()
        self.done = self.bare = 0
        self.bare_done = threading.Semaphore(0)
        self.turns = min(self.turns, 5)
        self.threads: list[Any] = []
        self.started = things.make("Event")

    def _run(self, number: int) -> None:
        self.local.number = number
        with self.lock:
            self.done += 1
        expect("local to a thread", self.local.number, number)

    def part(self, place: int, hand: Hand) -> None:
        self.local.number = -place
        if place == 0:
            for number in range(self.turns):
                thread = threading.Thread(target=self._run, args=(number,))
                thread.start()
                self.threads.append(thread)
                low_level.start_new_thread(self.bare_done.release, ())
                hand.done += 2
            self.started.set()
        hand.until_served("Event.wait, for all", self.started.wait)
        for thread in self.threads:
            hand.until_served("Thread.join", lambda timeout, it=thread: self._join(it, timeout))
        expect("local to a thread", self.local.number, -place)
        if place == 0:
            for _ in range(self.turns):
                hand.soon(
                    "bare thread", lambda timeout: self.bare_done.acquire(True, timeout)
                )

    def _join(self, thread: Any, timeout: float | None) -> bool:
        thread.join(timeout)
        return not thread.is_alive()

    def settle(self) -> None:
        expect("threads that ran", self.done, self.turns)


DANCES: tuple[type[Dance], ...] = (
    Items,
    Items,
    Tokens,
    Notified,
    Ring,
    Permits,
    Meetings,
    Crowd,
)
