"""Threads that do a bit of everything at once, amid signals and collections, for so many seconds.

The arguments are the seconds and a seed, which decides what is done; in what order, only the system
knows. There are many short rounds. In each, all threads work in groups (`group_task.py`), do other
things in between (`side_tasks.py`), and at its end all counts have to add up. Then every wake-up
was given: one that was lost leaves a thread asleep, with no other left to wake it by chance.

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

from chosen import say, threading
from group_task import GroupTask
from group_tasks import GROUP_TASKS
from interference import Interference
from side_tasks import SideTasks
from stress_objects import StressObjects
from stress_worker import StressWorker, Wrong
from worker_thread import WorkerThread

WORKERS = 8


class Stress:
    """The threads of a run, what they use, and its rounds."""

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.rng = random.Random(seed)
        self.workers = [StressWorker(number, seed) for number in range(WORKERS)]
        # The main thread is a worker as well, and it is the one that handles the signals.
        self.threads = [WorkerThread() for _ in self.workers[1:]]
        self.objects = StressObjects(self.rng)
        self.side_tasks = SideTasks(self.objects)
        self.interference = Interference(seed)
        self.interference.targets = [threading.get_ident(), *(it.ident for it in self.threads)]
        self.rounds = 0
        self.wrong: list[str] = []
        for worker in self.workers:
            worker.side_tasks = self.side_tasks.all()

    def run(self, seconds: float) -> None:
        over = time.monotonic() + seconds
        self.interference.begin()
        while time.monotonic() < over and not self._lost():
            self._round()
            self.rounds += 1
        self.interference.end()
        self._check_counts(self.side_tasks.check_counts)
        self._check_counts(self.interference.check_counts)
        for thread in self.threads:
            thread.end()

    def _round(self) -> None:
        workers = self.rng.sample(self.workers, WORKERS)
        parts: list[Callable[[], None]] = [lambda: None] * WORKERS
        tasks: list[GroupTask] = []
        while workers:
            # No worker is left alone.
            size = len(workers)
            if size >= 4:
                size = self.rng.randint(2, min(4, size - 2))
            task = self.rng.choice(GROUP_TASKS)(size, self.objects, self.workers[0])
            tasks.append(task)
            for place in range(size):
                worker = workers.pop()
                parts[worker.number] = self._part(task, place, worker)
        for thread, part in zip(self.threads, parts[1:], strict=True):
            thread.ask(part)
        parts[0]()
        for thread in self.threads:
            thread.answer()
        self.objects.forget()
        for task in tasks:
            self._check_counts(task.check_counts)

    def _part(self, task: GroupTask, place: int, worker: StressWorker) -> Callable[[], None]:
        def part() -> None:
            try:
                task.part(place, worker)
            except BaseException:
                # The others would wait for this one.
                say(f"seed {self.seed}, round {self.rounds}, {type(task).__name__}:")
                say(traceback.format_exc())
                os._exit(1)

        return part

    def _check_counts(self, check_counts: Callable[[], None]) -> None:
        try:
            check_counts()
        except Wrong as error:
            self.wrong.append(f"round {self.rounds}: {error}")

    def _lost(self) -> list[str]:
        return [what for worker in self.workers for what in worker.lost]

    def report(self) -> str:
        return json.dumps(
            {
                "operations": sum(worker.done for worker in self.workers),
                "rounds": self.rounds,
                "lost": self._lost(),
                "wrong": self.wrong,
                "signals": self.interference.signals,
                "collections": self.interference.collections,
                "refused": sum(worker.refused for worker in self.workers),
                "materialized": sum(worker.materialized for worker in self.workers),
            }
        )


def main() -> None:
    seconds, seed = float(sys.argv[1]), int(sys.argv[2])
    stress = Stress(seed)
    stress.run(seconds)
    say(stress.report())


if __name__ == "__main__":
    main()
