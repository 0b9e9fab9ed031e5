"""Thread names in logging, and which threads there are, by the word of either module."""

from __future__ import annotations

import pytest

from scenarios.run import MODES, run, run_stock


@pytest.mark.parametrize("mode", MODES)
def test_logging_names_every_thread(mode: str) -> None:
    expected = run_stock("names")
    assert expected.lines[:2] == [
        "INFO MainThread in the main thread: modules agree: True",
        "INFO Thread-1 (describe) in a thread: modules agree: True",
    ]

    outcome = run(mode, "names")

    assert outcome == expected
    assert "agree: False" not in outcome.out
