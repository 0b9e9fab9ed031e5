"""Forks while threads end, which without a GIL leave memory that others may still read.

That takes a lock of the interpreter's when a thread clears its state, and there a fork can stop it.
Argument: how many forks.
"""

from __future__ import annotations

import os
import signal
import sys
import time
import warnings
from collections import Counter

from chosen import low_level, say

# Threads that start at a time, and how many starters do so.
CROWD = 6
STARTERS = 2
# When a child is taken to hang, in seconds.
HANG = 300

shared: list[int] = []
table: dict[object, int] = {}


def leave_something(ran: list[int]) -> None:
    """What grows and shrinks while others may look is freed later."""
    me = low_level.get_ident()
    for number in range(3):
        shared.extend(range(20))
        shared.clear()
        table[me] = table[me, number] = number
        table.clear()
    ran.append(1)


def start_crowds() -> None:
    while True:
        ran: list[int] = []
        for _ in range(CROWD):
            low_level.start_new_thread(leave_something, (ran,))
        while len(ran) < CROWD:
            time.sleep(0)


def status_of_child() -> int:
    pid = os.fork()
    if pid == 0:
        signal.alarm(HANG)
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


if __name__ == "__main__":
    warnings.simplefilter("ignore", DeprecationWarning)
    for _ in range(STARTERS):
        low_level.start_new_thread(start_crowds, ())
    statuses = Counter(status_of_child() for _ in range(int(sys.argv[1])))
    say("fine" if set(statuses) == {0} else dict(statuses))
    os._exit(0)
