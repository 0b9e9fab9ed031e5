"""`os.fork()` in programs with threads."""

from __future__ import annotations

import os

import pytest

from scenarios.run import MODES, run, run_stock

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")

CHECKS = [
    "only_one_is_left",
    "dead_threads_can_be_joined",
    "new_threads",
    "locks",
    "hand_over",
    "pool",
    "thread_local",
    "fork_again",
    "left_running",
    "from_another_thread",
    "holding_it",
]


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("check", CHECKS)
def test_child_can_use_threads(check: str, mode: str) -> None:
    expected = run_stock("forks", check)
    status = 0 if check == "from_another_thread" else 7
    assert f"child ended with {status}" in expected.lines
    assert expected.lines[-1] == "parent ['MainThread']"

    assert run(mode, "forks", check) == expected


@pytest.mark.parametrize("mode", MODES)
def test_child_can_start_a_thread_made_before(mode: str) -> None:
    # Not compared with stock: 3.13.0 has forgotten there that the thread never ran.
    outcome = run(mode, "forks", "thread_not_started")

    assert outcome.lines == [
        "never started runs",
        "False",
        "child ended with 7",
        "parent ['MainThread']",
    ]
    assert (outcome.status, outcome.err) == (0, "")


@pytest.mark.skipif(
    not os.path.isdir("/proc/self/task"), reason="the threads of a process cannot be seen"
)
@pytest.mark.parametrize("mode", MODES)
def test_warning_of_other_threads(mode: str) -> None:
    expected = run_stock("fork_warns")

    assert run(mode, "fork_warns") == expected
