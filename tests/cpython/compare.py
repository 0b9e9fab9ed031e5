"""Judges a module's run on rthread by its run on stock."""

from __future__ import annotations

import fnmatch
from collections.abc import Callable
from dataclasses import dataclass, field

from .exceptions import left_out
from .run import (
    ABSENT,
    FAILED,
    HUNG,
    PASSED,
    RTHREAD,
    SKIPPED,
    STARTED,
    STOCK,
    Outcome,
    Run,
    process_of,
)
from .suites import Suite

# More failures than this are one thing broken, not many tests that wobble.
MOST_RERUNS = 12

# (module, pattern or nothing) -> the runs on both sides
Runner = Callable[[Suite, str], dict[str, Run]]


@dataclass
class Verdict:
    """What a module's two runs come to. The numbers are of tests; each is in just one of them.

    Attributes:
        passed: passed on both sides.
        failed: what is wrong, by test: passed on stock, or unknown there, and not on rthread.
        known: failed, and listed with a reason.
        both_failed: passed on stock at first, failed on rthread, and when run again alone failed
            on both in the same way.
        stock_failed: failed on stock, so not counted, with rthread's outcome for comparison.
        stock_skipped: skipped on stock, so not counted.
        wrong: what else is wrong: an entry in the list that is not true, or a side that did not
            run on what it was to run on.
        details: what there is to read about what failed: tracebacks, or a process's last words.
    """

    suite: Suite
    passed: list[str] = field(default_factory=list)
    failed: dict[str, str] = field(default_factory=dict)
    known: dict[str, str] = field(default_factory=dict)
    both_failed: dict[str, str] = field(default_factory=dict)
    stock_failed: dict[str, str] = field(default_factory=dict)
    stock_skipped: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    seconds: dict[str, float] = field(default_factory=dict)
    details: list[str] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        return not self.failed and not self.wrong


def judge(suite: Suite, known: dict[str, str], run: Runner) -> Verdict:
    """Run a module on both sides and compare, with failures run once more, alone."""
    runs = run(suite, "")
    if runs[STOCK].outcome(process_of(suite)).status == FAILED:
        # The judge itself fell over: what came after that would be judged by nothing.
        runs = {**runs, STOCK: run(suite, "")[STOCK]}
    verdict = Verdict(suite)
    verdict.seconds = {side: run.seconds for side, run in runs.items()}
    _check_in_use(verdict, runs)
    _check_left_out(verdict, runs)
    _sort(verdict, runs, known)
    _add_details(verdict, runs)
    _rerun(verdict, runs, run)
    return verdict


def _check_in_use(verdict: Verdict, runs: dict[str, Run]) -> None:
    for side, run in runs.items():
        if not run.in_use:
            verdict.wrong.append(f"{side}: the process did not even start to run the tests")
        for place, found in run.in_use.items():
            if found != side:
                verdict.wrong.append(f"{side}: {place}: {found}")


def _check_left_out(verdict: Verdict, runs: dict[str, Run]) -> None:
    for pattern in left_out(verdict.suite):
        for side, run in runs.items():
            for test in fnmatch.filter(run.outcomes, pattern):
                verdict.wrong.append(f"{side}: {test} was to be left out, and ran")


def _sort(verdict: Verdict, runs: dict[str, Run], known: dict[str, str]) -> None:
    stock, rthread = runs[STOCK], runs[RTHREAD]
    listed = {test for test in known if test.startswith(f"{verdict.suite.module}.")}
    for test in sorted(stock.outcomes.keys() | rthread.outcomes.keys() | listed):
        before, after = stock.outcome(test), rthread.outcome(test)
        reason = known.get(test)
        if reason and (before.status != PASSED or after.status == PASSED):
            verdict.wrong.append(f"{test} is listed: stock {before}, rthread {after}")
        if before.status == ABSENT:
            # Not a test of the module: an error in a class's set-up, or a module not imported.
            if after.status in (FAILED, STARTED):
                verdict.failed[test] = f"{after}, unknown on stock"
        elif before.status in (FAILED, STARTED):
            verdict.stock_failed[test] = f"stock {before}, rthread {after}"
        elif before.status != PASSED:
            verdict.stock_skipped.append(test)
        elif after.status == PASSED:
            # That a process ended well is no test of its own.
            verdict.passed += [test] * (test != process_of(verdict.suite))
        elif reason:
            verdict.known[test] = reason
        else:
            verdict.failed[test] = str(after)


def _add_details(verdict: Verdict, runs: dict[str, Run]) -> None:
    ours = runs[RTHREAD]
    verdict.details += [ours.outcome(test).trace for test in verdict.failed]
    if verdict.wrong or process_of(verdict.suite) in verdict.failed:
        for side, run in runs.items():
            verdict.details.append(f"the last output on {side}:\n{run.output[-4000:]}")


def _rerun(verdict: Verdict, runs: dict[str, Run], run: Runner) -> None:
    """Run failures again, alone, on both sides, to tell apart what always fails.

    That does not excuse a failure, unless stock then fails in the same way.
    """
    rthread = runs[RTHREAD]
    whole = process_of(verdict.suite)
    tests = [
        test
        for test in verdict.failed
        if rthread.outcome(test).status in (FAILED, STARTED, SKIPPED)
        and rthread.outcome(test).kind != HUNG
        # "setUpClass (…)" and the like have no name to be found by.
        and (test == whole or " " not in test)
    ]
    if len(tests) > MOST_RERUNS:
        return
    for test in tests:
        again = run(verdict.suite, "" if test == whole else test)
        stock, ours = again[STOCK].outcome(test), again[RTHREAD].outcome(test)
        said = f"{verdict.failed[test]}; alone: stock {stock}, rthread {ours}"
        if _same_failure(stock, rthread.outcome(test)):
            del verdict.failed[test]
            verdict.both_failed[test] = said
        else:
            verdict.failed[test] = said


def _same_failure(stock: Outcome, rthread: Outcome) -> bool:
    return stock.status == FAILED and (stock.status, stock.kind) == (rthread.status, rthread.kind)
