"""The results of one interpreter as text for a terminal, or as Markdown."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .rows import RTHREAD, STOCK, Row, duration, rows

Table = list[list[str]]


def title(machine: dict[str, Any]) -> str:
    cpus = f"{machine['cpus']} CPUs"
    if machine.get("allowed", machine["cpus"]) != machine["cpus"]:
        cpus = f"{machine['allowed']} of {cpus}"
    if machine.get("beside"):
        cpus += f" with {machine['beside']} computing processes beside it on each"
    return (
        f"CPython {machine['python']} ({machine['gil']}; {machine['build']}; "
        f"{machine['compiler']}) on {machine['cpu']}, {cpus}, {machine['system']}"
    )


def table(found: list[Row]) -> Table:
    """Stock and rthread, and what is wanted."""
    header = ["", STOCK, RTHREAD, "ratio", "wanted", ""]
    return [header, *(_cells(row) for row in found)]


def _cells(row: Row) -> list[str]:
    ratio = f"{row.times[RTHREAD]:.2f}" if RTHREAD in row.times else ""
    figures = [row.cells.get(rival, "") for rival in (STOCK, RTHREAD)]
    return [row.name, *figures, ratio, row.wanted, "below" if row.missed else ""]


def processor_table(results: dict[str, Any]) -> Table:
    """What each hand-off costs in processor time, which may be more than the time that it takes."""
    lines = [["processor time", STOCK, RTHREAD, "ratio"]]
    for name, seconds in results.get("processor", {}).items():
        figures = [seconds[STOCK], seconds[RTHREAD]]
        ratio = f"{figures[0] / figures[1]:.2f}" if figures[1] else ""
        lines.append([name, *(duration(figure) for figure in figures), ratio])
    return lines


def packages_table(found: list[Row]) -> Table:
    """The packages, a line for each thing that one of them does as well."""
    lines = [["", "", "package", RTHREAD, STOCK, "rthread/package", "package/stock"]]
    for package in dict.fromkeys(other for row in found for other in row.others()):
        for row in found:
            if package in row.cells:
                figures = [row.cells.get(rival, "") for rival in (package, RTHREAD, STOCK)]
                lines.append([package, row.name, *figures, *_ratios(row, package)])
    return lines


def _ratios(row: Row, package: str) -> list[str]:
    """How many times as fast rthread is as the package, and the package as stock."""
    if STOCK not in row.cells:
        return ["", ""]
    of_package = row.times[package]
    ours = f"{row.times[RTHREAD] / of_package:.2f}" if RTHREAD in row.times else ""
    return [ours, f"{of_package:.2f}"]


def package_notes(results: dict[str, Any]) -> list[str]:
    """Which version of each package it was, or why there was none."""
    return [f"{package} {note}" for package, note in results.get("packages", {}).items()]


def summary(found: list[Row]) -> str:
    """Which rows are below what is wanted of them."""
    asked = [row for row in found if row.wanted and RTHREAD in row.cells]
    missed = [row for row in asked if row.missed]
    if not missed:
        return f"All {len(asked)} rows reach what is wanted."
    lines = [f"  {row.name}: {_reached(row)} of {row.wanted}" for row in missed]
    head = f"{len(missed)} of {len(asked)} rows are below what is wanted:"
    return "\n".join([head, *lines])


def _reached(row: Row) -> str:
    """What the wanted figure is to be read beside, in the same form."""
    if RTHREAD not in row.times:
        return row.cells[RTHREAD]
    _, comma, fairness = row.cells[RTHREAD].partition(", ")
    return f"{row.times[RTHREAD]:.2f}{comma}{fairness}"


def text(results: dict[str, Any]) -> str:
    return _document(results, _aligned)


def markdown(results: dict[str, Any]) -> str:
    return _document(results, markdown_table)


def _document(results: dict[str, Any], shown: Callable[[Table], str]) -> str:
    found = list(rows(results))
    parts = [title(results["machine"]), shown(table(found))]
    processor = processor_table(results)
    if len(processor) > 1:
        parts.append(shown(processor))
    others = packages_table(found)
    if len(others) > 1:
        parts.append(shown(others))
    parts.append("\n".join(package_notes(results)))
    parts.append(summary(found))
    return "\n\n".join(part for part in parts if part)


def _aligned(lines: Table) -> str:
    """Words to the left, figures to the right."""
    widths = [max(len(line[i]) for line in lines) for i in range(len(lines[0]))]
    words = _columns_of_words(lines[0])
    return "\n".join(
        "  ".join(
            cell.ljust(width) if place < words else cell.rjust(width)
            for place, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
    )


def markdown_table(lines: Table) -> str:
    header, *others = lines
    words = _columns_of_words(header)
    rule = ["---"] * words + ["---:"] * (len(header) - words)
    made = ["| " + " | ".join(line) + " |" for line in (header, rule, *others)]
    return "\n".join(made)


def _columns_of_words(header: list[str]) -> int:
    """The first columns say what it is, and need no heading."""
    return next(place for place, cell in enumerate(header) if cell)
