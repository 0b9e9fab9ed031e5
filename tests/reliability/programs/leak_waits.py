"""Waits again and again for things that do not come, and for some that do: each takes memory.

Arguments: how many waits of each kind. The answer: for each kind what `process_usage.growth` says.
"""

from __future__ import annotations

import importlib
import json
import sys
from collections.abc import Callable
from typing import Any

from chosen import MODE, say, threading
from process_usage import growth

queue: Any = importlib.import_module("queue" if MODE == "stock" else "rthread.queue")

SOON = 1e-6


def repeat(action: Callable[[], object]) -> Callable[[int], None]:
    def many(count: int) -> None:
        for _ in range(count):
            action()

    return many


def kinds(held_rlock: Any, living: Any) -> dict[str, Callable[[int], None]]:
    lock = threading.Lock()
    lock.acquire()
    condition = threading.Condition()
    event, materialized_event = threading.Event(), threading.Event()
    materialized_event._cond  # noqa: B018
    semaphore, barrier = threading.Semaphore(0), threading.Barrier(2)
    full = queue.Queue(1)
    full.put(1)
    materialized_queue = queue.Queue()
    materialized_queue.mutex  # noqa: B018

    def wait_for_condition() -> None:
        with condition:
            assert not condition.wait(SOON)

    def wait_at_barrier() -> None:
        try:
            barrier.wait(SOON)
        except threading.BrokenBarrierError:
            barrier.reset()

    def expect(error: type[Exception], call: Callable[..., object], *args: object) -> Any:
        def action() -> None:
            try:
                call(*args, timeout=SOON)
            except error:
                return
            raise AssertionError(call)

        return repeat(action)

    found = {
        "Lock": repeat(lambda: lock.acquire(timeout=SOON)),
        "RLock": repeat(lambda: held_rlock.acquire(timeout=SOON)),
        "Condition": repeat(wait_for_condition),
        "Event": repeat(lambda: event.wait(SOON)),
        "Event, materialized": repeat(lambda: materialized_event.wait(SOON)),
        "Semaphore": repeat(lambda: semaphore.acquire(timeout=SOON)),
        "Barrier": repeat(wait_at_barrier),
        "Queue, full": expect(queue.Full, full.put, 1),
        "Queue, materialized": expect(queue.Empty, materialized_queue.get),
        "join": repeat(lambda: living.join(SOON)),
    }
    for name in ("Queue", "PriorityQueue", "SimpleQueue"):
        found[name] = expect(queue.Empty, getattr(queue, name)().get)
    return found


def hand_over(count: int) -> None:
    """Two threads that wait for each other: for each kind of thing to hand over."""
    there, back = queue.SimpleQueue(), queue.Queue(1)
    locks = threading.Lock(), threading.Lock()
    for lock in locks:
        lock.acquire()

    def other() -> None:
        for _ in range(count):
            back.put(there.get())
            locks[0].acquire()
            locks[1].release()

    thread = threading.Thread(target=other)
    thread.start()
    for number in range(count):
        there.put(number)
        assert back.get() == number
        locks[0].release()
        locks[1].acquire()
    thread.join()


def main() -> None:
    count = int(sys.argv[1])
    held, go = threading.RLock(), threading.Event()
    ready = threading.Event()

    def hold() -> None:
        with held:
            ready.set()
            go.wait()

    holder = threading.Thread(target=hold)
    holder.start()
    ready.wait()
    results = {name: growth(many, count) for name, many in kinds(held, holder).items()}
    results["hand-overs"] = growth(hand_over, count)
    go.set()
    holder.join()
    say(json.dumps(results))


if __name__ == "__main__":
    main()
