"""Many threads that end at a time, and leave memory to be freed when no thread can see it any more.

Without a GIL that takes a lock of the interpreter's when a thread clears its state, and a fork, or
the end, may find threads waiting for it.
"""

from __future__ import annotations

import time

from chosen import low_level

# Threads that are started at a time.
AT_ONCE = 6

shared: list[int] = []
table: dict[object, int] = {}


def leave_something(ran: list[int]) -> None:
    """What grows and shrinks while others may look at it is freed later."""
    me = low_level.get_ident()
    for number in range(3):
        shared.extend(range(20))
        shared.clear()
        table[me] = table[me, number] = number
        table.clear()
    ran.append(1)


def start_and_end_threads() -> None:
    while True:
        ran: list[int] = []
        for _ in range(AT_ONCE):
            low_level.start_new_thread(leave_something, (ran,))
        while len(ran) < AT_ONCE:
            time.sleep(0)
