"""python -m benches: stock and rthread side by side on this interpreter."""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from . import contention, cost, machine, measure, report
from .operations import OPERATIONS, RIVALS


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benches", description=__doc__)
    parser.add_argument("only", nargs="*", help="only rows with one of these in their name")
    parser.add_argument("--rounds", type=int, default=21, help="samples of each (%(default)s)")
    parser.add_argument(
        "--sample", type=float, default=0.02, help="seconds that a sample takes (%(default)s)"
    )
    parser.add_argument("--json", type=Path, help="a file for the results")
    parser.add_argument("--markdown", action="store_true", help="print a table for the README")
    parser.add_argument("--table", type=Path, help="only print the results of this JSON file")
    options = parser.parse_args()
    if options.table:
        results = json.loads(options.table.read_text(encoding="utf-8"))
    else:
        results = _measure(options)
    if options.json:
        options.json.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    print(report.markdown(results) if options.markdown else report.text(results))
    return 0


def _measure(options: argparse.Namespace) -> dict[str, Any]:
    bench = Bench(options.only, options.rounds, options.sample)
    return {
        "machine": machine.describe(),
        "operations": bench.operations(),
        "sizes": bench.sizes(),
        "import": bench.imports(),
        "contention": bench.contention(),
    }


@dataclass(frozen=True)
class Bench:
    only: list[str]
    rounds: int
    sample_seconds: float

    def operations(self) -> dict[str, dict[str, float]]:
        found = {}
        for operation in OPERATIONS:
            if self._begins(operation.name):
                timings = measure.compare(operation, RIVALS, self.rounds, self.sample_seconds)
                found[operation.name] = {name: t.median for name, t in timings.items()}
        return found

    def sizes(self) -> dict[str, dict[str, int]]:
        return cost.sizes(RIVALS) if self._begins("size") else {}

    def imports(self) -> dict[str, float]:
        return cost.import_seconds(self.rounds) if self._begins("import") else {}

    def contention(self) -> dict[str, dict[str, dict[str, float]]]:
        found = {}
        # A race has to last for many hand-offs, so there are fewer rounds of it.
        rounds, seconds = max(1, self.rounds // 4), self.sample_seconds * 20
        for threads in contention.THREADS:
            if self._begins(f"one lock, {threads} threads"):
                races = contention.compare(RIVALS, threads, rounds, seconds)
                found[str(threads)] = {name: asdict(race) for name, race in races.items()}
        return found

    def _begins(self, name: str) -> bool:
        """Whether this is to be measured; says so, as it takes a while."""
        wanted = not self.only or any(part in name for part in self.only)
        if wanted:
            print(f"… {name}", file=sys.stderr, flush=True)
        return wanted


if __name__ == "__main__":
    sys.exit(main())
