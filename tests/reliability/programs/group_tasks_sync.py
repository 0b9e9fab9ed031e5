"""Tasks with conditions, semaphores and barriers: each waiter is woken, and the counts add up."""

from __future__ import annotations

import time

from chosen import threading
from group_task import GroupTask
from stress_objects import StressObjects
from stress_worker import StressWorker, expect


class ConditionTokens(GroupTask):
    """Tokens given under a condition's lock, with as many notifications as there are tokens."""

    def __init__(self, size: int, objects: StressObjects, worker: StressWorker) -> None:
        super().__init__(size, objects, worker)
        kind = worker.rng.choice(("Lock", "RLock"))
        self.what = f"Condition.wait, {kind}"
        self.condition = objects.make("Condition", getattr(threading, kind)())
        self.tokens = self.given = 0
        self.taken = [0] * size

    def part(self, place: int, worker: StressWorker) -> None:
        if place == 0:
            self._give(worker)
            return
        for _ in range(self.share(place - 1, self.turns, self.size - 1)):
            worker.do_side_task()
            with self.condition:
                while not self.tokens:
                    worker.until_served(self.what, self._wait)
                self.tokens -= 1
                self.taken[place] += 1

    def _wait(self, timeout: float | None) -> bool:
        """The lock being held since there were no tokens."""
        served: bool = self.condition.wait(timeout)
        # After a long one, it should have been a notification that told of the token.
        return served or self.tokens > 0

    def _give(self, worker: StressWorker) -> None:
        while self.given < self.turns:
            worker.do_side_task()
            count = min(worker.often(1, 3), self.turns - self.given)
            with self.condition:
                self.tokens += count
                self.given += count
                worker.done += 1
                if worker.rng.random() < 0.8:
                    self.condition.notify(count)
                else:
                    self.condition.notify_all()

    def check_counts(self) -> None:
        expect("tokens given, taken and left", sum(self.taken) + self.tokens, self.given)
        expect("tokens", self.given, self.turns)
        expect("waiters left", len(self.condition._waiters), 0)


class Notifications(GroupTask):
    """Each notification wakes one waiter, and no waiter wakes without."""

    def __init__(self, size: int, objects: StressObjects, worker: StressWorker) -> None:
        super().__init__(size, objects, worker)
        self.condition = objects.make("Condition")
        self.waiting = self.notified = self.woken = 0

    def part(self, place: int, worker: StressWorker) -> None:
        if place == 0:
            self._notify(worker)
            return
        for _ in range(self.turns):
            # No side task with the lock held: no thread waits there that could be notified.
            worker.do_side_task()
            with self.condition:
                self.waiting += 1
                worker.soon("Condition.wait, notified", self.condition.wait)
                self.woken += 1
                if self.woken > self.notified:
                    expect("woken", self.woken, self.notified)

    def _notify(self, worker: StressWorker) -> None:
        while self.notified < self.turns * (self.size - 1):
            worker.do_side_task()
            with self.condition:
                count = min(self.waiting, worker.often(0, 3))
                self.waiting -= count
                self.notified += count
                worker.done += 1
                self.condition.notify(count)
            if not count:
                time.sleep(0)

    def check_counts(self) -> None:
        expect("notified and woken", self.woken, self.notified)
        expect("waiters left", len(self.condition._waiters), 0)


class SemaphorePermits(GroupTask):
    """What is released is acquired, several at a time; the value is what is left."""

    def __init__(self, size: int, objects: StressObjects, worker: StressWorker) -> None:
        super().__init__(size, objects, worker)
        self.left = worker.often(0, 2)
        self.semaphore = objects.make("Semaphore", 0)

    def part(self, place: int, worker: StressWorker) -> None:
        if place:
            for _ in range(self.turns):
                worker.until_served(
                    "Semaphore.acquire", lambda timeout: self.semaphore.acquire(True, timeout)
                )
            return
        to_give = self.turns * (self.size - 1) + self.left
        while to_give:
            worker.do_side_task()
            count = min(worker.often(1, 3), to_give)
            to_give -= count
            worker.done += 1
            self.semaphore.release(count)

    def check_counts(self) -> None:
        expect("permits left", self.semaphore._value, self.left)


class BarrierRounds(GroupTask):
    """All meet, many times; then one aborts instead of coming."""

    def __init__(self, size: int, objects: StressObjects, worker: StressWorker) -> None:
        super().__init__(size, objects, worker)
        self.actions = 0
        self.places: list[list[int]] = [[] for _ in range(size)]
        self.broken = [0] * size
        self.through = threading.Semaphore(0)
        self.barrier = objects.make("Barrier", size, self._count)

    def _count(self) -> None:
        self.actions += 1

    def part(self, place: int, worker: StressWorker) -> None:
        for _ in range(self.turns):
            worker.do_side_task()
            worker.soon("Barrier.wait", lambda timeout: self._meet(place, timeout))
        worker.done += 1
        if place == 0:
            # Otherwise threads that have not left yet would be told as well.
            for _ in range(self.size - 1):
                worker.soon("all through", lambda timeout: self.through.acquire(True, timeout))
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

    def check_counts(self) -> None:
        expect("actions of a barrier", self.actions, self.turns)
        for turn in zip(*self.places, strict=True):
            expect("places at a barrier", sorted(turn), list(range(self.size)))
        expect("barrier broken for", sum(self.broken), self.size - 1)
        self.barrier.reset()
        expect("waiting at a barrier", self.barrier.n_waiting, 0)
