"""Wait until all threads of a process are blocked, without guessing how long that takes.

Linux says of each thread whether it sleeps and how often it has been switched out. Where two looks
at all threads find them asleep, and none switched out in between, there was a moment between the
looks at which all of them slept: what each had set out to wait for, it was waiting for.
"""

from __future__ import annotations

import os
import time

# Far longer than a process takes to come to rest: only one that never does meets it.
LIMIT = 60.0


def wait_until_all_blocked(pid: int | None = None) -> None:
    """Return when all threads of `pid` sleep, or it is over.

    Args:
        pid: this process, without the calling thread, if None.

    Raises:
        TimeoutError: when they keep running.
    """
    folder = f"/proc/{pid or 'self'}/task"
    if not os.path.isdir("/proc/self/task"):
        # This system cannot be asked: give them time, and perhaps test less than was meant.
        time.sleep(0.1)
        return
    deadline = time.monotonic() + LIMIT
    before = None
    while True:
        now = _look(folder, own=pid is None)
        if now is not None and now == before:
            return
        if time.monotonic() > deadline:
            raise TimeoutError(f"{folder}: still running: {now}")
        before = now
        time.sleep(0.001)


def _look(folder: str, own: bool) -> dict[str, str] | None:
    """How often each thread was switched out; None while one of them runs."""
    switches = {}
    try:
        threads = os.listdir(folder)
        for thread in threads:
            if own and int(thread) == _own_id():
                continue
            with open(f"{folder}/{thread}/status", encoding="utf-8") as file:
                status = file.read()
            state = _field(status, "State")[0]
            # Z: ended, and so at rest.
            if state not in "SZ":
                return None
            switches[thread] = "+".join(
                [
                    _field(status, "voluntary_ctxt_switches"),
                    _field(status, "nonvoluntary_ctxt_switches"),
                ]
            )
    except FileNotFoundError:
        # A thread has just ended, or the whole process has.
        return None if os.path.isdir(folder) else {}
    except ProcessLookupError:
        return None
    return switches


def _field(status: str, name: str) -> str:
    return status.partition(f"\n{name}:\t")[2].partition("\n")[0]


def _own_id() -> int:
    # Not threading's: a case may be about that very function.
    return int(os.readlink("/proc/thread-self").rpartition("/")[2])
