"""Many sub-interpreters of a kind, one after the other in each of several threads.

Prints as JSON how many ran `use_every_object.py` to its end, how many of the threads that they left
were waited for, and how much memory each interpreter left behind, in bytes.
"""

from __future__ import annotations

import gc
import json
import os
import sys
from pathlib import Path
from typing import Any

from chosen import MODE, low_level, say, threading
from interpreters import allows_threads, create, end, run

KIND, COUNT, SIDE_BY_SIDE = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
USES = Path(__file__).with_name("use_every_object.py").read_text(encoding="utf-8")

# Before 3.12 an interpreter that has threads cannot be ended.
LINGER = sys.version_info >= (3, 12)
reader, writer = os.pipe()
os.set_blocking(reader, False)


def one() -> None:
    interpreter = create(KIND)
    try:
        run(
            interpreter,
            f"MODE, SAY = {MODE!r}, {writer}\n"
            f"THREADS, LINGER = {allows_threads(KIND)}, {LINGER}\n{USES}",
        )
    finally:
        end(interpreter)


def told() -> bytes:
    try:
        return os.read(reader, 1 << 16)
    except BlockingIOError:
        return b""


def several(count: int) -> None:
    failures: list[BaseException] = []

    def work() -> None:
        try:
            for _ in range(share):
                one()
        except BaseException as error:
            failures.append(error)

    share = count // SIDE_BY_SIDE
    threads = [threading.Thread(target=work) for _ in range(SIDE_BY_SIDE)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        raise failures[0]


def memory() -> int:
    gc.collect()
    try:
        statm = Path("/proc/self/statm").read_text(encoding="ascii")
    except OSError:
        return 0
    return int(statm.split()[1]) * os.sysconf("SC_PAGE_SIZE")


class Mine:
    """What the main interpreter has of its own, before and after."""

    def __init__(self) -> None:
        self.lock, self.held = threading.Lock(), threading.RLock()
        self.held.acquire()
        self.local: Any = threading.local()
        self.local.x = self
        self.go = threading.Event()
        self.waiter = threading.Thread(target=self.go.wait)
        self.waiter.start()

    def check(self) -> None:
        assert self.local.x is self
        assert self.waiter.is_alive()
        self.held.release()
        with self.lock, self.held:
            pass
        self.go.set()
        self.waiter.join()
        assert low_level._count() == 0


mine = Mine()
# A multiple of the threads, as the rest is.
warm_up = COUNT // 4 // SIDE_BY_SIDE * SIDE_BY_SIDE
several(warm_up)
before = memory()
several(COUNT - warm_up)
grown = (memory() - before) / max(1, COUNT - warm_up)
mine.check()
done = told()
say(json.dumps({"ran": done.count(b"u"), "waited": done.count(b"t"), "grown": grown}))
