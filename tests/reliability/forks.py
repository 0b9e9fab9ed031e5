"""Forks while other threads hold, wait for and use everything there is."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Iterator
from itertools import product

from scenarios.run import MODES

from .proof import Figure, exactly, none_of, proof, run_program

NO_FORK = "" if hasattr(os, "fork") else "there is no fork here"

# What forks, see `programs/forking.py`.
FORKERS = ("main", "other", "child")
# Forks of one process, at least: it takes a while to set everything up.
AT_LEAST = 10
# Far longer than a thousand forks take; a child that hangs is found long before.
HANG = 1800.0


def runs(count: int) -> Iterator[tuple[str, str, int]]:
    """So many forks over all modes and all that fork; few ones over each at least once."""
    pairs = list(product(MODES, FORKERS))
    # The diagonal first.
    pairs.sort(key=lambda pair: (MODES.index(pair[0]) - FORKERS.index(pair[1])) % len(FORKERS))
    each = max(AT_LEAST, -(-count // len(pairs)))
    for mode, forker in pairs:
        if count <= 0:
            return
        yield mode, forker, min(each, count)
        count -= each


def fork(mode: str, forker: str, count: int) -> Counter[str]:
    """What came of so many forks."""
    outcome = run_program(mode, "forking", count, forker, timeout=HANG)
    assert (outcome.status, outcome.err) == (0, ""), f"{mode} {forker}: {outcome}"
    counts: Counter[str] = Counter(json.loads(outcome.lines[-1]))
    for line in outcome.lines[:-1]:
        print(f"        {mode} {forker}: {line}", flush=True)
    return counts


@proof(
    "forks",
    "forks among threads that hold, wait for and use all kinds of objects",
    long=1000,
    short=30,
    unit="forks",
    missing=NO_FORK,
)
def forks(count: int) -> Iterator[Figure]:
    counts: Counter[str] = Counter()
    for mode, forker, part in runs(count):
        counts += fork(mode, forker, part)
    yield exactly("forks", counts["forks"], count)
    yield none_of("children with a wrong status", counts["status"])
    yield none_of("children with anything on stderr", counts["spoke"])
    yield none_of("hung", counts["hung"])


@proof(
    "fork-hooks",
    "os.register_at_fork: the order, and hooks that use locks",
    long=300,
    short=15,
    unit="forks",
    missing=NO_FORK,
)
def fork_hooks(count: int) -> Iterator[Figure]:
    yield from in_all_modes("fork_hooks", count, "modes in which all was in order")


@proof(
    "fork-thread-exits",
    "forks while threads end that leave something to be freed",
    long=9000,
    short=90,
    unit="forks",
    missing=NO_FORK,
)
def fork_thread_exits(count: int) -> Iterator[Figure]:
    yield from in_all_modes("fork_thread_exits", count, "modes in which no child crashed or hung")


@proof(
    "processes",
    "multiprocessing by forks, among busy threads",
    long=20,
    short=1,
    unit="rounds",
    missing=NO_FORK,
)
def processes(count: int) -> Iterator[Figure]:
    modes = ("command", "children", "install", "shim")
    fine = sum(goes_well(mode, "processes", count) for mode in modes)
    yield exactly("modes in which all rounds went well", fine, len(modes))


def in_all_modes(program: str, count: int, what: str) -> Iterator[Figure]:
    """So many forks over all modes, in each the same number."""
    each = -(-count // len(MODES))
    fine = sum(goes_well(mode, program, each) for mode in MODES)
    yield exactly("forks", each * fine, each * len(MODES))
    yield exactly(what, fine, len(MODES))


def goes_well(mode: str, program: str, count: int) -> bool:
    outcome = run_program(mode, program, count, timeout=HANG)
    fine = (outcome.status, outcome.lines, outcome.err) == (0, ["fine"], "")
    if not fine:
        print(f"        {mode} {program}: {outcome}", flush=True)
    return fine
