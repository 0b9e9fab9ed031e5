"""Threads that call whatever there is of the same objects, with hostile arguments.

    bad_threads.py SEED COUNT JOURNAL

What waits, waits for a moment only: no thread is there that would be sure to end a wait. The
journal has a line for each thread.
"""

from __future__ import annotations

import json
import random
import sys
import threading
import time
from pathlib import Path
from typing import Any

from chosen import say

sys.path.append(str(Path(__file__).resolve().parents[2]))
sys.dont_write_bytecode = True

import fuzz_values  # noqa: E402
from fuzz_calls import Skipped  # noqa: E402
from fuzz_cases import Case, Plan  # noqa: E402
from fuzz_journal import Journal, Sink  # noqa: E402
from fuzz_worlds import World, targets, worlds  # noqa: E402

from differential.sidebyside import SHORT  # noqa: E402

THREADS = 4
# After as many cases, about, a thread has all begin with new objects.
FORGET = 50

# Not called while others use the object, and why.
ALONE = {
    "_acquire_restore": "waits while the lock is held, and nothing ends that wait",
    "_at_fork_reinit": "a thread that waits to have a condition's lock again is not woken any more",
    "_shutdown": "waits for threads",
    "interrupt_main": "the main thread waits for the others",
    "stack_size": "the others start threads",
    "rthread.install": "refuses while other threads run",
    "rthread.uninstall": "the same",
    "_set_sentinel": "belongs to the thread",
}
# Where a method that may wait has its time-out, by its name.
WAITS = {
    "acquire": 1,
    "acquire_lock": 1,
    "__enter__": 1,
    "wait": 0,
    "_wait": 0,
    "wait_for": 1,
    "get": 1,
    "put": 2,
    "join": 0,
}
# Done once more in the middle of it, a thread would wait for itself: what a Python class has under
# its lock asks the arguments, stock or not.
LOCKING = {
    *("set", "clear", "wait", "abort", "reset", "notify_all", "acquire", "release", "__enter__"),
    *("task_done", "put_nowait", "get_nowait", "shutdown"),
}
# The modules of the types that have objects to wait for.
OURS = ("_thread", "_queue", "queue", "threading", "rthread", "derived")
# Not NaN, with which a condition written in Python asks for ever.
TIMEOUTS: list[Any] = [SHORT, SHORT, SHORT, SHORT / 2, 0, ""]


# What may make an object a part of another, which waits for it without a time-out.
SETS = {"__setattr__", "__set__", "__init__"}


def limit(name: str, args: list[Any]) -> list[Any]:
    """Arguments with which a call waits for a moment at most.

    Raises:
        Skipped: there are none.
    """
    if name in ALONE:
        raise Skipped
    if name in SETS and any(type(arg).__module__ in OURS for arg in args):
        raise Skipped
    if name not in WAITS:
        return args
    place = WAITS[name]
    before = [*args[:place], *[True] * (place - len(args))]
    return [*before, random.choice(TIMEOUTS)]


class Trial:
    """Runs cases on several threads."""

    def __init__(self, seed: str, journal: str, world: World) -> None:
        self.seed = seed
        self.world = world
        self.plan = Plan(world, [one for one in targets(world) if one.name not in ALONE])
        self.journal = Journal(journal)
        self.found: list[str] = []
        self.reached: set[str] = set()
        self.done: list[int] = []

    def run(self, count: int) -> None:
        sys.unraisablehook = self._unraisable
        threads = [
            threading.Thread(target=self.serve, args=(number, range(number, count, THREADS)))
            for number in range(THREADS)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        # Threads that cases have started.
        while self.world.functions["_count"]():
            time.sleep(0.001)

    def serve(self, number: int, cases: range) -> None:
        for index in cases:
            rng = random.Random(f"{self.seed}/{index}")
            while not self.one(number, index, self.plan.case(rng, index)):
                pass
            if rng.random() < 1 / FORGET:
                self.world.forget()
            self.done.append(index)
        self.journal.write("done", number)

    def one(self, number: int, index: int, case: Case) -> bool:
        """Try a case, unless it may wait for ever."""
        if case.how == "with":
            return False
        text = f"{self.seed}/{index}: {case.words}"
        self.journal.write(text, number)
        try:
            case.run(self.world)
        except Skipped:
            return False
        except SystemError as error:
            self.found.append(f"{text}: {error}")
        except BaseException:
            pass
        finally:
            self.world.let_go()
        self.reached.add(str(case.target))
        return True

    def _unraisable(self, args: Any) -> None:
        if isinstance(args.exc_value, SystemError):
            self.found.append(f"unraisable: {args.exc_value}")


def main() -> None:
    seed, count, journal = sys.argv[1], int(sys.argv[2]), sys.argv[3]
    out, err = sys.stdout, sys.stderr
    sys.stdout = sys.stderr = Sink()
    fuzz_values.NOT_NOW |= ALONE.keys() | LOCKING
    ours, _ = worlds()
    ours.limit, ours.limited = limit, WAITS
    trial = Trial(seed, journal, ours)
    try:
        trial.run(count)
    finally:
        sys.stdout, sys.stderr = out, err
    answer = {
        "counts": {"cases": len(trial.done), "system errors": len(trial.found)},
        "reached": sorted(trial.reached),
        "callables": len(trial.plan.targets),
        "reasons": {},
        "found": trial.found,
    }
    say(json.dumps(answer))


main()
