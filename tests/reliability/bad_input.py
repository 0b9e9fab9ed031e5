"""Whatever it is called with, everything that can be called gives a value or raises.

Calls with hostile arguments run in processes of their own (`programs/bad_input.py`), beside the
same calls of the stock classes. The seeds are 1, 2, …; the long form takes ones that were
never tried. To try one again: `RTHREAD_SEED=… python -m reliability bad-input --count …`.
"""

from __future__ import annotations

import itertools
import json
import os
import random
import signal
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import support
from scenarios.run import Outcome

from .proof import Figure, exactly, none_of, proof, run_program

LONG = 100_000
# Cases of one process: one that fails is found again by running it once more.
AT_ONCE = 5_000
# Seconds after which a process counts as hung. One of 5,000 cases takes 10 s.
HANG = 600.0

# Whether AddressSanitizer watches (make asan).
WATCHED = "libasan" in os.environ.get("LD_PRELOAD", "")
CRASHES = {-getattr(signal, name) for name in ("SIGSEGV", "SIGBUS", "SIGILL", "SIGFPE", "SIGABRT")}


def seeds(count: int, long: int) -> Iterator[str]:
    """The seeds for this many cases: ever the same for a short form, unless one is given."""
    if "RTHREAD_SEED" in os.environ:
        yield os.environ["RTHREAD_SEED"]
    first = random.SystemRandom().randrange(10**9) if count >= long else 0
    yield from map(str, itertools.count(first + 1))


class Tally:
    """What the processes have come to."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self.reached: set[str] = set()
        self.callables = 0
        self.reasons: Counter[str] = Counter()

    def add(self, said: dict[str, Any]) -> None:
        self.counts.update(said["counts"])
        self.reasons.update(said["reasons"])
        self.reached.update(said["reached"])
        self.callables = max(self.callables, said["callables"])
        for line in said["found"]:
            print(f"    {line}")


def try_program(program: str, count: int, seed: str, tally: Tally, *more: str) -> None:
    """Run cases in a process, and say of one that dies or hangs in which case it was."""
    with tempfile.TemporaryDirectory() as folder:
        journal = Path(folder, "journal")
        again = f"{program}.py {seed} {count}"
        try:
            outcome = run_program("stock", program, seed, count, journal, *more, timeout=HANG)
        except AssertionError as error:
            tally.counts["hangs"] += 1
            print(f"    hang: {again}: {last(journal)}\n{error}")
            return
        if "ERROR: AddressSanitizer" in outcome.err:
            tally.counts["reports"] += 1
            print(f"    report: {again}: {last(journal)}\n{outcome.err}")
        elif outcome.status in CRASHES or outcome.status > 128:
            tally.counts["crashes"] += 1
            print(f"    crash: {again}: {last(journal)}\n{outcome.err}")
        else:
            tally.add(answer_of(outcome, again, journal))
            if outcome.err:
                print(outcome.err)


def answer_of(outcome: Outcome, again: str, journal: Path) -> dict[str, Any]:
    # Children that have died have said so there.
    assert outcome.status == 0, f"{again}: {last(journal)}\n{outcome}"
    said: dict[str, Any] = json.loads(outcome.lines[-1])
    return said


def last(journal: Path) -> str:
    """The case that was running: its seed and number, the world, and what was done."""
    if not journal.exists():
        return "before the first case"
    return support.without_addresses(journal.read_text(encoding="utf-8", errors="replace").strip())


def shares(count: int, at_once: int = AT_ONCE) -> Iterable[int]:
    return [min(at_once, count - done) for done in range(0, count, at_once)]


def safe(tally: Tally, count: int) -> Iterator[Figure]:
    """What holds of every call."""
    yield exactly("cases", tally.counts["cases"], count)
    yield exactly("callables reached", len(tally.reached), tally.callables)
    yield none_of("crashes", tally.counts["crashes"])
    yield none_of("hangs", tally.counts["hangs"])
    yield none_of("SystemErrors", tally.counts["system errors"])
    if WATCHED:
        yield none_of("reports of AddressSanitizer", tally.counts["reports"])


@proof(
    "bad-input",
    "hostile arguments for all that can be called: a value or an exception, as stock",
    long=LONG,
    short=3_000,
    unit="cases",
)
def bad_input(count: int) -> Iterator[Figure]:
    tally = Tally()
    for share, seed in zip(shares(count), seeds(count, LONG), strict=False):
        try_program("bad_input", share, seed, tally)
    yield from safe(tally, count)
    yield Figure("waits interrupted", tally.counts["waits interrupted"])
    yield Figure("compared with stock", tally.counts["compared with stock"])
    yield Figure("differences with a reason", sum(tally.reasons.values()))
    yield none_of("differences without a reason", tally.counts["differences"])


@proof(
    "bad-threads",
    "the same from four threads that share the objects",
    long=LONG,
    short=4_000,
    unit="cases",
)
def bad_threads(count: int) -> Iterator[Figure]:
    tally = Tally()
    for share, seed in zip(shares(count), seeds(count, LONG), strict=False):
        try_program("bad_threads", share, seed, tally)
    yield from safe(tally, count)


@proof(
    "bad-classes",
    "native classes made of the wrong classes, and bad input for these",
    long=3_000,
    short=20,
    unit="processes",
    missing="" if hasattr(os, "fork") else "no fork()",
)
def bad_classes(count: int) -> Iterator[Figure]:
    tally = Tally()
    for share, seed in zip(shares(count, 500), seeds(count, 3_000), strict=False):
        try_program("bad_classes", share, seed, tally)
    yield exactly("processes", tally.counts["cases"], count)
    yield none_of("crashes", tally.counts["crashes"])
    yield none_of("hangs", tally.counts["hangs"])
    yield none_of("SystemErrors", tally.counts["system errors"])
