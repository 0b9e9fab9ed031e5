"""python -m tests.cpython: CPython's own thread tests on stock and on rthread.

Ends with a row of the README's table; the exit status is 1 if anything is wrong.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from . import report
from .compare import judge
from .exceptions import reasons
from .run import run_both
from .suites import suites


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.cpython", description=__doc__)
    parser.add_argument("module", nargs="*", help="only these, as test_threading; default: all")
    parser.add_argument("--results", type=Path, help="a folder for the numbers as JSON")
    parser.add_argument("--table", type=Path, help="only print the table of the results in here")
    options = parser.parse_args()
    if options.table:
        print(report.table(options.table), end="")
        return 0
    return _run(options.module, options.results)


def _run(names: list[str], results: Path | None) -> int:
    chosen = [
        suite
        for suite in suites()
        if not names or suite.name in names or suite.name.split(".")[0] in names
    ]
    if not chosen:
        print(f"no such module: {' '.join(names)}", file=sys.stderr)
        return 2
    missing = [suite for suite in chosen if suite.missing]
    for suite in missing:
        print(f"skip {suite.name}: {suite.missing}")
    verdicts = []
    for suite in chosen:
        if not suite.missing:
            verdicts.append(judge(suite, reasons(), run_both))
            print(report.describe(verdicts[-1]), flush=True)
            if not verdicts[-1].ok:
                print(report.details(verdicts[-1]), flush=True)
    result = report.summary(verdicts, missing)
    if results:
        report.write(result, results)
    print("\n" + report.HEADER + report.row(result), end="")
    return 0 if all(verdict.ok for verdict in verdicts) else 1


if __name__ == "__main__":
    sys.exit(main())
