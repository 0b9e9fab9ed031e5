"""What comes after a thread: joins, and the exception it has ended with."""

from __future__ import annotations

import re
import sys

import pytest

from scenarios.run import MODES, Outcome, run, run_stock

EXPECTED = {
    "by_many": ["joined 180 problems []"],
    "by_many_at_the_last_moment": ["joined 3600 problems []"],
    "by_its_successor": ["joined one with the same ident: [None]"],
    "oneself": ["cannot join current thread"] * 2,
    "with_time_outs": None,
    "each_other": ["both over True"],
}
STARTS = ["thread", "bare"]
if sys.version_info >= (3, 13):
    STARTS.append("joinable")


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("scenario", EXPECTED)
def test_joins_come_to_the_same_as_on_stock(scenario: str, mode: str) -> None:
    expected = run_stock("joins", scenario)
    assert (expected.status, expected.err) == (0, "")
    assert EXPECTED[scenario] in (expected.lines, None)

    assert run(mode, "joins", scenario) == expected


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("hooks", ["plain", "heard", "broken", "no_stderr"])
@pytest.mark.parametrize("start", STARTS)
def test_exception_ends_a_thread(start: str, hooks: str, mode: str) -> None:
    expected = run_stock("raising", start, hooks)
    assert expected.status == 0
    assert ("out of the thread" in expected.err) == (hooks == "plain") or hooks == "broken"
    assert ("excepthook" in expected.out) == (hooks == "heard" and start == "thread")
    assert "not printed" not in expected.err

    outcome = run(mode, "raising", start, hooks)

    assert _without_depth(outcome) == _without_depth(expected)


def _without_depth(outcome: Outcome) -> Outcome:
    # How deep a recursion gets depends on what else is on the stack.
    return Outcome(
        outcome.status, outcome.out, re.sub(r"repeated \d+ more", "repeated", outcome.err)
    )
