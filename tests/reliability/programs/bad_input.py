"""Bad input for everything that can be called, in both worlds, case by case.

    bad_input.py SEED COUNT JOURNAL [--world ours] [--show]

Each case is written to the file JOURNAL before it runs, so that it is known when it ends the
process. What a case is depends on the seed and its number; what it meets, on the cases before.
"""

from __future__ import annotations

import json
import random
import signal
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from chosen import say

sys.path.append(str(Path(__file__).resolve().parents[2]))
sys.dont_write_bytecode = True

from fuzz_cases import Case, Plan  # noqa: E402
from fuzz_journal import Journal, Sink  # noqa: E402
from fuzz_outcomes import Outcome, gives, raises, reason, spared  # noqa: E402
from fuzz_worlds import World, targets, worlds  # noqa: E402

# A call that has waited for this many ticks of the timer is interrupted: the stock one, that ours
# has waited for too, sooner.
TICK = 0.02
TICKS = {"ours": 15, "stock": 3}


class Waits(BaseException):
    """Ends a call that waits, as a signal may."""


class Clock:
    """Interrupts calls that wait, by a signal."""

    def __init__(self) -> None:
        self.running = False
        self.left = 0

    @contextmanager
    def pause(self) -> Iterator[None]:
        before, self.running = self.running, False
        try:
            yield
        finally:
            self.running = before

    def start(self) -> None:
        signal.signal(signal.SIGALRM, self._tick)
        signal.setitimer(signal.ITIMER_REAL, TICK, TICK)

    def _tick(self, number: int, frame: object) -> None:
        if self.running:
            self.left -= 1
            if self.left < 0:
                raise Waits


class Trial:
    """Runs cases and keeps the counts."""

    def __init__(self, seed: str, journal: str, pair: tuple[World, World]) -> None:
        self.seed = seed
        self.ours, self.stock = pair
        self.plan = Plan(self.ours, targets(self.ours))
        self.clock = Clock()
        self.ours.pause = self.stock.pause = self.clock.pause
        self.journal = Journal(journal)
        self.counts: Counter[str] = Counter()
        self.reasons: Counter[str] = Counter()
        self.reached: set[str] = set()
        self.found: list[str] = []
        self.only = ""
        self.threads = self.ours.functions["_count"]()

    def run(self, count: int) -> None:
        sys.unraisablehook = self._unraisable
        self.clock.start()
        try:
            for index in range(count):
                case = self.plan.case(random.Random(f"{self.seed}/{index}"), index)
                self.one(index, case)
                self.counts["cases"] += 1
                self.reached.add(str(case.target))
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)

    def one(self, index: int, case: Case) -> None:
        self.journal.write(f"{self.seed}/{index} ours: {case.words}")
        used = self.ours.used = self.stock.used = set()
        if self.only == "stock":
            if self.has(case):
                self.attempt(case, self.stock)
            return
        mine = self.attempt(case, self.ours)
        if mine.kind == "raises" and mine.type_name == "SystemError":
            self.report("system errors", index, case, mine)
        if self.only == "ours":
            return
        if not self.has(case):
            # The objects that it has used may not be like the other world's any more.
            self.ours.forget(used)
            self.stock.forget(used)
            return
        self.journal.write(f"{self.seed}/{index} stock: {case.words}")
        theirs = self.attempt(case, self.stock)
        self.counts["compared with stock"] += 1
        if "waits" in (mine.kind, theirs.kind):
            self.counts["waits interrupted"] += 1
            self.ours.forget()
            self.stock.forget()
        if theirs.kind == "waits" and mine.kind != "waits":
            # Slow, or a loop in Python.
            self.counts["only stock waits"] += 1
        elif mine != theirs:
            self.differs(index, case, mine, theirs)

    def differs(self, index: int, case: Case, mine: Outcome, theirs: Outcome) -> None:
        why = reason(case, mine, theirs, self.stock.types.get(case.target.owner))
        if why:
            self.reasons[why] += 1
        else:
            self.report("differences", index, case, mine, theirs)
        # From here on the two objects are not alike.
        self.ours.forget()
        self.stock.forget()

    def has(self, case: Case) -> bool:
        """Is there anything to compare with?"""
        owner, name = case.target
        if spared(case):
            return False
        if not owner:
            return name in self.stock.functions
        stock = self.stock.types.get(owner)
        return stock is not None and (name == "()" or hasattr(stock, name))

    def attempt(self, case: Case, world: World) -> Outcome:
        self.clock.left = TICKS[world.name]
        try:
            self.clock.running = True
            try:
                value = case.run(world)
                # A signal that the call has asked for arrives.
                for _ in range(2):
                    pass
            finally:
                self.clock.running = False
        except Waits:
            return Outcome("waits", "", "")
        except BaseException as error:
            return raises(error)
        finally:
            # Again: one more tick may have kept the first from being done.
            self.clock.running = False
            self._tidy()
        return gives(value)

    def _tidy(self) -> None:
        """Undo what a case may have done to the process."""
        if self.ours.functions["rthread.is_installed"]():
            self.ours.functions["rthread.uninstall"]()
        self.ours.functions["stack_size"](0)
        deadline = time.monotonic() + 10
        while self.ours.functions["_count"]() > self.threads and time.monotonic() < deadline:
            time.sleep(0)

    def _unraisable(self, args: Any) -> None:
        self.counts["unraisable"] += 1
        if isinstance(args.exc_value, SystemError):
            self.counts["system errors"] += 1
            self.found.append(f"unraisable: {args.exc_value}")

    def report(self, what: str, index: int, case: Case, *outcomes: Outcome) -> None:
        self.counts[what] += 1
        if len(self.found) < 2000:
            self.found.append(f"{what}: {self.seed}/{index} {case.words} {outcomes}")


def main() -> None:
    seed, count, journal = sys.argv[1], int(sys.argv[2]), sys.argv[3]
    out = sys.stdout
    sys.stdout = sys.stderr = Sink()
    trial = Trial(seed, journal, worlds())
    trial.only = "".join(sys.argv[4:])
    try:
        trial.run(count)
    finally:
        sys.stdout = out
        sys.stderr = sys.__stderr__
    say(
        json.dumps(
            {
                "counts": trial.counts,
                "reached": sorted(trial.reached),
                "callables": len(trial.plan.targets),
                "reasons": trial.reasons,
                "found": trial.found,
            }
        )
    )


if __name__ == "__main__":
    main()
