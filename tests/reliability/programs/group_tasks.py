"""Dances with what is handed from thread to thread, and with threads; and the list of all."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from functools import partial
from itertools import chain
from typing import Any

from chosen import low_level, threading
from dance import Dance, forever
from dances_in_step import Meetings, Notified, Permits, Tokens
from hand import Hand, expect
from queues import get, queue
from things import QUEUES, Things


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
                hand.until_served(f"{self.name}.get", partial(self._get, place))
            return
        for turn in range(self.turns):
            item = (place, turn)
            hand.until_served(f"{self.name}.put", partial(self._put, item))
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
            item = get(self.queue, timeout)
        except queue.Empty:
            return False
        self.got[place].append(item)
        if self.name != "SimpleQueue":
            self.queue.task_done()
        return True

    def settle(self) -> None:
        put, got = Counter(chain(*self.put)), Counter(chain(*self.got))
        expect(f"items of a {self.name}", got, put)
        expect(f"left in a {self.name}", self.queue.qsize(), 0)
        if self.name != "SimpleQueue":
            expect(f"tasks of a {self.name}", self.queue.unfinished_tasks, 0)


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

        def wait(timeout: float | None) -> bool:
            try:
                return bool(get(it, timeout))
            except queue.Empty:
                return False

        return wait, lambda: it.put(True)

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
                self._start(hand, thread.start)
                self.threads.append(thread)
                self._start(hand, low_level.start_new_thread, self.bare_done.release, ())
            self.started.set()
        hand.until_served("Event.wait, for all", self.started.wait)
        for thread in self.threads:
            hand.until_served("Thread.join", partial(self._join, thread))
        expect("local to a thread", self.local.number, -place)
        if place == 0:
            for _ in range(self.turns):
                hand.soon("bare thread", lambda timeout: self.bare_done.acquire(True, timeout))

    def _start(self, hand: Hand, start: Callable[..., object], *args: object) -> None:
        """Other programs may leave the machine short of threads for a while: then once more."""
        while True:
            hand.done += 1
            try:
                start(*args)
                return
            except RuntimeError as error:
                if "can't start new thread" not in str(error):
                    raise
                hand.refused += 1
                time.sleep(0.01)

    def _join(self, thread: Any, timeout: float | None) -> bool:
        thread.join(timeout)
        return not thread.is_alive()

    def settle(self) -> None:
        expect("threads that ran", self.done, self.turns)


# Those with queues come in four kinds.
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
