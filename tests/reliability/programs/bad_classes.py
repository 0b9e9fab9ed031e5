"""Native classes made of the wrong classes, and bad input for what comes of it.

    bad_classes.py SEED COUNT JOURNAL

They are made once in a process: each attempt is a child of this one, where none is made yet.
"""

from __future__ import annotations

import json
import os
import queue
import random
import signal
import sys
import threading
from pathlib import Path
from typing import Any

from chosen import say

sys.path.append(str(Path(__file__).resolve().parents[2]))
sys.dont_write_bytecode = True

from fuzz_cases import Plan  # noqa: E402
from fuzz_journal import Journal, Sink  # noqa: E402
from fuzz_worlds import World, own_functions, own_types, targets  # noqa: E402

from rthread import _native, _rthread  # noqa: E402

# Cases in each child, and seconds after which it is given up; what waits is interrupted after a
# tenth of one.
CASES = 60
LIMIT = 30
TICK = 0.1
# How a child ends that has found a SystemError, or that has been given up.
SYSTEM_ERROR, HUNG = 7, 8

THREADING = (*_native.THREADING, "BrokenBarrierError")
QUEUE = ("Queue", "LifoQueue", "PriorityQueue", "SimpleQueue", "Empty", "Full")


class Nothing:
    """A class without anything that a native class calls."""


class Other(Exception):
    """An exception that is not expected."""


JUNK: list[Any] = [Nothing, Nothing(), Other, object, type, int, dict, 5, None, "x", len]


def wrong(rng: random.Random) -> tuple[dict[str, Any], dict[str, Any]]:
    """The classes of threading, and of queue, and what makes them: some wrong or missing."""
    classes = {name: vars(threading)[name] for name in THREADING if rng.random() < 0.97}
    if rng.random() < 0.5:
        classes.update((name, vars(queue)[name]) for name in QUEUE)
        classes["ShutDown"] = Other
    helpers = right_helpers(classes)
    for _ in range(rng.choice((0, 1, 1, 2, 5))):
        classes[rng.choice(list(classes))] = rng.choice(JUNK)
    if rng.random() < 0.1:
        del helpers[rng.choice(list(helpers))]
    return classes, helpers


def right_helpers(classes: dict[str, Any]) -> dict[str, Any]:
    """What `_native` gives the extension beside these classes."""
    given: dict[str, Any] = {}

    def make(_: object, helpers: dict[str, Any]) -> dict[str, type]:
        given.update(helpers)
        return {}

    names = vars(_rthread)
    real = names["__make_native__"]
    names["__make_native__"] = make
    try:
        _native.make(classes)
    finally:
        names["__make_native__"] = real
    return given


class Waits(BaseException):
    """Ends what waits."""


class Child:
    """What happens in a process of its own."""

    def __init__(self, seed: str, journal: Journal) -> None:
        self.seed = seed
        self.journal = journal
        self.ticks = 0

    def run(self) -> int:
        signal.signal(signal.SIGALRM, self._tick)
        signal.setitimer(signal.ITIMER_REAL, TICK, TICK)
        rng = random.Random(self.seed)
        for _ in range(rng.choice((1, 1, 2, 3))):
            classes, helpers = wrong(rng)
            self.journal.write(f"{self.seed} {classes} {sorted(helpers)}")
            self._try(vars(_rthread)["__make_native__"], classes, helpers)
        world = World("ours", own_functions(), own_types())
        plan = Plan(world, [one for one in targets(world) if one.name != "_shutdown"])
        made = f"{self.seed} made of {classes}"
        status = 0
        for _ in range(CASES):
            case = plan.case(rng, len(plan.targets))
            self.journal.write(f"{made}: {case.words}")
            status = self._try(case.run, world) or status
        return status

    def _try(self, run: Any, *args: object) -> int:
        try:
            run(*args)
        except SystemError:
            return SYSTEM_ERROR
        except BaseException:
            pass
        return 0

    def _tick(self, number: int, frame: object) -> None:
        self.ticks += 1
        if self.ticks > LIMIT / TICK:
            os._exit(HUNG)
        raise Waits


def child(seed: str, journal: Journal) -> None:
    status = 1
    try:
        sys.stdout = sys.stderr = Sink()
        status = Child(seed, journal).run()
    except (Waits, KeyboardInterrupt):
        # It came between two cases.
        status = 0
    except BaseException as error:
        journal.write(f"not of a case: {error!r}", 1)
    finally:
        leave(status)


def leave(status: int) -> None:
    """End the process, whatever interrupts that."""
    while True:
        try:
            os._exit(status)
        except BaseException:
            pass


def main() -> None:
    seed, count, path = sys.argv[1], int(sys.argv[2]), sys.argv[3]
    journal = Journal(path)
    counts = {"cases": 0, "crashes": 0, "hangs": 0, "system errors": 0}
    found = []
    for index in range(count):
        process = os.fork()
        if not process:
            try:
                child(f"{seed}/{index}", journal)
            except BaseException:
                # Another tick came on the way out.
                leave(0)
        status = os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])
        counts["cases"] += 1
        what = {0: "", SYSTEM_ERROR: "system errors", HUNG: "hangs"}.get(status, "crashes")
        if what:
            counts[what] += 1
            found.append(f"{what}: {Path(path).read_text(errors='replace').strip()} ({status})")
    say(
        json.dumps({"counts": counts, "reached": [], "callables": 0, "reasons": {}, "found": found})
    )


main()
