"""The results as text for a terminal, and as Markdown for the README."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

STOCK, RTHREAD = "stock", "rthread"


@dataclass(frozen=True)
class Row:
    """A line of a table: a value of each rival, and how many times better than stock it is."""

    name: str
    cells: dict[str, str]
    times: dict[str, float]


def time_text(seconds: float) -> str:
    for unit, size in (("s", 1.0), ("ms", 1e-3), ("µs", 1e-6)):
        if seconds >= size:
            return f"{seconds / size:.3g} {unit}"
    return f"{seconds / 1e-9:.1f} ns"


def _less_is_better(name: str, values: dict[str, float], text: Any) -> Row:
    cells = {rival: text(value) for rival, value in values.items()}
    times = {rival: values[STOCK] / value for rival, value in values.items() if STOCK in values}
    return Row(name, cells, times)


def rows(results: dict[str, Any]) -> Iterator[Row]:
    """A row for each thing that was measured, in the order of the JSON file."""
    for name, timings in results["operations"].items():
        yield _less_is_better(name, timings, time_text)
    for kind, sizes in results["sizes"].items():
        yield _less_is_better(f"sys.getsizeof: {kind}", sizes, lambda size: f"{size} B")
    if results["import"]:
        yield Row("import", {k: time_text(v) for k, v in results["import"].items()}, {})
    for threads, found in results["contention"].items():
        yield Row(
            f"one lock, {threads} threads: millions a second (Jain's fairness)",
            {k: f"{v['per_second'] / 1e6:.2f} ({v['fairness']:.2f})" for k, v in found.items()},
            {k: v["per_second"] / found[STOCK]["per_second"] for k, v in found.items()},
        )


def title(machine: dict[str, Any]) -> str:
    return (
        f"CPython {machine['python']} ({machine['gil']}; {machine['build']}; "
        f"{machine['compiler']}) on {machine['cpu']}, {machine['cpus']} CPUs, {machine['system']}"
    )


def _cells(row: Row, rivals: list[str]) -> list[str]:
    """Each rival's value, and after all but stock's how many times as good that is."""
    cells = [row.name]
    for rival in rivals:
        cells.append(row.cells.get(rival, ""))
        if rival != STOCK:
            cells.append(f"{row.times[rival]:.2f}" if rival in row.times else "")
    return cells


def table(results: dict[str, Any]) -> list[list[str]]:
    """The header and the rows. Rivals beside stock and rthread get a pair of columns each."""
    found = list(rows(results))
    rivals = list(dict.fromkeys(rival for row in found for rival in row.cells))
    header = [""]
    for rival in rivals:
        header += [rival] if rival == STOCK else [rival, "ratio"]
    return [header, *(_cells(row, rivals) for row in found)]


def text(results: dict[str, Any]) -> str:
    lines = table(results)
    widths = [max(len(line[i]) for line in lines) for i in range(len(lines[0]))]
    return title(results["machine"]) + "\n\n" + "\n".join(_aligned(line, widths) for line in lines)


def _aligned(line: list[str], widths: list[int]) -> str:
    first, *others = line
    cells = [cell.rjust(width) for cell, width in zip(others, widths[1:], strict=True)]
    return "  ".join([first.ljust(widths[0]), *cells]).rstrip()


def markdown(results: dict[str, Any]) -> str:
    header, *lines = table(results)
    rule = ["---"] + ["---:"] * (len(header) - 1)
    made = ["| " + " | ".join(line) + " |" for line in (header, rule, *lines)]
    return f"{title(results['machine'])}\n\n" + "\n".join(made)
