"""Time-outs and waits that are not changed by signals."""

from __future__ import annotations

import pytest

from scenarios.run import MODES, run

EXPECTED = [
    *["timed out"] * 3,
    "early 0",
    "served 30",
    "served 30",
    "signals came True",
]


@pytest.mark.parametrize("mode", ["stock", *MODES])
@pytest.mark.parametrize(
    "wait", ["lock", "rlock", "event", "condition", "semaphore", "queue", "thread"]
)
def test_signals_change_nothing(wait: str, mode: str) -> None:
    outcome = run(mode, "signals_during_waits", wait)

    assert outcome.lines == EXPECTED
    assert (outcome.status, outcome.err) == (0, "")
