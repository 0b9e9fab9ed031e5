"""Daemon threads are not waited for, and say nothing, wherever the end of the program finds them.

Arguments: what the daemon threads are doing ("all" for one thread each), and how the program ends.
Some sleep in a wait for ever; some wake up and wait anew all the time, so that the end finds them
on their way into the interpreter.
"""

from __future__ import annotations

import atexit
import queue
import sys
import time
from collections.abc import Callable
from typing import Any

from chosen import say, threading
from still import wait_until_still

Work = Callable[[], object]

SOON = 0.0005
LONG = 3600.0

held = threading.Lock()
held.acquire()
held_recursive = threading.RLock()
held_recursive.acquire()
condition = threading.Condition()
event = threading.Event()
semaphore = threading.Semaphore(0)
barrier = threading.Barrier(2)
empty: queue.Queue[int] = queue.Queue()
full: queue.Queue[int] = queue.Queue(1)
full.put(1)
sleeper = threading.Thread(target=event.wait, daemon=True)
values = threading.local()


def wait_on_condition() -> None:
    with condition:
        condition.wait()


def wait_on_condition_for_long() -> None:
    with condition:
        condition.wait_for(lambda: False, LONG)


def wait_while_holding() -> None:
    """Blocked with a lock, a recursive lock and a thread-local value of its own."""
    values.mine = Witness()
    with threading.Lock(), threading.RLock():
        event.wait()


class Witness:
    """Uses a lock when it dies, at a time when hardly anything works any more."""

    def __del__(self, make_lock: Callable[[], Any] = threading.RLock) -> None:
        with make_lock():
            pass


# Blocked once and for ever.
SLEEPING: dict[str, Work] = {
    "acquire": held.acquire,
    "acquire_timeout": lambda: held.acquire(timeout=LONG),
    "rlock": held_recursive.acquire,
    "rlock_timeout": lambda: held_recursive.acquire(timeout=LONG),
    "condition": wait_on_condition,
    "condition_timeout": wait_on_condition_for_long,
    "event": event.wait,
    "event_timeout": lambda: event.wait(LONG),
    "semaphore": semaphore.acquire,
    "barrier": barrier.wait,
    "queue_get": empty.get,
    "queue_get_timeout": lambda: empty.get(timeout=LONG),
    "queue_put": lambda: full.put(2),
    "queue_join": full.join,
    "join": sleeper.join,
    "join_timeout": lambda: sleeper.join(LONG),
    "holding": wait_while_holding,
}


def again_and_again(work: Work) -> Work:
    def loop() -> None:
        while True:
            work()

    return loop


def start_one() -> None:
    try:
        threading.Thread(target=int, daemon=True).start()
    except RuntimeError:
        # The interpreter is going down and says so.
        time.sleep(LONG)


def pass_on(lock: Any) -> Work:
    def work() -> None:
        with lock:
            time.sleep(SOON)

    return work


contended = threading.Lock()
contended_recursive = threading.RLock()

# On their way in and out of waits all the time.
WAKING: dict[str, Work] = {
    "acquire_loop": lambda: held.acquire(timeout=SOON),
    "rlock_loop": lambda: held_recursive.acquire(timeout=SOON),
    "event_loop": lambda: event.wait(SOON),
    "semaphore_loop": lambda: semaphore.acquire(timeout=SOON),
    "join_loop": lambda: sleeper.join(SOON),
    "with_loop": pass_on(contended),
    "with_rlock_loop": pass_on(contended_recursive),
    "start_loop": start_one,
}

ALL = SLEEPING | WAKING


class Lingering:
    """Lets go of the interpreter while it is torn down, so that waiting threads try to get in."""

    def __del__(self, sleep: Callable[[float], object] = time.sleep) -> None:
        sleep(0.02)


def start_daemons(chosen: list[str]) -> None:
    started = threading.Semaphore(0)
    sleeper.start()
    for name in chosen:
        work = again_and_again(ALL[name]) if name in WAKING else ALL[name]

        def run(work: Work = work) -> None:
            started.release()
            work()

        # Two of each: they also meet one another.
        for _ in range(2 if name in WAKING else 1):
            threading.Thread(target=run, name=name, daemon=True).start()
            started.acquire()
    if not set(chosen) & set(WAKING):
        wait_until_still()


lingering = Lingering()

if __name__ == "__main__":
    what, ending = sys.argv[1:]
    start_daemons(list(ALL) if what == "all" else [what])
    atexit.register(say, "atexit")
    if ending == "raise":
        raise RuntimeError("the end")
    if ending == "exit":
        sys.exit(3)
    say("main ends")
