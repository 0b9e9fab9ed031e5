"""Work shared out among processes: a pool, and single ones around queues, locks and events.

Arguments: the start method, and the numbers to work on.
"""

from __future__ import annotations

import multiprocessing
import sys
import threading
from multiprocessing.pool import ThreadPool
from typing import Any


def smallest_factor(number: int) -> int:
    """Looked for in threads, so that the processes of the pool have some too."""
    candidates = range(2, number + 1)
    with ThreadPool(2) as pool:
        divides = pool.map(lambda candidate: number % candidate == 0, candidates, chunksize=64)
    return candidates[divides.index(True)]


def add_up(numbers: Any, total: Any, done: Any) -> None:
    """Two threads of this process take numbers until there is a None for each."""

    def take() -> None:
        while (number := numbers.get()) is not None:
            with total.get_lock():
                total.value += number

    threads = [threading.Thread(target=take) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    done.release()


def main() -> None:
    context: Any = multiprocessing.get_context(sys.argv[1])
    numbers = [int(word) for word in sys.argv[2:]]

    with context.Pool(2) as pool:
        print("factors:", *pool.map(smallest_factor, numbers))
        pool.close()
        pool.join()

    queue: Any = context.Queue()
    total = context.Value("q", 0)
    done = context.Semaphore(0)
    process = context.Process(target=add_up, args=(queue, total, done))
    process.start()
    for number in [*numbers, None, None]:
        queue.put(number)
    done.acquire()
    process.join()
    print("sum:", total.value, "exit status:", process.exitcode)


if __name__ == "__main__":
    main()
