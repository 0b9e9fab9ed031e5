"""The end of a program: which threads are waited for, in which order, and which are not."""

from __future__ import annotations

import sys
import sysconfig

import pytest

from scenarios.run import INSTALLED, MODES, Outcome, run, run_stock

ORDER = [
    "main ends, threads: 3",
    "shutdown hook, registered last of all",
    "shutdown hook, registered last",
    "thread first goes",
    "thread second goes",
    "atexit, registered last",
    "atexit, registered first",
]
# With a thread that the second one starts while the interpreter waits for it.
LATE_ORDER = [*ORDER[:5], "thread third goes", "all threads are over", *ORDER[5:]]


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("ending", ["end", "exit", "raise"])
def test_non_daemon_threads_are_waited_for(ending: str, mode: str) -> None:
    expected = run_stock("exit_order", "early", ending)
    assert expected.lines == ORDER

    assert run(mode, "exit_order", "early", ending) == expected


@pytest.mark.parametrize("mode", MODES)
def test_threads_started_late_are_waited_for_too(mode: str) -> None:
    expected = run_stock("exit_order", "late", "end")
    # The first releases of 3.12 refuse to start a thread so late.
    assert expected.lines in (LATE_ORDER, ORDER if sys.version_info[:2] == (3, 12) else None)

    assert run(mode, "exit_order", "late", "end") == expected


@pytest.mark.parametrize("mode", MODES)
def test_threads_are_started_by_callbacks(mode: str) -> None:
    expected = run_stock("exit_starts")
    assert len(expected.lines) == 7

    assert run(mode, "exit_starts") == expected


CALLED_BACK = ["thread", "daemon", "one after the other", "bare"]
if sys.version_info >= (3, 13):
    CALLED_BACK += ["joinable", "joinable daemon"]


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("start", CALLED_BACK)
def test_threads_of_callbacks_are_waited_for_as_on_stock(start: str, mode: str) -> None:
    expected = run_stock("exit_states", start)
    assert expected.lines[:2] == ["main ends", "callbacks are over"]
    # gh-136003.
    waits = sys.version_info >= (3, 15) and start in {"thread", "one after the other", "joinable"}
    assert ("late" in expected.lines) is waits

    assert run(mode, "exit_states", start) == expected


# Not all that there is: tests/reliability tries the rest too, and more often.
SLEEPING = [
    "acquire",
    "acquire_timeout",
    "rlock",
    "rlock_timeout",
    "condition_wait",
    "condition_timeout",
    "event",
    "event_timeout",
    "semaphore",
    "barrier",
    "Queue_get",
    "Queue_get_timeout",
    "Queue_put",
    "Queue_join",
    "SimpleQueue_get",
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
@pytest.mark.parametrize("task", [*SLEEPING, *WAKING, "all"])
def test_daemon_threads_are_not_waited_for(task: str, mode: str) -> None:
    outcome = run(mode, "exit_daemons", task, "end")

    assert outcome.lines == ["main ends", "atexit"]
    assert (outcome.status, outcome.err) == (0, "")


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(("ending", "status"), [("exit", 3), ("raise", 1)])
def test_daemon_threads_do_not_change_the_status(ending: str, status: int, mode: str) -> None:
    expected = run_stock("exit_daemons", "all", ending)
    assert expected.status == status

    assert run(mode, "exit_daemons", "all", ending) == expected


@pytest.mark.skipif(
    not sysconfig.get_config_var("Py_GIL_DISABLED"),
    reason="with a GIL the end does not wait for that",
)
@pytest.mark.parametrize("mode", MODES)
def test_what_a_thread_drops_at_its_end_is_waited_for(mode: str) -> None:
    """Stopped in the midst of it, it may keep a lock of the interpreter's, and the end hangs."""
    outcome = run(mode, "exit_drops")

    assert outcome == Outcome(0, "main ends\ndropped\n", "")


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
