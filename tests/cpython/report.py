"""What a run says: text for a reader, JSON for the tables, Markdown rows for the README."""

from __future__ import annotations

import json
import platform
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from .compare import Verdict
from .exceptions import left_out
from .run import RTHREAD, STOCK
from .suites import FREE_THREADED, Suite

FILE = "conformance.json"
HEADER = (
    "| CPython | pass on stock | of these pass on rthread | fail | known | "
    "fail on stock | skipped on stock | modules |\n"
    "|---|---:|---:|---:|---:|---:|---:|---|\n"
)


def interpreter() -> str:
    """Which interpreter this is, told apart from others of its version."""
    build = " free-threaded" if FREE_THREADED else ""
    by = " (Debian)" if "/usr/bin" in sys._base_executable else ""  # type: ignore[attr-defined]
    return f"{platform.python_version()}{build}{by}"


def describe(verdict: Verdict) -> str:
    """One line that says how a module did, and one for each thing that a reader should know."""
    counted = len(verdict.passed) + len(verdict.failed) + len(verdict.known)
    seconds = verdict.seconds
    lines = [
        f"{'ok  ' if verdict.ok else 'FAIL'} {verdict.suite.name}: "
        f"{len(verdict.passed)} of {counted} that pass on stock pass on rthread "
        f"({len(verdict.stock_skipped)} skipped on stock; "
        f"{seconds[STOCK]:.0f} s and {seconds[RTHREAD]:.0f} s)"
    ]
    lines += [f"     wrong: {what}" for what in verdict.wrong]
    lines += [f"     fails: {test}: {why}" for test, why in verdict.failed.items()]
    lines += [f"     known: {test}: {why}" for test, why in verdict.known.items()]
    lines += [f"     fails on both: {test}: {why}" for test, why in verdict.both_failed.items()]
    lines += [f"     left out: {test}: {why}" for test, why in left_out(verdict.suite).items()]
    lines += [f"     not counted: {test}: {why}" for test, why in verdict.stock_failed.items()]
    return "\n".join(lines)


def details(verdict: Verdict) -> str:
    """What there is to read about a module's failures."""
    return "\n".join(detail for detail in verdict.details if detail)


def summary(verdicts: Iterable[Verdict], missing: Iterable[Suite]) -> dict[str, Any]:
    """The numbers of a whole run on this interpreter, as they go into its JSON file."""
    verdicts = list(verdicts)
    return {
        "interpreter": interpreter(),
        "version": list(sys.version_info[:3]),
        "passed": sum(len(verdict.passed) for verdict in verdicts),
        "failed": _merged(verdict.failed for verdict in verdicts),
        "known": _merged(verdict.known for verdict in verdicts),
        "both_failed": _merged(verdict.both_failed for verdict in verdicts),
        "stock_failed": _merged(verdict.stock_failed for verdict in verdicts),
        "stock_skipped": sum(len(verdict.stock_skipped) for verdict in verdicts),
        "left_out": _merged(left_out(verdict.suite) for verdict in verdicts),
        "wrong": [what for verdict in verdicts for what in verdict.wrong],
        "modules": len(verdicts),
        "missing": {suite.name: suite.missing for suite in missing},
    }


def _merged(parts: Iterable[dict[str, str]]) -> dict[str, str]:
    return {test: why for part in parts for test, why in part.items()}


def row(result: dict[str, Any]) -> str:
    """A result as a row of the Markdown table under `HEADER`."""
    passed, failed, known = result["passed"], len(result["failed"]), len(result["known"])
    missing = ", ".join(result["missing"])
    modules = str(result["modules"]) + (f" (not installed: {missing})" if missing else "")
    on_stock = len(result["stock_failed"]) + len(result["both_failed"])
    cells = [result["interpreter"], passed + failed + known, passed, failed, known]
    cells += [on_stock, result["stock_skipped"], modules]
    return "| " + " | ".join(str(cell) for cell in cells) + " |\n"


def write(result: dict[str, Any], folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    folder.joinpath(FILE).write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


def table(folder: Path) -> str:
    """The Markdown table of all results found under a folder, by version."""
    results = [json.loads(file.read_text(encoding="utf-8")) for file in folder.rglob(FILE)]
    results.sort(key=lambda result: (result["version"], result["interpreter"]))
    return HEADER + "".join(row(result) for result in results)
