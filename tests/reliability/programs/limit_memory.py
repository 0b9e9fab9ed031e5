"""Makes objects and starts threads with as little memory as RLIMIT_AS leaves.

Arguments: what to do, how often. The answer: how often it went well, how often it raised what it
should, and what is left. Anything else ends the process, or it hangs.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import json
import resource
import sys
import sysconfig
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

from chosen import low_level, say, threading
from process_usage import address_space, registered, tasks, wait_until

queue: Any = importlib.import_module("rthread.queue")

PAGE = resource.getpagesize()
# More than a thread takes but for its stack; free-threaded builds have a heap for each.
BESIDES = (96 << 20) if sysconfig.get_config_var("Py_GIL_DISABLED") else (1 << 20)
# More objects than there is room for; but free-threaded builds take memory by the gibibyte.
MANY = 50_000
# Small ones are kept by the C library for the next thread, large ones are not.
STACKS = (256 << 10, 64 << 20)


@contextlib.contextmanager
def room_for(size: int) -> Iterator[None]:
    before = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (address_space() + size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, before)


def start_one(way: Callable[[], Any], found: Counter[str]) -> None:
    try:
        way()
    except MemoryError:
        found["raised"] += 1
    except RuntimeError as error:
        if str(error) != "can't start new thread":
            raise
        found["raised"] += 1
    else:
        found["went well"] += 1


def besides(step: int, count: int) -> int:
    """Page by page from none at all, and then in larger steps to more than a thread takes."""
    return (step if 2 * step < count else BESIDES // PAGE * step // count) * PAGE


def starts(count: int) -> Counter[str]:
    """Starts with more and more memory, so that each step on the way is the last one once."""
    found: Counter[str] = Counter()
    ran: list[int] = []

    def run() -> None:
        ran.append(1)

    ways = [
        lambda: threading.Thread(target=run).start(),
        lambda: low_level.start_new_thread(run, ()),
    ]
    if hasattr(low_level, "start_joinable_thread"):
        ways.append(lambda: low_level.start_joinable_thread(run))
    for step in range(count):
        # With a stack that is kept from before or with a new one, small or large.
        stack = STACKS[step % 2]
        size = (stack if step // 2 % 2 else 0) + besides(step // 4, count // 4)
        threading.stack_size(stack)
        for way in ways:
            with room_for(size):
                start_one(way, found)
            wait_until(lambda: tasks() == 1)
    found["ran"] = len(ran)
    return found


def objects(count: int) -> Counter[str]:
    """As many of each kind as there is room for, and then they are used."""
    found: Counter[str] = Counter()
    makers = [
        threading.Lock,
        threading.RLock,
        threading.local,
        threading.Condition,
        threading.Event,
        threading.Semaphore,
        threading.BoundedSemaphore,
        lambda: threading.Barrier(1),
        queue.Queue,
        queue.LifoQueue,
        queue.PriorityQueue,
        queue.SimpleQueue,
    ]
    makers += [
        getattr(low_level, name) for name in ("TSS", "_ThreadHandle") if hasattr(low_level, name)
    ]
    for number in range(count):
        make = makers[number % len(makers)]
        kept: list[Any] = [None] * MANY
        with room_for(PAGE * (number % 200)):
            made = fill(kept, make)
        found["raised" if made < MANY else "never raised"] += 1
        found["went well"] += made
    return found


def fill(kept: list[Any], make: Callable[[], object]) -> int:
    """How many there was room for."""
    made = 0
    try:
        for made in range(len(kept)):
            kept[made] = make()
    except MemoryError:
        # Room to go on with.
        kept.clear()
        return made
    return len(kept)


def items(count: int) -> Counter[str]:
    """Items into queues until they cannot grow: all that were put are there."""
    found: Counter[str] = Counter()
    classes = (queue.Queue, queue.LifoQueue, queue.PriorityQueue, queue.SimpleQueue)
    for number in range(count):
        filled = classes[number % len(classes)]()
        put = 0
        with room_for(PAGE * (number % 16)):
            try:
                while put < 1 << 22:
                    filled.put(1)
                    put += 1
                found["never raised"] += 1
            except MemoryError:
                found["raised"] += 1
        found["lost"] += filled.qsize() != put
        found["went well"] += put
        filled.put(1)
        assert filled.get() == 1
    return found


WHAT = {"starts": starts, "objects": objects, "items": items}


def main() -> None:
    gc.disable()
    what, count = WHAT[sys.argv[1]], int(sys.argv[2])
    entries = registered()
    found = dict(what(count))
    found["entries in registries"] = registered() - entries
    say(json.dumps(found))


if __name__ == "__main__":
    main()
