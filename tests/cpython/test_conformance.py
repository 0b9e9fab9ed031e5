"""CPython's own thread tests pass on rthread wherever they pass on the stock modules."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from . import report
from .compare import Verdict, judge
from .exceptions import reasons
from .run import WATCHDOG_SECONDS, run_both
from .suites import Suite, suites

SUITES = suites()


@pytest.fixture(scope="module")
def verdicts() -> Iterator[list[Verdict]]:
    """What has been found so far; the whole goes where `make test` keeps its results."""
    found: list[Verdict] = []
    yield found
    missing = [suite for suite in SUITES if suite.missing]
    folder = os.environ.get("RTHREAD_RESULTS")
    if folder and len(found) + len(missing) == len(SUITES):
        report.write(report.summary(found, missing), Path(folder))


# A run and, for failures, some more.
@pytest.mark.watchdog(4 * WATCHDOG_SECONDS)
@pytest.mark.parametrize("suite", SUITES, ids=lambda suite: suite.name)
def test_passes_what_stock_passes(suite: Suite, verdicts: list[Verdict]) -> None:
    if suite.missing:
        pytest.skip(suite.missing)
    verdict = judge(suite, reasons(), run_both)
    verdicts.append(verdict)
    print(report.describe(verdict))
    assert verdict.ok, report.describe(verdict) + "\n" + report.details(verdict)
