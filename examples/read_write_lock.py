"""A read/write lock that lets no writer starve, around a price list.

Any number of readers may be in at once, a writer only alone. Readers that come after a waiting
writer queue up behind it. A barrier inside the read lock shows that the readers really are in
together: if they were not, nobody would get past it.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

READERS = 4
RAISES = 50


class ReadWriteLock:
    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._readers = 0
        self._writing = False
        self._writers_waiting = 0

    @contextmanager
    def reading(self) -> Iterator[None]:
        with self._changed:
            self._changed.wait_for(lambda: not self._writing and not self._writers_waiting)
            self._readers += 1
        try:
            yield
        finally:
            with self._changed:
                self._readers -= 1
                self._changed.notify_all()

    @contextmanager
    def writing(self) -> Iterator[None]:
        with self._changed:
            self._writers_waiting += 1
            try:
                self._changed.wait_for(lambda: not self._writing and not self._readers)
                self._writing = True
            finally:
                self._writers_waiting -= 1
        try:
            yield
        finally:
            with self._changed:
                self._writing = False
                self._changed.notify_all()


def main() -> None:
    lock = ReadWriteLock()
    prices = {"tea": 100, "milk": 100}
    all_inside = threading.Barrier(READERS)
    torn_reads: list[tuple[int, int]] = []

    def read_together() -> None:
        with lock.reading():
            all_inside.wait()

    def read_on() -> None:
        for _ in range(100):
            with lock.reading():
                tea, milk = prices["tea"], prices["milk"]
            if tea != milk:
                torn_reads.append((tea, milk))

    def raise_prices() -> None:
        for _ in range(RAISES):
            with lock.writing():
                for article in prices:
                    prices[article] += 1

    run_all([read_together] * READERS)
    print(f"{READERS} readers were inside together")
    run_all([read_on] * READERS + [raise_prices] * 2)
    print(f"prices after {2 * RAISES} raises: {prices}")
    print(f"reads that saw a raise half done: {len(torn_reads)}")


def run_all(targets: list[Callable[[], None]]) -> None:
    threads = [threading.Thread(target=target) for target in targets]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


if __name__ == "__main__":
    main()
