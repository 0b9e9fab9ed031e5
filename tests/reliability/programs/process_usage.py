"""Memory and threads of this process, as the system and the interpreter see them."""

from __future__ import annotations

import gc
import os
import sys
import time
from collections.abc import Callable

from chosen import low_level, threading

PAGE = os.sysconf("SC_PAGE_SIZE")


def resident() -> int:
    """Bytes of memory that the process has in use and does not share.

    Counted page by page: the figures of statm are kept for each processor apart, and may be off by
    hundreds of kilobytes. Pages of files come and go as the system likes, and are left out.
    """
    # No encoding: a program that has become another user may not be able to import one.
    with open("/proc/self/smaps_rollup", "rb") as file:
        for line in file:
            if line.startswith(b"Anonymous:"):
                return int(line.split()[1]) << 10
    raise RuntimeError("the system does not say how much memory is in use")


def address_space() -> int:
    """Bytes of addresses that the process has: what RLIMIT_AS limits."""
    with open("/proc/self/statm", "rb") as file:
        return int(file.read().split()[0]) * PAGE


def tasks() -> int:
    """The system's threads in this process."""
    return len(os.listdir("/proc/self/task"))


def growth(action: Callable[[int], object], count: int, warm_up: int = 10) -> dict[str, int]:
    """Do something `count` times, after as much as a tenth of that to warm up.

    Args:
        action: does it as often as it is told.

    Returns:
        by how many bytes and by how many of the interpreter's blocks the process has grown.
    """
    action(max(100, count // warm_up))
    gc.collect()
    bytes_before, blocks_before = resident(), sys.getallocatedblocks()
    action(count)
    gc.collect()
    return {
        "bytes": resident() - bytes_before,
        "blocks": sys.getallocatedblocks() - blocks_before,
    }


def registered() -> int:
    """Entries of threads in the registries, but for the main thread's."""
    # Sentinels of threads that are over go at the next look, as in stock (up to 3.12).
    maintain = getattr(threading, "_maintain_shutdown_locks", None)
    if maintain:
        with threading._shutdown_locks_lock:
            maintain()
    gc.collect()
    return (
        (len(threading._active) - 1)
        + len(threading._limbo)
        + (len(threading._dangling) - 1)
        + len(getattr(threading, "_shutdown_locks", ()))
        + low_level._count()
    )


def wait_until(condition: Callable[[], object]) -> None:
    """Return when it is so; the watchdog outside sees to it if that never comes."""
    while not condition():
        time.sleep(0.001)
