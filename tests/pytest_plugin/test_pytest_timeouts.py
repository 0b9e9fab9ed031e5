"""A test that takes too long is shown with the report of `rthread.debug`."""

from __future__ import annotations

import pytest
from pytest_runs import RunPytest

# The holder lets go as soon as a report has been made, so that the test can come to its end.
CONFTEST = """
    import threading
    from rthread import debug

    was_shown = threading.Event()
    real_dump = debug.dump

    def dump(*args, **keywords):
        real_dump(*args, **keywords)
        was_shown.set()

    debug.dump = dump
    """
HANGS = """
    import threading
    from conftest import was_shown

    lock = threading.Lock()
    has_it = threading.Event()

    def hold():
        with lock:
            has_it.set()
            was_shown.wait()

    def test_hangs():
        threading.Thread(target=hold, name="holder", daemon=True).start()
        has_it.wait()
        with lock:
            pass

    def test_after():
        pass
    """
QUICK = """
    def test_first():
        pass

    def test_second():
        pass
    """
FILES = {"conftest.py": CONFTEST}

# Long enough for the test to come to its lock.
SECONDS = 3


def shows_the_report(text: str) -> bool:
    words = ("MainThread, main thread", "waiting for test_it.lock (Lock at ", ", held by holder")
    return all(word in text for word in words)


@pytest.mark.parametrize("func_only", ["false", "true"])
def test_a_signal_of_pytest_timeout(run_pytest: RunPytest, func_only: str) -> None:
    pytest.importorskip("pytest_timeout")
    ini = f"timeout_func_only = {func_only}"
    options = ("--rthread", f"--timeout={SECONDS}", "--timeout-method=signal")
    run = run_pytest(HANGS, *options, files=FILES, ini=ini)
    assert run.counts == {"failed": 1, "passed": 1}, run
    assert "from pytest-timeout" in run.section("test_hangs"), run
    assert shows_the_report(run.section("rthread: the threads at the time-out")), run


@pytest.mark.parametrize("func_only", ["false", "true"])
def test_a_thread_of_pytest_timeout(run_pytest: RunPytest, func_only: str) -> None:
    pytest.importorskip("pytest_timeout")
    ini = f"timeout_func_only = {func_only}"
    options = ("--rthread", f"--timeout={SECONDS}", "--timeout-method=thread")
    # The other plugin ends the process while the lock is still held.
    files = {"conftest.py": CONFTEST.replace("was_shown.set()", "pass")}
    run = run_pytest(HANGS, *options, files=files, ini=ini)
    assert run.status == 1, run
    assert f"test_it.py::test_hangs: time-out of {SECONDS} s\n" in run.err, run
    assert shows_the_report(run.err), run
    assert "Timeout +++" in run.out


@pytest.mark.parametrize("exits", ["false", "true"])
def test_the_time_out_of_faulthandler(run_pytest: RunPytest, exits: str) -> None:
    ini = f"faulthandler_timeout = {SECONDS}"
    files = FILES
    if exits == "true":
        ini += "\nfaulthandler_exit_on_timeout = true"
        files = {"conftest.py": CONFTEST.replace("was_shown.set()", "pass")}
    run = run_pytest(HANGS, "--rthread", files=files, ini=ini)
    if exits == "true":
        assert run.status == 1, run
    else:
        assert run.counts == {"passed": 2}, run
    assert f"test_it.py::test_hangs: faulthandler_timeout of {SECONDS} s\n" in run.err, run
    assert shows_the_report(run.err), run
    assert "Timeout (0:00:0" in run.err


@pytest.mark.parametrize(
    "options",
    [
        ("--timeout=60", "--timeout-method=signal"),
        ("--timeout=60", "--timeout-method=thread"),
        ("-o", "faulthandler_timeout=60"),
    ],
)
def test_a_test_in_time_shows_nothing(run_pytest: RunPytest, options: tuple[str, ...]) -> None:
    if "faulthandler" not in options[-1]:
        pytest.importorskip("pytest_timeout")
    run = run_pytest(QUICK, "--rthread", "-W", "error", *options)
    assert run.counts == {"passed": 2}, run
    assert run.err == "", run


def test_the_tests_do_not_see_the_watchdog(run_pytest: RunPytest) -> None:
    source = """
        import threading

        def test_counts():
            assert threading.active_count() == 1
        """
    run = run_pytest(source, "--rthread", ini="faulthandler_timeout = 60")
    assert run.counts == {"passed": 1}, run


def test_without_the_plugin_of_faulthandler(run_pytest: RunPytest) -> None:
    run = run_pytest(QUICK, "--rthread", "-p", "no:faulthandler", "-W", "error")
    assert run.counts == {"passed": 2}, run
