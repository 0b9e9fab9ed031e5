"""A thread that cannot be started is an exception, and nothing else."""

from __future__ import annotations

import sys

import pytest

from scenarios.run import MODES, run, run_stock

STARTS = ["thread", "daemon", "bare", "executor", "many"]
if sys.version_info >= (3, 13):
    STARTS.append("joinable")


@pytest.mark.skipif(sys.platform != "linux", reason="limits that other systems do not keep so")
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("start", STARTS)
@pytest.mark.parametrize("wanting", ["memory", "threads"])
def test_start_fails(wanting: str, start: str, mode: str) -> None:
    expected = run_stock("start_fails", wanting, start)
    assert expected.status == 0
    assert "can't start new thread" in expected.out or expected.lines[0] == "failures 200 1"
    assert "there are ['MainThread'] 1 0 0" in expected.lines

    assert run(mode, "start_fails", wanting, start) == expected
