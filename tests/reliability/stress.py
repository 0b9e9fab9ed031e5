"""Threads that use everything at once: time-outs at random, signals and garbage collections."""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from collections.abc import Iterator
from typing import Any

from .proof import Figure, none_of, proof, run_program

MODES = ("install", "shim")
# Try the same again: what is done depends on it, and when it is done on the machine.
SEED = "RTHREAD_SEED"
# A wake-up is lost after a minute of sleep; whatever ends at all has ended after so many seconds.
HUNG = 240.0
SHORT = 4
# Up to 3.12 a SimpleQueue.get that a signal interrupts just when its time is up waits for ever:
# what is left of the time is then less than zero, which stands for no limit.
STOCK_WAITS_FOR_EVER = sys.version_info < (3, 13)


def run_stress(mode: str, seconds: float, seed: int) -> Any:
    """
    Raises:
        AssertionError: it hung, or ended before its time. The message has the seed.
    """
    again = f"(again: {SEED}={seed}, {mode})"
    try:
        outcome = run_program(mode, "stress", seconds, seed, timeout=seconds + HUNG)
    except AssertionError as error:
        raise AssertionError(f"{error}\n{again}") from None
    assert (outcome.status, outcome.err) == (0, ""), f"{mode} stress: {outcome} {again}"
    found = json.loads(outcome.lines[-1])
    for what in found["lost"]:
        print(f"    {mode}: wake-up lost: {what} {again}", flush=True)
    for what in found["wrong"]:
        print(f"    {mode}: {what} {again}", flush=True)
    return found


@proof(
    "stress",
    "threads that use everything at once, amid signals and collections",
    long=60,
    short=SHORT,
    unit="seconds",
    missing="" if hasattr(signal, "setitimer") else "the OS has no interval timers",
)
def stress(count: int) -> Iterator[Figure]:
    seed = int(os.environ.get(SEED) or time.time_ns() % 1_000_000)
    found = [run_stress(mode, count / len(MODES), seed) for mode in MODES]
    yield Figure("operations done", _sum(found, "operations"))
    yield Figure("rounds, at whose end all counts are looked at", _sum(found, "rounds"))
    yield Figure("signals handled", _sum(found, "signals"))
    yield Figure("garbage collections forced", _sum(found, "collections"))
    yield Figure("looks into objects in use", _sum(found, "materialized"))
    yield Figure("threads that the machine did not have", _sum(found, "refused"))
    yield none_of("wake-ups lost", sum(len(each["lost"]) for each in found))
    yield none_of("counts that do not add up", sum(len(each["wrong"]) for each in found))
    # What stock fails is a wrong test. At length only: stock's own bugs are not CI's business.
    if count > SHORT and not STOCK_WAITS_FOR_EVER:
        stock = run_stress("stock", count / 20, seed)
        yield none_of("wake-ups lost and wrong counts, stock", len(stock["lost"] + stock["wrong"]))


def _sum(found: list[Any], what: str) -> int:
    return sum(each[what] for each in found)
