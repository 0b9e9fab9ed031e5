"""Tasks with what is handed from thread to thread, and with threads; and the list of all."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from functools import partial
from itertools import chain
from typing import Any

from chosen import low_level, threading
from chosen_queue import get, queue
from group_task import GroupTask, forever
from group_tasks_sync import BarrierRounds, ConditionTokens, Notifications, SemaphorePermits
from stress_objects import QUEUES, StressObjects
from stress_worker import StressWorker, expect


class QueueItems(GroupTask):
    """Each item that was put is got once; then join() returns."""

    def __init__(self, size: int, objects: StressObjects, worker: StressWorker) -> None:
        super().__init__(size, objects, worker)
        self.name = worker.rng.choice(QUEUES)
        self.queue = objects.make(self.name, *self._limit(worker))
        self.putters = worker.often(1, size - 1)
        self.put: list[list[Any]] = [[] for _ in range(size)]
        self.got: list[list[Any]] = [[] for _ in range(size)]

    def _limit(self, worker: StressWorker) -> tuple[int, ...]:
        return () if self.name == "SimpleQueue" else (worker.often(0, 3),)

    def part(self, place: int, worker: StressWorker) -> None:
        if place >= self.putters:
            getters = self.size - self.putters
            for _ in range(self.share(place - self.putters, self.turns * self.putters, getters)):
                worker.until_served(f"{self.name}.get", partial(self._get, place))
            return
        for turn in range(self.turns):
            item = (place, turn)
            worker.until_served(f"{self.name}.put", partial(self._put, item))
            self.put[place].append(item)
        if self.name != "SimpleQueue":
            worker.done += 1
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

    def check_counts(self) -> None:
        put, got = Counter(chain(*self.put)), Counter(chain(*self.got))
        expect(f"items of a {self.name}", got, put)
        expect(f"left in a {self.name}", self.queue.qsize(), 0)
        if self.name != "SimpleQueue":
            expect(f"tasks of a {self.name}", self.queue.unfinished_tasks, 0)


class TokenRing(GroupTask):
    """A token goes round: each waits for the one before, and serves the one after."""

    KINDS = ("Lock", "Event", "Semaphore", "SimpleQueue", "Queue")

    def __init__(self, size: int, objects: StressObjects, worker: StressWorker) -> None:
        super().__init__(size, objects, worker)
        self.passed = [0] * size
        self.kinds = [worker.rng.choice(self.KINDS) for _ in range(size)]
        self.links = [self._link(kind) for kind in self.kinds]

    def _link(self, kind: str) -> tuple[Callable[[float | None], object], Callable[[], object]]:
        """How to wait for it, and how to serve."""
        it = self.objects.make(kind, *((0,) if kind == "Semaphore" else ()))
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

    def part(self, place: int, worker: StressWorker) -> None:
        wait, _ = self.links[place]
        _, serve = self.links[(place + 1) % self.size]
        for turn in range(self.turns):
            if place or turn:
                worker.until_served(f"{self.kinds[place]} in a ring", wait)
                self.passed[place] += 1
            worker.done += 1
            serve()
        if place == 0:
            worker.until_served(f"{self.kinds[place]} in a ring", wait)
            self.passed[place] += 1

    def check_counts(self) -> None:
        expect("times a token was passed", self.passed, [self.turns] * self.size)


class JoinedThreads(GroupTask):
    """Threads that end; all join them, at once, and find done what they had to do."""

    def __init__(self, size: int, objects: StressObjects, worker: StressWorker) -> None:
        super().__init__(size, objects, worker)
        self.local = threading.local()
        self.lock = threading.Lock()
        self.done = self.bare = 0
        self.bare_done = threading.Semaphore(0)
        self.turns = min(self.turns, 5)
        self.threads: list[Any] = []
        self.started = objects.make("Event")

    def _run(self, number: int) -> None:
        self.local.number = number
        with self.lock:
            self.done += 1
        expect("local to a thread", self.local.number, number)

    def part(self, place: int, worker: StressWorker) -> None:
        self.local.number = -place
        if place == 0:
            for number in range(self.turns):
                thread = threading.Thread(target=self._run, args=(number,))
                self._start(worker, thread.start)
                self.threads.append(thread)
                self._start(worker, low_level.start_new_thread, self.bare_done.release, ())
            self.started.set()
        worker.until_served("Event.wait, for all", self.started.wait)
        for thread in self.threads:
            worker.until_served("Thread.join", partial(self._join, thread))
        expect("local to a thread", self.local.number, -place)
        if place == 0:
            for _ in range(self.turns):
                worker.soon("bare thread", lambda timeout: self.bare_done.acquire(True, timeout))

    def _start(self, worker: StressWorker, start: Callable[..., object], *args: object) -> None:
        """Other programs may leave the machine short of threads for a while: then once more."""
        while True:
            worker.done += 1
            try:
                start(*args)
                return
            except RuntimeError as error:
                if "can't start new thread" not in str(error):
                    raise
                worker.refused += 1
                time.sleep(0.01)

    def _join(self, thread: Any, timeout: float | None) -> bool:
        thread.join(timeout)
        return not thread.is_alive()

    def check_counts(self) -> None:
        expect("threads that ran", self.done, self.turns)


# Those with queues come in four kinds.
GROUP_TASKS: tuple[type[GroupTask], ...] = (
    QueueItems,
    QueueItems,
    ConditionTokens,
    Notifications,
    TokenRing,
    SemaphorePermits,
    BarrierRounds,
    JoinedThreads,
)
