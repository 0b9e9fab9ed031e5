"""python -m benches: stock and rthread side by side on this interpreter."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from . import (
    apps,
    beside,
    company,
    contention,
    cost,
    machine,
    measure,
    memory,
    packages,
    programs,
    report,
)
from .operations import OPERATIONS, threads
from .rivals import RIVALS
from .rows import rows


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benches", description=__doc__)
    parser.add_argument("only", nargs="*", help="only rows with one of these in their name")
    parser.add_argument("--rounds", type=int, default=21, help="samples of each (%(default)s)")
    parser.add_argument(
        "--sample", type=float, default=0.02, help="seconds that a sample takes (%(default)s)"
    )
    parser.add_argument(
        "--beside",
        type=int,
        default=0,
        metavar="N",
        help="let N other processes compute for each processor (%(default)s)",
    )
    parser.add_argument("--json", type=Path, help="a file for the results")
    parser.add_argument("--markdown", action="store_true", help="print a table for the README")
    parser.add_argument("--table", type=Path, help="only print the results of this JSON file")
    parser.add_argument(
        "--check", action="store_true", help="exit status 1 if a row is below what is wanted"
    )
    options = parser.parse_args()
    if options.table:
        results = json.loads(options.table.read_text(encoding="utf-8"))
    else:
        results = _measure(options)
    if options.json:
        options.json.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    print(report.markdown(results) if options.markdown else report.text(results))
    return int(options.check and any(row.missed for row in rows(results)))


def _measure(options: argparse.Namespace) -> dict[str, Any]:
    others, notes = packages.find()
    bench = Bench(options.only, options.rounds, options.sample, [*RIVALS, *others])
    with beside.computing(options.beside):
        results = {
            "packages": notes,
            "operations": bench.operations(),
            "programs": bench.programs(),
            "apps": bench.apps(),
            "contention": bench.contention(),
            "company": bench.company(),
            "memory": bench.memory(),
            "sizes": bench.sizes(),
            "import": bench.imports(),
            "processor": bench.processor,
        }
    # At the end: what was imported may have turned the GIL on, and that is to be seen.
    return {"machine": {**machine.describe(), "beside": options.beside}, **results}


@dataclass(frozen=True)
class Bench:
    only: list[str]
    rounds: int
    sample_seconds: float
    everyone: Sequence[measure.Rival]
    # What the hand-offs cost in seconds of processors, by row and rival.
    processor: dict[str, dict[str, float]] = field(default_factory=dict)

    def operations(self) -> dict[str, dict[str, float]]:
        found = {}
        for operation in OPERATIONS:
            # With nobody but stock there is nothing to compare.
            if operation.runs_on(RIVALS[-1]) and self._begins(operation.name):
                timings = measure.compare(
                    operation, self.everyone, self.rounds, self.sample_seconds
                )
                found[operation.name] = {name: t.median for name, t in timings.items()}
                if operation in threads.OPERATIONS:
                    self._note_processor(operation.name, timings)
        return found

    def programs(self) -> dict[str, dict[str, float]]:
        """Those of `textbook.py`: what they need is in the rivals."""
        found = {}
        for name in programs.names(RIVALS[0]):
            if self._begins(name):
                program = programs.Program(name)
                timings = measure.compare(program, RIVALS, self.rounds, self.sample_seconds)
                found[name] = {rival: timing.median for rival, timing in timings.items()}
                self._note_processor(name, timings)
        return found

    def apps(self) -> dict[str, dict[str, float]]:
        rounds = max(1, self.rounds // 2)
        return {name: apps.compare(name, rounds) for name in apps.APPS if self._begins(name)}

    def _note_processor(self, name: str, timings: Mapping[str, measure.Timing]) -> None:
        self.processor[name] = {
            rival.name: timings[rival.name].median_processor for rival in RIVALS
        }

    def contention(self) -> dict[str, dict[str, dict[str, float]]]:
        found = {}
        # A race has to last for many hand-offs, by default for a second: so fewer rounds of it.
        rounds, seconds = max(1, self.rounds // 4), self.sample_seconds * 50
        for contest in contention.CONTESTS:
            if self._begins(contest.name):
                races = contention.compare(contest, RIVALS, rounds, seconds)
                found[contest.name] = {name: asdict(race) for name, race in races.items()}
        return found

    def company(self) -> dict[str, dict[str, float]]:
        if not self._begins(company.NAME):
            return {}
        rounds, seconds = max(1, self.rounds // 4), self.sample_seconds * 25
        found = company.compare(RIVALS, rounds, seconds)
        return {name: asdict(figures) for name, figures in found.items()}

    def memory(self) -> dict[str, dict[str, int]]:
        return {
            kind: found
            for kind in memory.KINDS
            if memory.KINDS[kind][0] in RIVALS[-1].names
            and self._begins(f"memory: {kind}")
            and (found := memory.compare(RIVALS, kind))
        }

    def sizes(self) -> dict[str, dict[str, int]]:
        return cost.sizes(RIVALS) if self._begins("sys.getsizeof") else {}

    def imports(self) -> dict[str, float]:
        return cost.import_seconds(self.rounds) if self._begins("import") else {}

    def _begins(self, name: str) -> bool:
        """Whether this is to be measured; says so, as it takes a while."""
        wanted = not self.only or any(part.lower() in name.lower() for part in self.only)
        if wanted:
            print(f"… {name}", file=sys.stderr, flush=True)
        return wanted


if __name__ == "__main__":
    sys.exit(main())
