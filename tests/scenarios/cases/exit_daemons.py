"""Daemon threads are not waited for, and say nothing, wherever the end of the program finds them.

Arguments: what the daemon threads are doing ("all" for all of it), and how the program ends; or
"list" for the names of what they can do.
"""

from __future__ import annotations

import atexit
import sys
import time
from collections.abc import Callable

from blocked_threads import wait_until_all_blocked
from chosen import low_level, say, threading
from exit_daemon_tasks import ALONE, SLEEPING, WAKING, Witness, Work, sleeper, values

ALL = SLEEPING | WAKING | ALONE


class Lingering:
    """Lets go of the interpreter while it is torn down, so that waiting threads try to get in."""

    def __del__(self, sleep: Callable[[float], object] = time.sleep) -> None:
        sleep(0.02)


def again_and_again(work: Work) -> Work:
    def loop() -> None:
        while True:
            work()

    return loop


def start_daemons(chosen: list[str]) -> None:
    started = threading.Semaphore(0)
    sleeper.start()

    def run(work: Work) -> None:
        started.release()
        work()

    for name in chosen:
        work = again_and_again(ALL[name]) if name in WAKING else ALL[name]
        # Two of each: they also meet one another.
        for _ in range(1 if name in SLEEPING else 2):
            threading.Thread(target=run, args=(work,), name=name, daemon=True).start()
            started.acquire()
        if name in SLEEPING and not name.startswith("join"):
            # And one that `threading` has never heard of. A join would make it known, by an object
            # that takes the lock of the registry when it dies at the end: should one of the others
            # have been stopped with it, stock hangs as well.
            low_level.start_new_thread(run, (work,))
            started.acquire()
    if set(chosen) <= set(SLEEPING):
        wait_until_all_blocked()


lingering = Lingering()

if __name__ == "__main__":
    if sys.argv[1] == "list":
        say(*ALL)
        sys.exit()
    what, ending = sys.argv[1:]
    values.main = Witness()
    start_daemons([*SLEEPING, *WAKING] if what == "all" else [what])
    atexit.register(say, "atexit")
    if ending == "raise":
        raise RuntimeError("the end")
    if ending == "exit":
        sys.exit(3)
    say("main ends")
