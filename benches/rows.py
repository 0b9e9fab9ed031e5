"""What was measured, as rows: for whatever shows it, in a terminal, in the README or as a chart."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from statistics import geometric_mean
from typing import Any

from . import company, targets

STOCK, RTHREAD = "stock", "rthread"


@dataclass(frozen=True)
class Row:
    """One thing that was measured.

    Attributes:
        name: what.
        cells: the figure of each rival, as text.
        times: how many times as good as stock each rival is, where there is a stock to compare.
        wanted: what rthread is to reach, as text; nothing if nothing was asked.
        missed: whether it does not.
        is_speed: whether it is about time, and belongs in the chart.
    """

    name: str
    cells: dict[str, str]
    times: dict[str, float] = field(default_factory=dict)
    wanted: str = ""
    missed: bool = False
    is_speed: bool = True

    def others(self) -> list[str]:
        """The packages that took part."""
        return [rival for rival in self.cells if rival not in (STOCK, RTHREAD)]


def duration(seconds: float) -> str:
    """In the unit in which it has one to three digits before the point."""
    for unit, scale in (("ns", 1e-9), ("µs", 1e-6), ("ms", 1e-3)):
        if seconds < scale * 999.5:
            return f"{seconds / scale:.3g} {unit}"
    return f"{seconds:.3g} s"


def count_bytes(size: float) -> str:
    return f"{size:.0f} B"


def rows(results: dict[str, Any]) -> Iterator[Row]:
    """A row for each thing that was measured, in the order in which it was."""
    machine = results["machine"]
    for name, seconds in results["operations"].items():
        yield _less_is_better(name, seconds, duration, machine)
    for name, seconds in results.get("programs", {}).items():
        # The chart has their mean: it has no room for so many.
        yield _less_is_better(name, seconds, duration, machine, is_speed=False)
    ratios = [of[STOCK] / of[RTHREAD] for of in results.get("programs", {}).values()]
    if len(ratios) > 1:
        yield _mean(ratios, machine)
    for name, seconds in results.get("apps", {}).items():
        yield _less_is_better(name, seconds, duration, machine)
    for name, found in results["contention"].items():
        yield _contended(name, found, machine)
    if results.get("company"):
        yield _company(results["company"], machine)
    for title, key in (("memory", "memory"), ("sys.getsizeof", "sizes")):
        for kind, sizes in results.get(key, {}).items():
            yield _less_is_better(f"{title}: {kind}", sizes, count_bytes, machine, is_speed=False)
    if results["import"]:
        yield Row(
            "import",
            {rival: duration(seconds) for rival, seconds in results["import"].items()},
            wanted=f"< {duration(targets.IMPORT_SECONDS)}",
            missed=results["import"][RTHREAD] >= targets.IMPORT_SECONDS,
            is_speed=False,
        )


def _less_is_better(
    name: str,
    values: dict[str, float],
    text: Callable[[float], str],
    machine: dict[str, Any],
    is_speed: bool = True,
) -> Row:
    times = {r: values[STOCK] / value for r, value in values.items()} if STOCK in values else {}
    wanted = targets.times(name, machine)
    return Row(
        name,
        {rival: text(value) for rival, value in values.items()},
        times,
        wanted=f"{wanted:g}" if wanted else "",
        missed=_missed(times, wanted),
        is_speed=is_speed,
    )


def _mean(ratios: list[float], machine: dict[str, Any]) -> Row:
    times = {RTHREAD: geometric_mean(ratios)}
    wanted = targets.geometric_mean(machine)
    return Row(
        # The same name for any number of them, so that interpreters share a row in a summary.
        "programs above: geometric mean",
        {RTHREAD: f"{len(ratios)} programs"},
        times,
        wanted=f"{wanted:g}",
        missed=_missed(times, wanted),
    )


def _company(found: dict[str, dict[str, float]], machine: dict[str, Any]) -> Row:
    times = {r: v["per_second"] / found[STOCK]["per_second"] for r, v in found.items()}
    wanted = targets.times(company.NAME, machine)
    too_slow = found[RTHREAD]["left"] < targets.COMPUTING_LEFT
    return Row(
        company.NAME,
        {r: f"{v['per_second']:.0f}/s, {v['left']:.0%} left" for r, v in found.items()},
        times,
        wanted=f"{wanted:g}, {targets.COMPUTING_LEFT:.0%} left",
        missed=_missed(times, wanted) or too_slow,
    )


def _contended(name: str, found: dict[str, dict[str, float]], machine: dict[str, Any]) -> Row:
    # The files of earlier versions have the number of threads here.
    name = f"one lock, {name} threads" if name.isdigit() else name
    times = {r: v["per_second"] / found[STOCK]["per_second"] for r, v in found.items()}
    wanted = targets.times(name, machine)
    be_fair = name in targets.FAIR
    unfair = be_fair and round(found[RTHREAD]["fairness"], 2) < targets.FAIRNESS
    return Row(
        name,
        {r: f"{v['per_second'] / 1e6:.1f} M/s, fair {v['fairness']:.2f}" for r, v in found.items()},
        times,
        wanted=f"{wanted:g}" + f", fair {targets.FAIRNESS}" * be_fair,
        missed=_missed(times, wanted) or unfair,
    )


def _missed(times: dict[str, float], wanted: float | None) -> bool:
    """By the two digits that the tables show."""
    return bool(wanted) and RTHREAD in times and round(times[RTHREAD], 2) < (wanted or 0)


def interpreter(machine: dict[str, Any]) -> str:
    """The interpreter and how it was built, in few words."""
    version, build = machine["python"], machine["build"]
    if machine["gil"] == "GIL":
        return f"{version} ({build})"
    return f"{version}t ({build})" if machine["gil"] == "free-threaded" else f"{version}t, GIL on"
