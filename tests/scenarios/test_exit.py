"""The end of a program: who is waited for, in which order, and who is not."""

from __future__ import annotations

import pytest

from scenarios.run import INSTALLED, MODES, run, run_stock


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("ending", ["end", "exit", "raise"])
@pytest.mark.parametrize("start", ["early", "late"])
def test_non_daemon_threads_are_waited_for(start: str, ending: str, mode: str) -> None:
    expected = run_stock("exit_order", start, ending)
    order = [line.split()[0] for line in expected.lines]
    assert order.index("thread") < order.index("atexit,") == len(order) - 2

    assert run(mode, "exit_order", start, ending) == expected


SLEEPING = [
    "acquire",
    "acquire_timeout",
    "rlock",
    "rlock_timeout",
    "condition",
    "condition_timeout",
    "event",
    "event_timeout",
    "semaphore",
    "barrier",
    "queue_get",
    "queue_get_timeout",
    "queue_put",
    "queue_join",
    "join",
    "join_timeout",
    "holding",
]
WAKING = [
    "acquire_loop",
    "rlock_loop",
    "event_loop",
    "semaphore_loop",
    "join_loop",
    "with_loop",
    "with_rlock_loop",
    "start_loop",
]


@pytest.mark.parametrize("mode", ["stock", *MODES])
@pytest.mark.parametrize("doing", [*SLEEPING, *WAKING, "all"])
def test_daemon_threads_are_not_waited_for(doing: str, mode: str) -> None:
    outcome = run(mode, "exit_daemons", doing, "end")

    assert outcome.lines == ["main ends", "atexit"]
    assert (outcome.status, outcome.err) == (0, "")


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(("ending", "status"), [("exit", 3), ("raise", 1)])
def test_daemon_threads_do_not_change_the_status(ending: str, status: int, mode: str) -> None:
    expected = run_stock("exit_daemons", "all", ending)
    assert expected.status == status

    assert run(mode, "exit_daemons", "all", ending) == expected


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("waited_for", ["one", "several"])
def test_ctrl_c_while_threads_are_waited_for(waited_for: str, mode: str) -> None:
    expected = run_stock("exit_ctrl_c", waited_for)
    assert expected.lines == ["main ends", "signal SIGINT", "atexit"]
    assert expected.err.splitlines()[-1].startswith("KeyboardInterrupt")

    outcome = run(mode, "exit_ctrl_c", waited_for)

    assert (outcome.status, outcome.out) == (expected.status, expected.out)
    if mode in INSTALLED:
        assert outcome.err == expected.err
    else:
        # Where two modules have threads to wait for, there is one frame more in the traceback.
        said, should = outcome.err.splitlines(), expected.err.splitlines()
        assert (said[0], said[-1]) == (should[0], should[-1])
