"""The judge of the two sides, tried on runs that are made up: it has to notice what it is for."""

from __future__ import annotations

import pytest

from .compare import MOST_RERUNS, Verdict, judge
from .exceptions import Unstable
from .run import FAILED, PASSED, RTHREAD, SKIPPED, STARTED, STOCK, Outcome, Run, process_of
from .suites import Suite

SUITE = Suite("test_made_up")
TEST = "test.test_made_up.Tests.test_it"
BROKEN = Outcome(FAILED, "AssertionError", "1 != 2", "Traceback: 1 != 2")


def run_of(side: str, whole: Outcome | None = None, /, **tests: Outcome | str) -> Run:
    """A run of tests by their last names, on its own side, in a process that ended well."""
    outcomes = {
        f"test.test_made_up.Tests.{name}": Outcome(it) if isinstance(it, str) else it
        for name, it in tests.items()
    }
    outcomes[process_of(SUITE)] = whole or Outcome(PASSED)
    return Run(outcomes, in_use={"in its process, before": side, "in its process, after": side})


def judged(
    stock: Run, rthread: Run, *again: tuple[Run, Run], known: dict[str, str] | None = None
) -> Verdict:
    """The verdict on two runs, and what they have to say when run again."""
    calls = [(stock, rthread), *again]
    asked: list[str] = []

    def run(_: Suite, pattern: str) -> dict[str, Run]:
        asked.append(pattern)
        return dict(zip((STOCK, RTHREAD), calls[len(asked) - 1], strict=True))

    verdict = judge(SUITE, known or {}, run)
    assert len(asked) == len(calls)
    return verdict


def test_counts_what_passes_on_both() -> None:
    tests = {"test_it": PASSED, "test_that": PASSED}
    verdict = judged(run_of(STOCK, None, **tests), run_of(RTHREAD, None, **tests))
    assert (verdict.ok, len(verdict.passed)) == (True, 2)


@pytest.mark.parametrize("status", [FAILED, SKIPPED, STARTED])
def test_must_pass_where_stock_passes(status: str) -> None:
    stock, ours = run_of(STOCK, test_it=PASSED), run_of(RTHREAD, test_it=status)
    verdict = judged(stock, ours, (stock, ours))
    assert (verdict.ok, list(verdict.failed)) == (False, [TEST])


def test_must_run_what_passes_on_stock() -> None:
    verdict = judged(
        run_of(STOCK, test_it=PASSED, test_that=PASSED), run_of(RTHREAD, test_that=PASSED)
    )
    assert (verdict.ok, list(verdict.failed)) == (False, [TEST])


def test_an_error_that_stock_does_not_have_is_a_failure() -> None:
    ours = run_of(RTHREAD)
    ours.outcomes["setUpClass (test.test_made_up.Tests)"] = BROKEN
    assert not judged(run_of(STOCK), ours).ok


def test_shows_the_traceback_of_a_failure() -> None:
    stock, ours = run_of(STOCK, test_it=PASSED), run_of(RTHREAD, test_it=BROKEN)
    assert BROKEN.trace in judged(stock, ours, (stock, ours)).details


@pytest.mark.parametrize("status", [FAILED, SKIPPED])
@pytest.mark.parametrize("ours", [PASSED, FAILED])
def test_does_not_count_what_does_not_pass_on_stock(status: str, ours: str) -> None:
    verdict = judged(run_of(STOCK, test_it=status), run_of(RTHREAD, test_it=ours))
    assert verdict.ok
    assert TEST in [*verdict.stock_failed, *verdict.stock_skipped]


def test_a_failure_that_goes_away_alone_stays_one() -> None:
    fine = run_of(STOCK, test_it=PASSED)
    again = (fine, run_of(RTHREAD, test_it=PASSED))
    verdict = judged(fine, run_of(RTHREAD, test_it=BROKEN), again)
    assert not verdict.ok
    assert "alone: stock passed, rthread passed" in verdict.failed[TEST]


def test_a_failure_that_stock_has_too_when_run_again_is_told_and_not_counted() -> None:
    broken = run_of(RTHREAD, test_it=BROKEN)
    again = (run_of(STOCK, test_it=BROKEN), broken)
    verdict = judged(run_of(STOCK, test_it=PASSED), broken, again)
    assert (verdict.ok, list(verdict.both_failed)) == (True, [TEST])


def test_a_different_failure_of_stock_excuses_nothing() -> None:
    broken = run_of(RTHREAD, test_it=BROKEN)
    other = run_of(STOCK, test_it=Outcome(FAILED, "OSError", "no space"))
    assert not judged(run_of(STOCK, test_it=PASSED), broken, (other, broken)).ok


def test_a_process_that_dies_fails_the_run() -> None:
    died = Outcome(FAILED, "died", "SIGSEGV")
    stock, ours = run_of(STOCK, test_it=PASSED), run_of(RTHREAD, died, test_it=PASSED)
    verdict = judged(stock, ours, (stock, ours))
    assert (verdict.ok, list(verdict.failed)) == (False, [process_of(SUITE)])


def test_a_broken_module_is_not_run_test_by_test() -> None:
    names = [f"test_{number}" for number in range(MOST_RERUNS + 1)]
    stock = run_of(STOCK, None, **dict.fromkeys(names, PASSED))
    verdict = judged(stock, run_of(RTHREAD, None, **dict.fromkeys(names, BROKEN)))
    assert len(verdict.failed) == len(names)


def test_a_listed_failure_is_not_one() -> None:
    stock, ours = run_of(STOCK, test_it=PASSED), run_of(RTHREAD, test_it=BROKEN)
    verdict = judged(stock, ours, known={TEST: "a reason"})
    assert (verdict.ok, verdict.known) == (True, {TEST: "a reason"})


@pytest.mark.parametrize(
    ("stock", "rthread"),
    [
        pytest.param({"test_it": PASSED}, {"test_it": PASSED}, id="passes"),
        pytest.param({"test_it": FAILED}, {"test_it": FAILED}, id="fails on stock"),
        pytest.param({}, {}, id="there is no such test"),
    ],
)
def test_a_listed_test_that_is_no_exception_fails_the_run(
    stock: dict[str, Outcome | str], rthread: dict[str, Outcome | str]
) -> None:
    verdict = judged(
        run_of(STOCK, None, **stock), run_of(RTHREAD, None, **rthread), known={TEST: "a reason"}
    )
    assert not verdict.ok


def test_a_process_that_says_nothing_of_its_thread_module_fails_the_run() -> None:
    ours = run_of(RTHREAD, test_it=PASSED)
    ours.in_use.clear()
    assert not judged(run_of(STOCK, test_it=PASSED), ours).ok


@pytest.mark.parametrize("side", [STOCK, RTHREAD])
def test_a_run_on_the_wrong_module_fails(side: str) -> None:
    runs = {one: run_of(one, test_it=PASSED) for one in (STOCK, RTHREAD)}
    runs[side].in_use["in a child process"] = RTHREAD if side == STOCK else STOCK
    assert not judged(runs[STOCK], runs[RTHREAD]).ok


def test_stock_is_run_again_where_its_process_fails() -> None:
    died = run_of(STOCK, Outcome(FAILED, "died", "SIGSEGV"))
    tests = {"test_it": PASSED}
    again = (run_of(STOCK, None, **tests), run_of(RTHREAD, None, **tests))
    verdict = judged(died, run_of(RTHREAD, None, **tests), again)
    assert (verdict.ok, verdict.passed) == (True, [TEST])


@pytest.mark.parametrize(
    ("version", "applies"),
    [
        ((3, 10, 13), True),
        ((3, 12, 7), True),
        ((3, 12, 8), False),
        ((3, 13, 0), True),
        ((3, 13, 1), False),
        ((3, 14, 0), False),
    ],
)
def test_a_test_is_unstable_until_the_bug_is_mended(
    version: tuple[int, ...], applies: bool
) -> None:
    unstable = Unstable("test_made_up", "test_it", "a bug", mended=((3, 12, 8), (3, 13, 1)))
    assert unstable.applies(version) == applies


def test_a_bug_that_no_release_has_mended_applies_to_all() -> None:
    assert Unstable("test_made_up", "test_it", "a bug", mended=()).applies((3, 99, 0))
