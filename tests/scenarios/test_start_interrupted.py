"""What comes while `Thread.start` waits for its thread comes out of that wait."""

from __future__ import annotations

import pytest

from scenarios.run import MODES, run, run_stock

SCENARIOS = {
    "by_signal": "start raised Raised ",
    "by_ctrl_c": "start raised KeyboardInterrupt ",
    "by_a_handler_that_does_not_raise": "start went well",
    "by_an_exception_of_a_thread": "start raised Raised ",
    "in_another_thread": "start went well",
}


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("scenario", SCENARIOS)
def test_start_interrupted(scenario: str, mode: str) -> None:
    expected = run_stock("start_interrupted", scenario)
    assert (expected.status, expected.err) == (0, "")
    assert SCENARIOS[scenario] in expected.lines
    assert "ran [1] left 0 1" in expected.lines

    assert run(mode, "start_interrupted", scenario) == expected
