"""What all threads of a stress run do in between, with objects that last for as long as it does."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from chosen import threading
from chosen_queue import get, queue
from group_task import forever
from stress_objects import StressObjects
from stress_worker import StressWorker, expect


class Account:
    """A number that only the holder of the lock may change, in steps."""

    def __init__(self, name: str, lock: Any, places: int = 1) -> None:
        self.name = name
        self.lock = lock
        self.places = places
        self.inside = 0
        self.count = 0
        # By the number of the thread, and so of one thread each.
        self.counted: dict[int, int] = {}
        self._guard = threading.Lock()

    def use(self, worker: StressWorker) -> None:
        worker.until_served(f"{self.name}.acquire", self._acquire)
        try:
            with self._guard:
                self.inside += 1
                inside = self.inside
                count = self.count
            if inside > self.places:
                expect(f"threads at once in a {self.name}", inside, self.places)
            if worker.rng.random() < 0.2:
                time.sleep(0)
            with self._guard:
                # With room for one, no other thread has changed it.
                if self.places == 1:
                    expect(f"count under a {self.name}", self.count, count)
                self.count += 1
                self.inside -= 1
            self.counted[worker.number] = self.counted.get(worker.number, 0) + 1
        finally:
            self.lock.release()

    def _acquire(self, timeout: float | None) -> object:
        if hasattr(self.lock, "_value"):
            return self.lock.acquire(True, timeout)
        return self.lock.acquire(True, forever(timeout))

    def check_counts(self) -> None:
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


class SideTasks:
    """The objects, and what can be done with them."""

    def __init__(self, objects: StressObjects) -> None:
        self.accounts = [
            Account("Lock", threading.Lock()),
            Account("RLock", threading.RLock()),
            Account("Condition", threading.Condition()),
            Account("Semaphore", threading.Semaphore(2), 2),
            Account("BoundedSemaphore", threading.BoundedSemaphore(1)),
        ]
        self.objects = objects
        self.local = threading.local()
        self.pile: Any = queue.SimpleQueue()
        self.put: dict[int, int] = {}
        self.got: dict[int, int] = {}

    def all(self) -> list[Callable[[StressWorker], object]]:
        return [
            *(self._once(account.use) for account in self.accounts),
            self.nested,
            self.put_on_pile,
            self.get_from_pile,
            self.look_at_local,
            self.materialize_one,
        ]

    def _once(self, use: Callable[[StressWorker], object]) -> Callable[[StressWorker], object]:
        """Not again within itself: another lock may be wanted, in another order."""

        def call(worker: StressWorker) -> None:
            side_tasks, worker.side_tasks = worker.side_tasks, ()
            use(worker)
            worker.side_tasks = side_tasks

        return call

    def nested(self, worker: StressWorker) -> None:
        """A lock within an RLock that is taken several times."""
        rlock = self.accounts[1].lock
        depth = worker.often(1, 3)
        for _ in range(depth):
            rlock.acquire()
        self.accounts[0].lock.acquire()
        self.accounts[0].lock.release()
        expect("owned", rlock._is_owned(), True)
        for _ in range(depth):
            rlock.release()
        worker.done += 2 * depth + 2

    def put_on_pile(self, worker: StressWorker) -> None:
        self.pile.put(worker.number)
        self.put[worker.number] = self.put.get(worker.number, 0) + 1
        worker.done += 1

    def get_from_pile(self, worker: StressWorker) -> None:
        worker.done += 1
        try:
            get(self.pile, worker.rng.choice((0, 0.0002)))
        except queue.Empty:
            return
        self.got[worker.number] = self.got.get(worker.number, 0) + 1

    def look_at_local(self, worker: StressWorker) -> None:
        number = getattr(self.local, "number", worker.number)
        expect("local to a thread", number, worker.number)
        self.local.number = worker.number
        worker.done += 1

    def materialize_one(self, worker: StressWorker) -> None:
        worker.materialized += self.objects.materialize_one(worker.rng)

    def check_counts(self) -> None:
        for account in self.accounts:
            account.check_counts()
        left = self.pile.qsize()
        expect("pile", sum(self.got.values()) + left, sum(self.put.values()))
