"""Nothing is left of what has been made, used and dropped.

A program does something for a while, to warm up; what it has in use after many times more has to be
the same. A leak is at least 16 bytes each time, the least that an allocator gives.
"""

from __future__ import annotations

import sys
import sysconfig
from collections.abc import Iterator, Mapping

from .proof import Figure, answer, at_most, none_of, proof

FREE_THREADED = bool(sysconfig.get_config_var("Py_GIL_DISABLED"))
# What allocators keep or give back as they please, however often something is done. That of
# free-threaded builds has a heap for each thread, and hands it on when the thread ends: after
# hundreds of thousands of threads it goes up and down by a few MiB, on the stock threads too.
SLACK = (2048 if FREE_THREADED else 384) << 10
THREADS_SLACK = 3 * SLACK if FREE_THREADED else SLACK
# And for each time: less than any leak.
EACH = 0.5
# Blocks of the interpreter's own allocator, which are told exactly: what its free lists hold.
BLOCKS = 2000

HOUR = 3600.0
MISSING = "" if sys.platform == "linux" else "the resident memory is told by /proc"

Results = Mapping[str, Mapping[str, int]]


def flat(results: Results, count: int, slack: int = SLACK) -> Iterator[Figure]:
    """The most that is left of any kind, and of each kind that has left too much."""
    for what, limit in (("bytes", slack + EACH * count), ("blocks", BLOCKS)):
        for kind, result in results.items():
            if result[what] > limit:
                yield at_most(f"{what} left by {kind}", result[what], limit)
        worst = max(result[what] for result in results.values())
        yield at_most(f"{what} in use more than after warm-up, any kind", worst, limit)


def nothing(results: Results, what: str, words: str) -> Iterator[Figure]:
    """What has to be gone, of all kinds together."""
    for kind, result in results.items():
        if result[what]:
            yield none_of(f"{words}: {kind}", result[what])
    yield none_of(words, sum(abs(result[what]) for result in results.values()))


@proof(
    "leaks",
    "a million of each object made and dropped, and waits of every kind",
    long=1_000_000,
    short=2_500,
    unit="objects of each kind",
    missing=MISSING,
)
def leaks(count: int) -> Iterator[Figure]:
    objects: Results = answer("install", "leak_objects", count, timeout=HOUR)
    yield Figure("kinds of objects", len(objects))
    yield Figure("objects made and dropped", len(objects) * count)
    yield from flat(objects, count)
    yield from nothing(objects, "left", "objects of the last 1,000 that are not collected")

    times = max(500, count // 20)
    waits: Results = answer("install", "leak_waits", times, timeout=HOUR)
    yield Figure("waits made", len(waits) * times)
    for figure in flat(waits, times):
        yield Figure(f"waits: {figure.name}", figure.value, "", figure.ok, figure.wanted)


@proof(
    "thread-leaks",
    "a hundred thousand threads started and ended in each way",
    long=100_000,
    short=1_500,
    unit="threads in each way",
    missing=MISSING,
)
def thread_leaks(count: int) -> Iterator[Figure]:
    found = answer("install", "leak_threads", count, timeout=HOUR)
    ways: Results = found["ways"]
    yield Figure("ways to start a thread", len(ways))
    yield Figure("threads started and ended", len(ways) * count)
    yield from flat(ways, count, THREADS_SLACK)
    limit = 4 * THREADS_SLACK + EACH * len(ways) * count
    yield at_most("bytes in use more than before the first thread", found["bytes in all"], limit)
    yield from nothing(ways, "registered", "entries of threads in registries")
    yield from nothing(ways, "tasks", "threads of the system left over")
    yield from nothing(ways, "left", "objects used by threads and not collected")
