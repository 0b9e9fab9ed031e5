"""Ctrl-C ends every wait of the main thread, and leaves what was waited for as it should be."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

from scenarios.run import INSTALLED, MODES, run, run_stock

WAITS = [
    "lock_acquire",
    "lock_acquire_timeout",
    "lock_with",
    "rlock_acquire",
    "rlock_acquire_timeout",
    "rlock_with",
    "thread_join",
    "thread_join_timeout",
    "event_wait",
    "event_wait_timeout",
    "condition_wait",
    "condition_wait_lock",
    "condition_wait_for",
    "semaphore_acquire",
    "barrier_wait",
    "queue_get",
    "queue_get_timeout",
    "queue_put",
    "queue_join",
    "future_result",
]


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("wait", WAITS)
def test_ends_the_wait(wait: str, mode: str) -> None:
    expected = run_stock("ctrl_c", wait)
    assert expected.lines[1] == "interrupted"

    assert run(mode, "ctrl_c", wait) == expected


@pytest.mark.parametrize("mode", INSTALLED)
@pytest.mark.parametrize("wait", ["lock", "with", "rlock", "join", "event", "queue"])
def test_uncaught_ends_the_program(wait: str, mode: str) -> None:
    """By the signal itself, so that a shell stops too, and with the traceback python gives."""
    expected = run_stock("ctrl_c_uncaught", wait)
    assert expected.status == -2
    assert expected.err.endswith("KeyboardInterrupt\n")

    outcome = run(mode, "ctrl_c_uncaught", wait)
    # Native classes have no Python frames.
    hidden = {"event": "threading", "queue": "threading"}.get(wait, "-")
    assert outcome == replace(expected, err=without_frames_of(hidden, expected.err))


def without_frames_of(module: str, traceback: str) -> str:
    """A traceback without the lines of a module."""
    frame = rf'  File ".*/{module}\.py", line \d+, in .*\n(    .*\n)*'
    return re.sub(frame, "", traceback)
