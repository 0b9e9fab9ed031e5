"""A pool of workers that count words.

Four threads take chapters from a queue and put their counts into another. The pool is told that
the work is over by one sentinel for each worker, and a chapter that cannot be counted does not
take its worker down.
"""

from __future__ import annotations

import queue
import threading
from collections import Counter

CHAPTERS = {
    "one": "the cat sat on the mat",
    "two": "the dog chased the cat",
    "three": None,  # lost by the printer
    "four": "the mat was sat on by the dog",
    "five": "and the cat and the dog sat on",
}


class Pool:
    """Workers that turn chapters into counts, in any order."""

    def __init__(self, size: int) -> None:
        self.chapters: queue.Queue[str | None] = queue.Queue()
        self.counts: queue.Queue[tuple[str, Counter[str] | Exception]] = queue.Queue()
        self._workers = [
            threading.Thread(target=self._work, name=f"worker-{number}") for number in range(size)
        ]
        for worker in self._workers:
            worker.start()

    def _work(self) -> None:
        while (chapter := self.chapters.get()) is not None:
            try:
                self.counts.put((chapter, self.count(chapter)))
            except Exception as error:
                self.counts.put((chapter, error))

    @staticmethod
    def count(chapter: str) -> Counter[str]:
        text = CHAPTERS[chapter]
        if text is None:
            raise LookupError(f"chapter {chapter} is missing")
        return Counter(text.split())

    def close(self) -> None:
        for _ in self._workers:
            self.chapters.put(None)
        for worker in self._workers:
            worker.join()


def main() -> None:
    pool = Pool(size=4)
    for chapter in CHAPTERS:
        pool.chapters.put(chapter)
    results = dict(pool.counts.get() for _ in CHAPTERS)
    pool.close()

    total: Counter[str] = Counter()
    for chapter in CHAPTERS:
        result = results[chapter]
        if isinstance(result, Exception):
            print(f"chapter {chapter}: {type(result).__name__}: {result}")
        else:
            print(f"chapter {chapter}: {result.total()} words")
            total += result
    for word, times in sorted(total.items(), key=lambda item: (-item[1], item[0]))[:4]:
        print(f"{times} x {word}")


if __name__ == "__main__":
    main()
