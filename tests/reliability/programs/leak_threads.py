"""Starts thread after thread, in one way after the other: is anything left of them?

Arguments: how many threads of each. The answer: for each way what `process_usage.growth` says, how
many entries there are in the registries, threads of the system, and objects that threads have used.
"""

from __future__ import annotations

import gc
import json
import sys
import weakref
from collections.abc import Callable
from typing import Any

from chosen import low_level, say, threading
from process_usage import growth, registered, resident, tasks, wait_until

# As many run at the same time.
AT_ONCE = 4
# As in leak_objects.py.
COLLECT = 800


class Used:
    """Something that a thread uses."""


class Ways:
    """How threads are started. Each of the methods starts some and waits until they are over."""

    def __init__(self) -> None:
        self.alive: weakref.WeakSet[Used] = weakref.WeakSet()
        self.slots = threading.Semaphore(AT_ONCE)
        self.local = threading.local()
        self.tss: Any = None
        if hasattr(low_level, "TSS"):
            self.tss = low_level.TSS()
            self.tss.create()

    def run(self, used: Used) -> None:
        # Held weakly: the thread itself is what keeps it.
        self.alive.add(used)
        self.slots.release()

    def threads(self, count: int) -> None:
        for _ in range(count):
            thread = threading.Thread(target=self.run, args=(Used(),))
            thread.start()
            thread.join()
            self.slots.acquire()

    def threads_not_joined(self, count: int) -> None:
        for _ in range(count):
            self.slots.acquire()
            threading.Thread(target=self.run, args=(Used(),), daemon=True).start()
        self.wait_for_all()

    def bare(self, count: int) -> None:
        for _ in range(count):
            self.slots.acquire()
            low_level.start_new_thread(self.run, (Used(),))
        self.wait_for_all()

    def joinable(self, count: int) -> None:
        for number in range(count):
            self.slots.acquire()
            used = Used()
            handle = low_level.start_joinable_thread(lambda used=used: self.run(used))
            del used
            if number % 2:
                handle.join()
        self.wait_for_all()

    def with_sentinel(self, count: int) -> None:
        """Sentinels that outlive their thread, and such that do not."""
        kept = []

        def run(used: Used, keep: bool) -> None:
            sentinel = low_level._set_sentinel()
            sentinel.acquire()
            if keep:
                kept.append(sentinel)
            self.run(used)

        for number in range(count):
            self.slots.acquire()
            low_level.start_new_thread(run, (Used(), bool(number % 2)))
            while kept:
                # Released by the end of its thread.
                kept.pop().acquire()
        self.wait_for_all()

    def with_values(self, count: int) -> None:
        """Thread-local values, some of which hold what they are part of."""
        self.local = threading.local()

        def run(used: Used) -> None:
            self.local.used = used
            self.local.me = self.local
            if self.tss is not None:
                self.tss.set((used, self.local))
            self.run(used)

        for _ in range(count):
            self.slots.acquire()
            low_level.start_new_thread(run, (Used(),))
        self.wait_for_all()
        del self.local

    def with_cycle(self, count: int) -> None:
        """Threads that only the collector can free."""
        for done in range(count):
            if done % COLLECT == 0:
                gc.collect()
            thread = threading.Thread(target=self.run, args=(Used(),))
            thread.me = thread
            thread.start()
            thread.join()
            self.slots.acquire()

    def wait_for_all(self) -> None:
        for _ in range(AT_ONCE):
            self.slots.acquire()
        wait_until(lambda: tasks() == 1)
        for _ in range(AT_ONCE):
            self.slots.release()

    def all(self) -> dict[str, Callable[[int], None]]:
        found = {
            "Thread": self.threads,
            "Thread, not joined": self.threads_not_joined,
            "start_new_thread": self.bare,
            "thread-local values": self.with_values,
            "Thread in a cycle": self.with_cycle,
        }
        if hasattr(low_level, "start_joinable_thread"):
            found["start_joinable_thread"] = self.joinable
        if hasattr(low_level, "_set_sentinel"):
            found["_set_sentinel"] = self.with_sentinel
        return found


def main() -> None:
    count = int(sys.argv[1])
    ways = Ways()
    results: dict[str, dict[str, int]] = {}
    before, entries = resident(), registered()
    for name, start in ways.all().items():
        results[name] = growth(start, count)
        wait_until(lambda: tasks() == 1)
        here = {"registered": registered() - entries, "tasks": tasks() - 1}
        results[name].update(here, left=len(ways.alive))
    say(json.dumps({"ways": results, "bytes in all": resident() - before}))


if __name__ == "__main__":
    main()
