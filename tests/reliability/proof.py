"""A proof: something tried many times over, and the figures that it comes to.

Each module of this folder that is listed in `proofs.py` holds one or several. A proof is a function
that is told how often to try and yields its figures; one that is not `ok`, or an exception, is a
failure. It runs what may hang or die in processes of their own, under a watchdog.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from typing import Any

from scenarios.run import Outcome
from scenarios.run import run as run_case

from .paths import PROGRAMS


@dataclass(frozen=True)
class Figure:
    """A number that a proof comes to.

    Attributes:
        name: what was counted or measured, as "exits" or "late by, 99th percentile".
        value: how many, or how much.
        unit: as "ms", or nothing for a count.
        ok: whether it is what was promised.
        wanted: the promise in words, as "0" or "at most 50"; nothing where there is none.
    """

    name: str
    value: float
    unit: str = ""
    ok: bool = True
    wanted: str = ""

    def __str__(self) -> str:
        words = f"{self.name}: {self.value:,.6g}{' ' * bool(self.unit)}{self.unit}"
        if self.wanted:
            words += f" (wanted: {self.wanted})"
        return words if self.ok else f"{words} - FAILED"


Run = Callable[[int], Iterator[Figure]]


@dataclass(frozen=True)
class Proof:
    """Something to try.

    Attributes:
        name: as it is chosen on the command line.
        what: what it shows, in a few words.
        long, short: how many times (or seconds) for the whole proof, and for its short form in CI.
        unit: what is counted by these.
        run: tries that often.
        missing: why it cannot be had on this interpreter or system; nothing if it can.
    """

    name: str
    what: str
    long: int
    short: int
    unit: str
    run: Run
    missing: str = ""


def proof(
    name: str, what: str, *, long: int, short: int, unit: str = "times", missing: str = ""
) -> Callable[[Run], Proof]:
    """Make a proof of a function that takes a number and yields figures."""

    def make(run: Run) -> Proof:
        return Proof(name, what, long, short, unit, run, missing)

    return make


def none_of(name: str, value: float, unit: str = "") -> Figure:
    """A figure that has to be zero."""
    return Figure(name, value, unit, value == 0, "0")


def at_most(name: str, value: float, limit: float, unit: str = "") -> Figure:
    """A figure with an upper limit."""
    return Figure(name, value, unit, value <= limit, f"at most {limit:g}")


def exactly(name: str, value: float, wanted: float, unit: str = "") -> Figure:
    """A figure that has to be just this."""
    return Figure(name, value, unit, value == wanted, f"{wanted:g}")


def run_program(mode: str, program: str, *args: object, timeout: float = 300.0) -> Outcome:
    """Run a script of `programs/` in a process of its own, as `scenarios.run.run` does a case.

    Args:
        mode: "stock" or one of `scenarios.run.MODES`.
        program: its name, without `.py`.
        args: its arguments.
        timeout: seconds after which it counts as hung.

    Raises:
        AssertionError: when it hangs. The message has the stacks of all its threads.
    """
    return run_case(mode, str(PROGRAMS / program), *map(str, args), timeout=timeout)


def answer(mode: str, program: str, *args: object, timeout: float = 300.0) -> Any:
    """Run a script of `programs/` that has to end well, and give what its last line says in JSON.

    Raises:
        AssertionError: when it hangs, fails, or has written to standard error.
    """
    outcome = run_program(mode, program, *args, timeout=timeout)
    assert (outcome.status, outcome.err) == (0, ""), f"{mode} {program} {args}: {outcome}"
    return json.loads(outcome.lines[-1])


def as_json(figures: list[Figure]) -> list[dict[str, Any]]:
    return [asdict(figure) for figure in figures]
