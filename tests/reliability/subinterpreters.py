"""rthread in sub-interpreters: every object in each kind of them, and what must not cross over.

A legacy interpreter shares the GIL of the main one; an isolated one has its own from 3.12 on, so
that several run in parallel. In each, `programs/use_every_object.py` uses everything there is, in
the same way as the main interpreter has come to rthread, and leaves threads that its end waits for.
"""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Iterator

from scenarios.run import MODES

from .proof import Figure, answer, at_most, exactly, none_of, proof

KINDS = ("legacy", "isolated")
# How many threads of the main interpreter make and end interpreters at a time.
SIDE_BY_SIDE = 2
# Fewer interpreters than this tell nothing about what each leaves behind.
ENOUGH_TO_WEIGH = 100
# What an ended interpreter may leave beyond stock's, in KiB: a module that stays is far more.
MOST_LEFT = 40.0
# Where stock leaves as much as this, it leaves the whole memory of an interpreter.
WHOLE = 1024.0

_module = "_interpreters" if sys.version_info >= (3, 13) else "_xxsubinterpreters"
MISSING = "" if importlib.util.find_spec(_module) else f"this interpreter has no {_module}"


@proof(
    "subinterpreters",
    "every object used in sub-interpreters that are made and ended, two at a time",
    long=200,
    short=4,
    unit="interpreters of a kind and a way to rthread",
    missing=MISSING,
)
def subinterpreters(count: int) -> Iterator[Figure]:
    # Before 3.12 threads have to be gone before the end of their interpreter.
    left_waiting = 2 * count if sys.version_info >= (3, 12) else 0
    for kind in KINDS:
        stock = 0.0
        if count >= ENOUGH_TO_WEIGH:
            stock = answer("stock", "subinterpreters", kind, count, SIDE_BY_SIDE)["grown"] / 1024
            yield Figure(f"{kind}, stock: each leaves behind", stock, "KiB")
        for mode in MODES:
            did = answer(mode, "subinterpreters", kind, count, SIDE_BY_SIDE)
            yield exactly(f"{kind}, {mode}: ran to the end", did["ran"], count)
            yield exactly(f"{kind}, {mode}: threads waited for", did["waited"], left_waiting)
            if count >= ENOUGH_TO_WEIGH:
                more = did["grown"] / 1024 - stock
                name = f"{kind}, {mode}: each leaves behind, more than on stock"
                if stock >= WHOLE:
                    yield Figure(name, more, "KiB")
                else:
                    yield at_most(name, more, MOST_LEFT, "KiB")


@proof(
    "crossings",
    "threads that go from interpreter to interpreter: their values, sentinels and items do not",
    long=300,
    short=5,
    unit="times each",
    missing=MISSING,
)
def crossings(count: int) -> Iterator[Figure]:
    done = 0
    for kind in KINDS:
        done += answer("install", "crossing", kind, count, timeout=1200)["crossings"]
    yield exactly("crossings", done, 7 * count * len(KINDS))


@proof(
    "start-at-finalization",
    "threads that objects want to start while their sub-interpreter ends: as on stock",
    long=200,
    short=3,
    unit="interpreters of a kind",
    missing=MISSING,
)
def start_at_finalization(count: int) -> Iterator[Figure]:
    different = 0
    for kind in KINDS:
        if kind == "legacy" and sys.version_info < (3, 12):
            # Stock starts a thread in an interpreter that is going away, with luck.
            continue
        ours = answer("install", "start_at_finalization", kind, count)
        different += ours != answer("stock", "start_at_finalization", kind, 1)
    yield none_of("answers that stock does not give", different)
