"""Times a statement for several rivals, round by round in turn, and gives medians.

Rivals alternate so that what the machine does meanwhile (clock rates, neighbours) meets all of
them. The statement is unrolled in a generated function, as timeit's is, so that hardly anything
but the statement is in the loop; its time per call is what remains.
"""

from __future__ import annotations

import gc
import itertools
import sys
import textwrap
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import median
from types import ModuleType
from typing import Any, Protocol, TypeVar

T = TypeVar("T")
Inner = Callable[..., float]

_TEMPLATE = """
def inner(rounds, timer, {takes}):
{setup}
    started = timer()
    for _ in rounds:
{body}
    elapsed = timer() - started
{teardown}
    return elapsed
"""


@dataclass(frozen=True)
class Way:
    """How a rival spells what others write differently; None is the operation's own spelling."""

    setup: str | None = None
    statement: str | None = None


@dataclass(frozen=True)
class Rival:
    """One implementation.

    Attributes:
        name: as the table has it.
        names: by which operations ask for what they work on.
        ways: the operations that it takes part in, where those are only some.
        textbook: makes the programs of `textbook.py` that run on it, if they can.
    """

    name: str
    names: Mapping[str, Any]
    ways: Mapping[str, Way] | None = None
    textbook: Callable[[], ModuleType] | None = None


@dataclass(frozen=True)
class Operation:
    """Something to time.

    Attributes:
        name: as the table has it.
        takes: the names that it needs of a rival, separated by commas. It is timed for each rival
            that has all of them.
        statement: what is timed.
        setup, teardown: run before and after, not timed.
        unroll: how many copies of the statement are in the loop.
    """

    name: str
    takes: str
    statement: str
    setup: str = "pass"
    teardown: str = "pass"
    unroll: int = 100

    def needs(self) -> list[str]:
        return [name.strip() for name in self.takes.split(",")]

    def runs_on(self, rival: Rival) -> bool:
        if rival.ways is not None and self.name not in rival.ways:
            return False
        return all(name in rival.names for name in self.needs())

    def spelt_for(self, rival: Rival) -> Operation:
        way = (rival.ways or {}).get(self.name, Way())
        return replace(
            self,
            setup=self.setup if way.setup is None else way.setup,
            statement=self.statement if way.statement is None else way.statement,
        )

    def compile_for(self, rival: Rival) -> Callable[[int], float]:
        """A function of a number of rounds that gives the seconds they took.

        Each rival has its own code object: CPython specialises code for the types it meets.
        """
        spelt = self.spelt_for(rival)
        statement = textwrap.dedent(spelt.statement).strip("\n")
        source = _TEMPLATE.format(
            takes=self.takes,
            setup=textwrap.indent(textwrap.dedent(spelt.setup), " " * 4),
            body=textwrap.indent("\n".join([statement] * self.unroll), " " * 8),
            teardown=textwrap.indent(textwrap.dedent(self.teardown), " " * 4),
        )
        namespace: dict[str, Any] = {}
        exec(compile(source, f"<{self.name}, {rival.name}>", "exec"), namespace)
        inner: Inner = namespace["inner"]
        given = [rival.names[name] for name in self.needs()]

        def run(rounds: int) -> float:
            return inner(itertools.repeat(None, rounds), time.perf_counter, *given)

        return run


class Timed(Protocol):
    """What `compare` needs of an operation, or of anything else that takes time."""

    @property
    def unroll(self) -> int: ...
    def runs_on(self, rival: Rival) -> bool: ...
    def compile_for(self, rival: Rival) -> Callable[[int], float]: ...


@dataclass(frozen=True)
class Timing:
    """The seconds of one call: a sample of each round, and their median.

    Attributes:
        samples: by the clock.
        processor: by all processors, for all threads of the process; with the start of the threads.
    """

    samples: Sequence[float]
    processor: Sequence[float]

    @property
    def median(self) -> float:
        return median(self.samples)

    @property
    def median_processor(self) -> float:
        return median(self.processor)


def compare(
    operation: Timed, rivals: Sequence[Rival], rounds: int, sample_seconds: float
) -> dict[str, Timing]:
    """Time an operation for every rival that has what it takes."""
    runs: dict[str, Callable[[int], float]] = {}
    loops: dict[str, int] = {}
    for rival in rivals:
        if not operation.runs_on(rival):
            continue
        run = operation.compile_for(rival)
        try:
            loops[rival.name] = _calibrate(run, sample_seconds)
        except Exception as error:
            # Another version of a package may lack what this one has. Ours has to work.
            if rival.ways is None:
                raise
            print(f"  {rival.name} cannot: {error!r}", file=sys.stderr)
        else:
            runs[rival.name] = run
    samples: dict[str, list[float]] = {name: [] for name in runs}
    processor: dict[str, list[float]] = {name: [] for name in runs}
    for name in alternate(list(runs), rounds):
        calls = loops[name] * operation.unroll
        begun = time.process_time()
        seconds = _without_collector(runs[name], loops[name])
        processor[name].append((time.process_time() - begun) / calls)
        samples[name].append(seconds / calls)
    return {name: Timing(samples[name], processor[name]) for name in runs}


def alternate(rivals: Sequence[T], rounds: int) -> Iterator[T]:
    """All of them in every round. Forth and back: none always comes right after the same other."""
    for number in range(rounds):
        yield from rivals[:: 1 if number % 2 else -1]


def _calibrate(run: Callable[[int], float], sample_seconds: float) -> int:
    """How many rounds make a sample. Also warms up: code is specialised in its first rounds."""
    loops = 1
    while True:
        seconds = _without_collector(run, loops)
        if seconds >= sample_seconds / 2:
            return max(1, round(loops * sample_seconds / seconds))
        loops *= 2


def _without_collector(run: Callable[[int], float], loops: int) -> float:
    gc.collect()
    gc.disable()
    try:
        return run(loops)
    finally:
        gc.enable()
