"""Starts threads until there may be no more, lets some end, and goes on: in one way.

Arguments: how the threads are started, and how often to try. The answer: how many starts went well
and how many failed, and what is left of all of them.
"""

from __future__ import annotations

import contextlib
import gc
import json
import os
import random
import resource
import sys
import weakref
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

from chosen import low_level, say, threading
from process_usage import growth, registered, tasks, wait_until

# How many threads there may be, but for the main one.
ROOM = 5
NOBODY = 65534


class Job:
    """What a thread does: it waits for its end."""

    def __init__(self, jobs: Jobs) -> None:
        self.gate = jobs.gate
        self.jobs = jobs

    def __call__(self) -> None:
        self.gate.acquire()
        with self.jobs.lock:
            self.jobs.ended += 1


class Jobs:
    """Starts threads and lets them end."""

    def __init__(self) -> None:
        self.gate = threading.Semaphore(0)
        self.lock = threading.Lock()
        self.running = self.started = self.failed = self.ended = 0
        self.random = random.Random(5)
        # Those of a pool go on when their job is done.
        self.threads_end = True
        self.left: weakref.WeakSet[Job] = weakref.WeakSet()

    def job(self) -> Job:
        made = Job(self)
        self.left.add(made)
        return made

    @contextlib.contextmanager
    def trial(self) -> Iterator[None]:
        """One start. When there is no room, some of those that run are let go."""
        try:
            yield
        except RuntimeError as error:
            if str(error) != "can't start new thread":
                raise
            self.failed += 1
            full = tasks()
            self.let_go(self.random.randint(1, ROOM))
            if self.threads_end and self.running < full - 1 and self.random.random() < 0.7:
                # At other times the next start comes while they end.
                wait_until(lambda: tasks() < full)
        else:
            self.started += 1
            self.running += 1

    def let_go(self, count: int) -> None:
        count = min(count, self.running)
        self.running -= count
        if count:
            self.gate.release(count)

    def end(self) -> None:
        self.let_go(self.running)
        wait_until(lambda: tasks() == 1)


def threads(jobs: Jobs, count: int) -> None:
    for number in range(count):
        thread = threading.Thread(target=jobs.job(), daemon=bool(number % 2))
        with jobs.trial():
            thread.start()
        if jobs.random.random() < 0.1:
            # Never started: nothing to join. Started: not over yet, most likely.
            with contextlib.suppress(RuntimeError):
                thread.join(0)


def timers(jobs: Jobs, count: int) -> None:
    for _ in range(count):
        with jobs.trial():
            threading.Timer(0.0001, jobs.job()).start()


def bare(jobs: Jobs, count: int) -> None:
    for _ in range(count):
        with jobs.trial():
            low_level.start_new_thread(jobs.job(), ())


def joinable(jobs: Jobs, count: int) -> None:
    for number in range(count):
        handle = low_level._ThreadHandle() if number % 2 else None
        with jobs.trial():
            low_level.start_joinable_thread(jobs.job(), handle=handle)
            handle = None
        if handle is not None:
            # Its start has failed: it is done, and a join returns at once.
            assert handle.is_done()
            handle.join()


def executors(jobs: Jobs, count: int) -> None:
    """A pool keeps the job whose thread could not be started, for one of its other threads."""
    tried = 0
    jobs.threads_end = False
    while tried < count:
        with ThreadPoolExecutor(2 * ROOM) as executor:
            for _ in range(2 * ROOM):
                tried += 1
                with jobs.trial():
                    executor.submit(jobs.job())
            jobs.gate.release(2 * ROOM)
        # None are left, and the gate may be open still, for jobs that were not done.
        jobs.running = 0
        jobs.gate = threading.Semaphore(0)


WAYS: dict[str, Callable[[Jobs, int], None]] = {
    "Thread": threads,
    "Timer": timers,
    "start_new_thread": bare,
    "start_joinable_thread": joinable,
    "ThreadPoolExecutor": executors,
}


def threads_of_this_user() -> int:
    uid = os.getuid()
    found = 0
    for name in os.listdir("/proc"):
        with contextlib.suppress(OSError):
            if name.isdigit() and os.stat(f"/proc/{name}").st_uid == uid:
                found += len(os.listdir(f"/proc/{name}/task"))
    return found


def limit_threads() -> None:
    """No more than `ROOM` more threads, of this process or, if it cannot be helped, of its user."""
    if os.getuid() == 0:
        # Root is not bound by the limit. No other process is likely to be of this user.
        try:
            os.setuid(61000 + os.getpid() % 4000)
        except OSError:
            os.setuid(NOBODY)
    limit = threads_of_this_user() + ROOM
    resource.setrlimit(resource.RLIMIT_NPROC, (limit, resource.getrlimit(resource.RLIMIT_NPROC)[1]))


def main() -> None:
    way, count = WAYS[sys.argv[1]], int(sys.argv[2])
    entries = registered()
    limit_threads()
    jobs = Jobs()

    def some(count: int) -> None:
        way(jobs, count)
        jobs.end()

    grown = growth(some, count)
    gc.collect()
    left = {
        "objects left": len(jobs.left),
        "entries in registries": registered() - entries,
        "threads left": tasks() - 1,
    }
    say(json.dumps({"started": jobs.started, "failed": jobs.failed, **grown, **left}))


if __name__ == "__main__":
    main()
