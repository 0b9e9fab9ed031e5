"""Tables of the results of several interpreters, for the README.

python -m benches.summary build/*/bench.json
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from .report import Table, markdown_table, package_notes
from .rows import RTHREAD, Row, interpreter, rows

Results = list[dict[str, Any]]
# The names and the cells of the rows of one interpreter.
Column = dict[str, str]


def load(paths: list[str]) -> Results:
    """The results, by version of the interpreter; free-threaded ones come last."""
    found = [json.loads(Path(path).read_text(encoding="utf-8")) for path in paths]
    return sorted(found, key=lambda result: _order(result["machine"]))


def _order(machine: dict[str, Any]) -> tuple[bool, list[int]]:
    numbers = str(machine["python"]).split(".")
    return machine["gil"] != "GIL", [int(n) if n.isdigit() else 0 for n in numbers]


def _table(results: Results, column: Callable[[list[Row]], Column]) -> Table:
    """A row for each name that any of the interpreters has, in the order of the first that does."""
    columns = [column(list(rows(result))) for result in results]
    names = dict.fromkeys(name for cells in columns for name in cells)
    header = ["", *(interpreter(result["machine"]) for result in results)]
    return [header, *([name, *(cells.get(name, "") for cells in columns)] for name in names)]


def _against_stock(found: list[Row]) -> Column:
    """How many times as good as stock, and rthread's figure."""
    cells = {}
    for row in found:
        if RTHREAD in row.cells:
            ours = row.cells[RTHREAD]
            has_ratio = RTHREAD in row.times
            cells[row.name] = f"**{row.times[RTHREAD]:.2f}** ({ours})" if has_ratio else ours
    return cells


def _against_packages(found: list[Row]) -> Column:
    """How many times as fast as a package that does the same, and the package's figure."""
    packages = dict.fromkeys(other for row in found for other in row.others())
    return {
        f"{package}, {row.name}": f"**{row.times[RTHREAD] / row.times[package]:.2f}** "
        f"({row.cells[package]})"
        for package in packages
        for row in found
        if package in row.times and RTHREAD in row.times
    }


def _notes(results: Results) -> Iterator[str]:
    """Which packages there were, and on which interpreters one was missing."""
    notes = [dict.fromkeys(package_notes(result)) for result in results]
    for note in dict.fromkeys(note for of_one in notes for note in of_one):
        where = [
            interpreter(result["machine"]).partition(" ")[0]
            for result, of_one in zip(results, notes, strict=True)
            if note in of_one
        ]
        yield note if len(where) == len(results) else f"{note} ({', '.join(where)})"


def markdown(results: Results) -> str:
    """Everything that the README shows of these results."""
    cpus = dict.fromkeys(
        f"{result['machine']['cpu']}, {result['machine']['cpus']} CPUs" for result in results
    )
    parts = [
        f"Measured on {'; '.join(cpus)}. Stock divided by rthread: more is better for rthread.",
        markdown_table(_table(results, _against_stock)),
    ]
    packages = _table(results, _against_packages)
    if len(packages) > 1:
        parts += [
            "Packages that do the same, divided by rthread; in brackets the package's figure.",
            markdown_table(packages),
            "Versions: " + "; ".join(_notes(results)) + ".",
        ]
    return "\n\n".join(parts)


if __name__ == "__main__":
    print(markdown(load(sys.argv[1:])))
