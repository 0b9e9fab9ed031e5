"""Makes and drops objects of one kind after the other: how much memory is left in use?

Arguments: how many of each. The answer: for each kind what `process_usage.growth` says and how many
objects are left, told by weak references where the kind has them.
"""

from __future__ import annotations

import gc
import importlib
import json
import sys
import weakref
from collections.abc import Callable
from typing import Any

from chosen import MODE, low_level, say, threading
from process_usage import growth

queue: Any = importlib.import_module("queue" if MODE == "stock" else "rthread.queue")

QUEUES = ("Queue", "LifoQueue", "PriorityQueue", "SimpleQueue")
Make = Callable[[], object]

# How many are made between collections. The collector of free-threaded builds takes its time, and
# what it lets pile up is not given back to the system; and a platform has but a thousand TSS keys.
COLLECT = 800


class Least:
    """An item that takes attributes, and for which priority queues have a place."""

    held: Any

    def __lt__(self, other: object) -> bool:
        return False


def filled(cls: Any) -> Make:
    def make() -> object:
        made = cls()
        made.put(1)
        return made

    return make


def with_value(cls: Any) -> Make:
    def make() -> object:
        made = cls()
        made.value = made.other = 1.5
        return made

    return make


def key_used(cls: Any) -> Make:
    def make() -> object:
        made = cls()
        made.create()
        made.set([])
        made.delete()
        made.create()
        made.set([])
        return made

    return make


def plain() -> dict[str, Make]:
    kinds: dict[str, Make] = {
        "Lock": threading.Lock,
        "RLock": threading.RLock,
        "local": with_value(threading.local),
    }
    for name in ("Condition", "Event", "Semaphore", "BoundedSemaphore"):
        kinds[name] = getattr(threading, name)
    kinds["Barrier"] = lambda: threading.Barrier(2)
    kinds.update((name, filled(getattr(queue, name))) for name in QUEUES)
    for name, use in (("TSS", key_used), ("_ThreadHandle", lambda cls: cls)):
        if hasattr(low_level, name):
            kinds[name] = use(getattr(low_level, name))
    return kinds


def derived() -> dict[str, Make]:
    """Instances of subclasses. A lock cannot be derived from, nor a handle."""

    def child(cls: Any) -> Any:
        return type(f"My{cls.__name__}", (cls,), {})

    kinds: dict[str, Make] = {"local, derived": with_value(child(threading.local))}
    for name in ("Condition", "Event", "Semaphore", "BoundedSemaphore"):
        kinds[f"{name}, derived"] = child(getattr(threading, name))
    barrier = child(threading.Barrier)
    kinds["Barrier, derived"] = lambda: barrier(2)
    kinds.update((f"{name}, derived", filled(child(getattr(queue, name)))) for name in QUEUES)
    rlock = type(threading.RLock())
    if rlock.__flags__ & 1 << 10:  # Py_TPFLAGS_BASETYPE
        kinds["RLock, derived"] = child(rlock)
    return kinds


def materialized() -> dict[str, Make]:
    """Objects of which a part was reached for, or that were shut down."""

    def materialize_by(make: Make, part: str) -> Make:
        def materialized() -> object:
            made = make()
            getattr(made, part)
            return made

        return materialized

    kinds = {
        "Event, materialized": materialize_by(threading.Event, "_cond"),
        "Semaphore, materialized": materialize_by(threading.Semaphore, "_cond"),
        "Barrier, materialized": materialize_by(lambda: threading.Barrier(2), "_cond"),
        "Condition over a user's lock": lambda: threading.Condition(threading._PyRLock()),
    }
    for name in QUEUES[:3]:
        kinds[f"{name}, materialized"] = materialize_by(filled(getattr(queue, name)), "mutex")
    if hasattr(queue.Queue, "shutdown"):

        def shut_down() -> object:
            made = queue.Queue()
            made.put([])
            made.shutdown(immediate=True)
            return made

        kinds["Queue, shut down"] = shut_down
    return kinds


def cycles() -> dict[str, Make]:
    """What only the collector can free."""

    def local_in_itself() -> object:
        made = threading.local()
        made.me = made
        return made

    def barrier_with_action() -> object:
        owner = Least()
        owner.held = threading.Barrier(1, lambda: owner)
        owner.held.wait()
        return owner.held

    def thread_and_handle() -> object:
        thread = threading.Thread(target=len)
        thread.me = thread
        return thread

    def with_itself(make: Make) -> Make:
        def made() -> object:
            found: Any = make()
            found.me = found
            return found

        return made

    def in_itself(cls: Any) -> Make:
        def made() -> object:
            found, item = cls(), Least()
            item.held = found
            found.put(item)
            return found

        return made

    kinds = {
        "local in a cycle": local_in_itself,
        "Barrier in a cycle": barrier_with_action,
        "Thread in a cycle": thread_and_handle,
    }
    for name in ("Condition", "Event", "Semaphore", "BoundedSemaphore"):
        kinds[f"{name} in a cycle"] = with_itself(getattr(threading, name))
    kinds.update((f"{name} in a cycle", in_itself(getattr(queue, name))) for name in QUEUES)
    if hasattr(low_level, "TSS"):

        def key_to_itself() -> object:
            made = low_level.TSS()
            made.create()
            made.set(made)
            return made

        kinds["TSS in a cycle"] = key_to_itself
    return kinds


class Watched:
    """Counts what comes and goes of a kind."""

    def __init__(self, make: Make) -> None:
        self.make = make
        self.alive = 0
        try:
            weakref.ref(make())
            self.has_references = True
        except TypeError:
            self.has_references = False

    def make_many(self, count: int) -> None:
        make = self.make
        for done in range(count):
            if done % COLLECT == 0:
                gc.collect()
            make()

    def watch_some(self, count: int) -> int:
        """Make some under observation: how many are left?"""
        if not self.has_references:
            return 0
        references = []
        for _ in range(count):
            references.append(weakref.ref(self.make(), self._gone))
            self.alive += 1
        # Twice: a finalizer may have made work for the next time.
        gc.collect()
        gc.collect()
        return self.alive

    def _gone(self, _: object) -> None:
        self.alive -= 1


def main() -> None:
    count = int(sys.argv[1])
    results: dict[str, dict[str, int]] = {}
    for kinds in (plain(), derived(), materialized(), cycles()):
        for name, make in kinds.items():
            watched = Watched(make)
            results[name] = growth(watched.make_many, count)
            results[name]["left"] = watched.watch_some(1000)
    say(json.dumps(results))


if __name__ == "__main__":
    main()
