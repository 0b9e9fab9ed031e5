"""The end of the interpreter, with daemon threads left in everything that a thread can do."""

from __future__ import annotations

import itertools
import random
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

from scenarios.run import MODES, Outcome, run, run_stock

from .paths import PROGRAMS
from .proof import Figure, exactly, none_of, proof

# At a time: most of an exit is waiting, and the machine may have two cores.
AT_ONCE = 2
HANG = 120.0
LATE = str(PROGRAMS / "late")


class Tries:
    """Programs run to their end, and what was wrong with them."""

    def __init__(self) -> None:
        self.ended = 0
        self.hung = 0
        self.bad_status = 0
        self.spoke = 0
        self.other_output = 0
        self._lock = threading.Lock()

    def daemons(self, mode: str, task: str) -> None:
        """Let threads do `task` and have the main thread go away."""
        try:
            outcome = run(mode, "exit_daemons", task, "end", timeout=HANG)
        except AssertionError as error:
            # It has the stacks of all threads.
            print(f"HUNG: {task} ({mode}): {error}", flush=True)
            with self._lock:
                self.hung += 1
            return
        with self._lock:
            self.ended += 1
            self.bad_status += outcome.status != 0
            self.spoke += outcome.err != ""
            self.other_output += outcome.lines != ["main ends", "atexit"]
        if outcome != Outcome(0, "main ends\natexit\n", ""):
            print(f"BAD: {task} ({mode}): {outcome}", flush=True)


def tasks(mode: str) -> list[str]:
    """What the daemon threads of the case can do; all of it at once comes first."""
    return ["all", *run(mode, "exit_daemons", "list").out.split()]


@proof("exits", "daemon threads left blocked at the end", long=1000, short=30, unit="exits")
def exits(count: int) -> Iterator[Figure]:
    """Everything in each mode in turn: what a short form leaves out of it, "all" has."""
    pairs = [(mode, task) for task in tasks(MODES[0]) for mode in MODES]
    # So that a few are of many things, and the same ones every time.
    first, rest = pairs[: len(MODES)], pairs[len(MODES) :]
    random.Random(4).shuffle(rest)
    yield from tried(first + rest, count)


@proof("floods", "an end in the midst of starts and ends", long=2000, short=18, unit="exits")
def floods(count: int) -> Iterator[Figure]:
    """More of what the end meets least often: threads that are about to begin or end."""
    yield from tried(
        [(mode, task) for task in ("many_starts", "many_exits") for mode in MODES], count
    )


def tried(pairs: list[tuple[str, str]], count: int) -> Iterator[Figure]:
    tries = Tries()
    with ThreadPoolExecutor(AT_ONCE) as pool:
        chosen = itertools.islice(itertools.cycle(pairs), count)
        for done in [pool.submit(tries.daemons, *pair) for pair in chosen]:
            done.result()
    yield exactly("exits", tries.ended, count)
    yield none_of("exit status not 0", tries.bad_status)
    yield none_of("with anything on stderr", tries.spoke)
    yield none_of("that left something out", tries.other_output)
    yield none_of("hung", tries.hung)


# Said where the Python classes of stock find their module cleared. Ours may do better.
CLEARED = "TypeError 'NoneType' object"
# What dies there does so while the interpreter ends; elsewhere it is done a moment before that.
IN_TIME = ("at_exit", "at_shutdown")


def late_pairs() -> list[tuple[str, str]]:
    """What can be done late, and where, but for what stock never ends."""
    pairs = []
    for line in run("stock", LATE, "list").lines:
        action, *places = line.split()
        for place in places:
            # Up to 3.11 a thread can be started that never runs, and start() waits for it.
            if action != "start" or place in IN_TIME or sys.version_info >= (3, 12):
                pairs.append((action, place))
    return pairs


def is_as_stock(mode: str, action: str, place: str) -> bool:
    stock, ours = run_stock(LATE, action, place), run(mode, LATE, action, place)
    expected = list(itertools.takewhile(lambda line: not line.startswith(CLEARED), stock.lines))
    same = (ours.status, ours.err, ours.lines[: len(expected)]) == (0, stock.err, expected)
    if not same or (len(expected) == len(stock.lines) and ours.lines != expected):
        print(f"OTHERWISE: {action} {place} ({mode}): {ours}; stock: {stock}", flush=True)
        return False
    return True


@proof("late", "what is destroyed and called late behaves as stock", long=340, short=12)
def late(count: int) -> Iterator[Figure]:
    pairs = [(mode, *pair) for pair in late_pairs() for mode in MODES]
    random.Random(4).shuffle(pairs)
    chosen = list(itertools.islice(itertools.cycle(pairs), count))
    with ThreadPoolExecutor(AT_ONCE) as pool:
        alike = sum(pool.map(lambda triple: is_as_stock(*triple), chosen))
    yield exactly("late uses", len(chosen), count)
    yield none_of("other than stock", count - alike)
