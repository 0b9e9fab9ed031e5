"""table.py LOGS: the last words of .ci/run, from what its steps left behind.

Exit status 1 if anything failed.
"""

from __future__ import annotations

import re
import sys
import xml.etree.ElementTree as ET
from dataclasses import dataclass
from pathlib import Path


@dataclass
class Count:
    passed: int = 0
    failed: int = 0
    skipped: int = 0

    def __add__(self, other: Count) -> Count:
        return Count(
            self.passed + other.passed, self.failed + other.failed, self.skipped + other.skipped
        )


def count(step: str, failed: bool, logs: Path) -> Count:
    """What a step's tests came to, from pytest's report or from what cargo printed.

    A step that counts nothing is a check of its own. One that failed, although none of its tests
    did, failed before or after them, and that counts too.
    """
    report = logs / step / "tests.xml"
    if report.exists():
        found = _count_pytest(report)
    else:
        log = (logs / f"{step}.log").read_text(encoding="utf-8", errors="replace")
        found = _count_cargo(log) or Count(passed=int(not failed))
    return found + Count(failed=1) if failed and not found.failed else found


def _count_pytest(report: Path) -> Count:
    total = Count()
    for suite in ET.parse(report).iter("testsuite"):
        tests, failures, errors, skipped = (
            int(suite.get(name, 0)) for name in ("tests", "failures", "errors", "skipped")
        )
        total += Count(tests - failures - errors - skipped, failures + errors, skipped)
    return total


def _count_cargo(log: str) -> Count | None:
    counts = re.findall(
        r"^test result: .*?(\d+) passed; (\d+) failed; (\d+) ignored", log, re.MULTILINE
    )
    return sum((Count(*map(int, numbers)) for numbers in counts), Count()) if counts else None


def main(logs: Path) -> int:
    failed_steps = set((logs / "failed").read_text(encoding="utf-8").split("\n"))
    total = Count()
    print(f"{'interpreter':20} {'passed':>7} {'failed':>7} {'skipped':>7}")
    for step in dict.fromkeys((logs / "steps").read_text(encoding="utf-8").split()):
        found = count(step, step in failed_steps, logs)
        print(f"{step:20} {found.passed:7} {found.failed:7} {found.skipped:7}")
        total += found
    print(f"\n{total.passed} passed, {total.failed} failed, {total.skipped} skipped")
    return 1 if total.failed else 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
