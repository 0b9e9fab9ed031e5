"""Uses locks for a time under the policy "raise".

Arguments: how many seconds, and a seed. The last line says what happened, in JSON.

In most rounds every thread takes its locks in one order, gives up in time, or releases a lock of
another thread, so that there is no deadlock; a DeadlockError is a false alarm then. In the other
rounds the threads make a deadlock that is certain, and one of them has to get a DeadlockError; if
none does, the program hangs.
"""

from __future__ import annotations

import json
import random
import sys
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

from chosen import threading

from rthread import debug

counts: Counter[str] = Counter(operations=0, waits=0, made=0, missed=0, false=0)
words: list[str] = []
THREADS = 4


def main() -> None:
    seconds, seed = float(sys.argv[1]), int(sys.argv[2])
    debug.set_deadlock_policy("raise")
    sys.setswitchinterval(0.0001)
    end = time.monotonic() + seconds
    rounds = [in_order, with_time_outs, handed_over, with_conditions, with_joins, crossed]
    draw = random.Random(seed)
    while time.monotonic() < end:
        draw.choice(rounds)(draw)
    debug.set_deadlock_policy("off")
    print(json.dumps({**counts, "words": words[:10]}))


def together(*jobs: Callable[[], int]) -> list[debug.DeadlockError]:
    """Run each job in a thread of its own. A job returns how many operations it has done."""
    errors: list[debug.DeadlockError] = []
    done: list[int] = []

    def run(job: Callable[[], int]) -> None:
        try:
            done.append(job())
        except debug.DeadlockError as error:
            errors.append(error)

    threads = [threading.Thread(target=run, args=(job,)) for job in jobs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    counts["operations"] += sum(done)
    return errors


def expect_none(errors: list[debug.DeadlockError]) -> None:
    counts["false"] += len(errors)
    words.extend(map(str, errors))


def in_order(draw: random.Random) -> None:
    """Nested locks of both kinds, taken by each thread in the same order."""
    locks: list[Any] = [draw.choice((threading.Lock, threading.RLock))() for _ in range(3)]
    picks = [draw.choice(((0, 1), (0, 2), (1, 2))) for _ in range(THREADS)]

    def job(first: Any, second: Any) -> Callable[[], int]:
        def use() -> int:
            for _ in range(500):
                with first:
                    with second:
                        pass
            return 2000

        return use

    expect_none(together(*(job(locks[a], locks[b]) for a, b in picks)))


def with_time_outs(draw: random.Random) -> None:
    """Out of order, but no wait is for ever."""
    a, b = threading.Lock(), threading.RLock()

    def job(first: Any, second: Any) -> Callable[[], int]:
        def use() -> int:
            for _ in range(100):
                with first:
                    if second.acquire(timeout=0.0001):
                        second.release()
            counts["waits"] += 100
            return 400

        return use

    expect_none(together(job(a, b), job(b, a), job(a, b)))


def handed_over(draw: random.Random) -> None:
    """Locks taken by a bare acquire, and released by another thread."""
    ping, pong = threading.Lock(), threading.Lock()
    ping.acquire()
    pong.acquire()

    def left() -> int:
        for _ in range(300):
            ping.release()
            pong.acquire()
        return 600

    def right() -> int:
        for _ in range(300):
            ping.acquire()
            pong.release()
        return 600

    counts["waits"] += 600
    expect_none(together(left, right))


def with_conditions(draw: random.Random) -> None:
    """Threads that wait for each other's notifications, with a lock held around."""
    condition = threading.Condition(draw.choice((threading.Lock, threading.RLock))())
    turn = [0]

    def job(me: int) -> Callable[[], int]:
        def use() -> int:
            own = threading.Lock()
            for _ in range(100):
                with own, condition:
                    while turn[0] != me:
                        condition.wait()
                    turn[0] = 1 - me
                    condition.notify()
            return 400

        return use

    counts["waits"] += 200
    expect_none(together(job(0), job(1)))


def with_joins(draw: random.Random) -> None:
    """Threads that join each other in a chain, and use a lock meanwhile."""
    lock = threading.Lock()

    def chain(depth: int) -> None:
        with lock:
            pass
        if depth:
            thread = threading.Thread(target=chain, args=(depth - 1,))
            thread.start()
            thread.join()
        with lock:
            pass

    def use() -> int:
        chain(5)
        return 20

    counts["waits"] += 10
    expect_none(together(use, use))


def crossed(draw: random.Random) -> None:
    """A circle of threads, each of which holds one lock and wants the next."""
    size = draw.choice((2, 2, 3, 4))
    kinds = [draw.choice((threading.Lock, threading.RLock)) for _ in range(size)]
    locks: list[Any] = [kind() for kind in kinds]
    barrier = threading.Barrier(size)

    def job(me: int) -> Callable[[], int]:
        def use() -> int:
            with locks[me]:
                barrier.wait()
                with locks[(me + 1) % size]:
                    pass
            return 4

        return use

    counts["made"] += 1
    errors = together(*(job(me) for me in range(size)))
    # One thread closes the circle, and the others go on when it has given up. Without a GIL two
    # threads may both be the last.
    if not errors:
        counts["missed"] += 1


if __name__ == "__main__":
    main()
