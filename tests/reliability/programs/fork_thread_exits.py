"""Forks while threads end that leave something to be freed. Argument: how many forks."""

from __future__ import annotations

import os
import signal
import sys
import time
import warnings
from collections import Counter

from chosen import low_level, say
from many_thread_exits import start_and_end_threads

STARTERS = 2
# When a child is taken to hang, in seconds.
HANG = 300


def status_of_child() -> int:
    pid = os.fork()
    if pid == 0:
        os._exit(0)
    # Not by an alarm of the child's: it may hang before it comes to set one.
    end = time.monotonic() + HANG
    ended, status = os.waitpid(pid, os.WNOHANG)
    while not ended and time.monotonic() < end:
        time.sleep(0.001)
        ended, status = os.waitpid(pid, os.WNOHANG)
    if not ended:
        os.kill(pid, signal.SIGKILL)
        status = os.waitpid(pid, 0)[1]
    return os.waitstatus_to_exitcode(status)


if __name__ == "__main__":
    warnings.simplefilter("ignore", DeprecationWarning)
    for _ in range(STARTERS):
        low_level.start_new_thread(start_and_end_threads, ())
    statuses = Counter(status_of_child() for _ in range(int(sys.argv[1])))
    say("fine" if set(statuses) == {0} else dict(statuses))
    os._exit(0)
