"""What happens where the system gives no more: no more threads, no more memory."""

from __future__ import annotations

import contextlib
import importlib.util
import json
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from .leaks import THREADS_SLACK
from .proof import Figure, answer, at_most, exactly, none_of, proof, run_program

HOUR = 3600.0
MISSING = "" if sys.platform == "linux" else "other systems do not keep these limits so"

WAYS = ["Thread", "Timer", "ThreadPoolExecutor", "start_new_thread"]
if sys.version_info >= (3, 13):
    WAYS.append("start_joinable_thread")
LEFT = ("objects left", "entries in registries", "threads left")


@proof(
    "thread-limit",
    "starts at the limit of threads: an exception, and nothing left behind",
    long=50_000,
    short=500,
    unit="starts in each way",
    missing=MISSING,
)
def thread_limit(count: int) -> Iterator[Figure]:
    total: Counter[str] = Counter()
    grown = []
    limit = THREADS_SLACK + count / 2
    for way in WAYS:
        found = answer("install", "limit_threads", way, count, timeout=HOUR)
        grown.append(found.pop("bytes"))
        if grown[-1] > limit:
            # glibc 2.43 loses four kilobytes with each thread that the system refuses.
            stock = answer("stock", "limit_threads", way, count, timeout=HOUR)
            grown[-1] -= stock["bytes"] * found["failed"] // stock["failed"]
        # Both have to happen in each way, or nothing is shown.
        yield Figure(f"started, {way}", found["started"], "", found["started"] > 0, "some")
        yield Figure(f"refused, {way}", found["failed"], "", found["failed"] > 0, "some")
        total.update(found)
    for what in LEFT:
        yield none_of(what, total[what])
    yield at_most("bytes in use more than after warm-up, any way", max(grown), limit)


@proof(
    "memory-limit",
    "starts, new objects, waits and queues without memory: MemoryError, and all works after",
    long=3000,
    short=160,
    unit="steps of memory",
    missing=MISSING,
)
def memory_limit(count: int) -> Iterator[Figure]:
    starts = _survive("limit_memory", "starts", count)
    # Otherwise the steps have not met the limit in the middle.
    assert starts["went well"], starts
    yield Figure("RLIMIT_AS: starts that raised", starts["raised"], "", starts["raised"] > 0)
    lost = starts["went well"] - starts["ran"]
    # Threads with a state may have none for what they do: they say so, and end.
    yield Figure("RLIMIT_AS: starts that went well", starts["went well"], "", lost >= 0)
    yield none_of("RLIMIT_AS: entries in registries", starts["entries in registries"])
    objects = _survive("limit_memory", "objects", max(14, count // 20))
    yield Figure("RLIMIT_AS: objects made", objects["went well"])
    yield Figure("RLIMIT_AS: MemoryErrors of objects", objects["raised"], "", objects["raised"] > 0)
    items = _survive("limit_memory", "items", max(8, count // 20))
    yield none_of("RLIMIT_AS: items lost by queues that could not grow", items["lost"])
    yield Figure("RLIMIT_AS: MemoryErrors of queues", items["raised"], "", items["raised"] > 0)
    if importlib.util.find_spec("_testcapi") is None:
        # The interpreter came without what its own tests use.
        return
    tried: Counter[str] = Counter()
    for in_a_row in (1, 8):
        far = max(25, min(count // 6, 300))
        tried.update(_survive("failing_allocators", far, in_a_row, mode="command"))
    yield Figure("failing allocators: operations", tried["operations"] / 2)
    yield Figure("failing allocators: tries that raised", tried["raised"], "", tried["raised"] > 0)
    yield Figure("failing allocators: tries that went well", tried["went well"])


def _survive(program: str, *args: object, mode: str = "install") -> dict[str, int]:
    """As `answer`, but without memory the interpreter may say what it could not do."""
    outcome = run_program(mode, program, *args, timeout=HOUR)
    assert outcome.status == 0, f"{program} {args}: {outcome}"
    found: dict[str, int] = Counter(json.loads(outcome.lines[-1]))
    return found


def room_for_threads() -> int:
    """How many threads the system lets a process have, as far as it can be told."""
    limits = [1 << 30]
    for path, each in (
        ("/proc/sys/kernel/threads-max", 1),
        ("/proc/sys/kernel/pid_max", 1),
        ("/sys/fs/cgroup/pids.max", 1),
        ("/sys/fs/cgroup/pids/pids.max", 1),
        # A stack and its guard, and what a heap of the thread's own takes.
        ("/proc/sys/vm/max_map_count", 6),
    ):
        # "max", or there is none.
        with contextlib.suppress(OSError, ValueError):
            limits.append(int(Path(path).read_text(encoding="ascii")) // each)
    with contextlib.suppress(ImportError):
        import resource

        soft = resource.getrlimit(resource.RLIMIT_NPROC)[0]
        if soft != resource.RLIM_INFINITY:
            limits.append(soft)
    # There are others.
    return min(limits) - 500


@proof(
    "many-threads",
    "live threads that wait for one condition at a time, are woken, and end",
    long=5000,
    short=300,
    unit="threads",
    missing=MISSING or ("" if room_for_threads() >= 300 else "the system allows too few threads"),
)
def many_threads(wanted: int) -> Iterator[Figure]:
    count = min(wanted, room_for_threads())
    if count < wanted:
        yield Figure("threads that the system has no room for", wanted - count)
    found = answer("install", "many_threads", count, timeout=HOUR)
    for what in ("alive", "notified at once", "notified one by one", "notified in time"):
        yield exactly(what, found.pop(what), count)
    for what in ("out of order", "woken without a notification", "entries in registries"):
        yield none_of(what, found.pop(what))
    for what, seconds in found.items():
        yield Figure(what, round(seconds, 2), "s")
