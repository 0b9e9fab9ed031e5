"""multiprocessing with the start method "fork", in a program with busy threads.

Argument: how many rounds. Each has a pool, processes that share a queue, a lock, a condition, an
event, a semaphore and a barrier, and an executor.
"""

from __future__ import annotations

import multiprocessing
import sys
import time
import warnings
from concurrent.futures import ProcessPoolExecutor
from typing import Any

from chosen import say, threading

context = multiprocessing.get_context("fork")
ours = [threading.Lock(), threading.RLock(), threading.Condition()]


def be_busy() -> None:
    while True:
        for lock in ours:
            with lock:
                time.sleep(0)


def square(number: int) -> int:
    """In a worker, with a thread of its own."""
    results: list[int] = []
    thread = threading.Thread(target=lambda: results.append(number * number))
    thread.start()
    thread.join()
    return results[0]


def share(shared: dict[str, Any]) -> None:
    """What one of the processes does."""
    shared["barrier"].wait()
    with shared["lock"], shared["semaphore"]:
        shared["value"].value += 1
    with shared["condition"]:
        shared["condition"].notify_all()
    shared["queue"].put(square(3))
    shared["event"].wait()


def round_of_processes(count: int) -> None:
    shared: dict[str, Any] = {
        "queue": context.Queue(),
        "lock": context.Lock(),
        "condition": context.Condition(),
        "event": context.Event(),
        "semaphore": context.BoundedSemaphore(2),
        "barrier": context.Barrier(count),
        "value": context.Value("i", 0),
    }
    processes = [context.Process(target=share, args=(shared,)) for _ in range(count)]
    for process in processes:
        process.start()
    with shared["condition"]:
        assert shared["condition"].wait_for(lambda: shared["value"].value == count)
    assert [shared["queue"].get() for _ in processes] == [9] * count
    shared["event"].set()
    for process in processes:
        process.join()
        assert process.exitcode == 0, process.exitcode


def main() -> None:
    warnings.simplefilter("ignore", DeprecationWarning)
    for _ in range(2):
        threading.Thread(target=be_busy, daemon=True).start()
    for _ in range(int(sys.argv[1])):
        with context.Pool(2) as pool:
            assert pool.map(square, range(6)) == [number**2 for number in range(6)]
        round_of_processes(2)
        with ProcessPoolExecutor(2, mp_context=context) as executor:
            assert list(executor.map(square, range(4))) == [0, 1, 4, 9]
    say("fine")


if __name__ == "__main__":
    main()
