"""``--rthread-deadlocks``: the test that deadlocks fails, and the other tests run on."""

from __future__ import annotations

import pytest
from pytest_runs import RunPytest

RAISE = "--rthread-deadlocks=raise"
REPORT = "Deadlock: 2 threads wait for each other."
WARNING = "PytestRThreadDeadlockWarning"


@pytest.mark.parametrize("closer", ["main", "worker"])
def test_a_deadlock_fails_its_test_and_the_others_run(run_pytest: RunPytest, closer: str) -> None:
    run = run_pytest(
        f"""
        from crossing import cross

        def test_before():
            pass

        def test_crosses():
            cross("{closer}")

        def test_after():
            pass
        """,
        RAISE,
    )
    assert run.counts == {"failed": 1, "passed": 2}, run
    shown = run.section("test_crosses")
    assert REPORT in shown, run
    assert "MainThread: waiting for left in cross() (Lock at " in shown
    assert "worker: waiting for right in cross() (Lock at " in shown
    assert "held by MainThread" in shown
    assert "held by worker" in shown
    # The stacks are those of the test.
    assert "in test_crosses" in shown
    assert "_pytest" not in shown
    assert "pluggy" not in shown
    # Nor is the exception of the thread told a second time.
    assert "UnhandledThreadException" not in run.out
    assert run.err == "", run


def test_the_error_of_a_future_is_told_once(run_pytest: RunPytest) -> None:
    run = run_pytest(
        """
        from concurrent.futures import ThreadPoolExecutor
        import threading
        from crossing import wait_until_awaited

        def test_crosses():
            left, right = threading.RLock(), threading.RLock()
            both_have_one = threading.Barrier(2)

            def work():
                with left:
                    both_have_one.wait()
                    wait_until_awaited(left)
                    with right:
                        pass

            with ThreadPoolExecutor(1) as pool:
                future = pool.submit(work)
                with right:
                    both_have_one.wait()
                    with left:
                        pass
                future.result()
        """,
        RAISE,
    )
    assert run.counts == {"failed": 1}, run
    assert "rthread.debug.DeadlockError: Deadlock" in run.out
    assert "rthread: deadlock" not in run.out


def test_an_error_that_the_test_swallows_is_told_as_a_warning(run_pytest: RunPytest) -> None:
    source = """
        import contextlib
        from crossing import cross

        def test_swallows():
            with contextlib.suppress(Exception):
                cross("main")
        """
    run = run_pytest(source, RAISE)
    assert run.counts == {"passed": 1, "warning": 1}, run
    assert f"{WARNING}: {REPORT}" in run.section("warnings summary"), run
    run = run_pytest(source, RAISE, "-W", f"error::rthread.pytest_plugin.{WARNING}")
    assert run.counts == {"failed": 1}, run


def test_an_error_that_a_thread_swallows_fails_the_test(run_pytest: RunPytest) -> None:
    run = run_pytest(
        """
        import contextlib
        from crossing import cross

        def test_swallows():
            cross("worker", contextlib.suppress(Exception))
        """,
        RAISE,
    )
    assert run.counts == {"failed": 1}, run
    assert REPORT in run.section("test_swallows"), run


@pytest.mark.parametrize("closer", ["main", "worker"])
def test_a_test_may_expect_its_deadlock(run_pytest: RunPytest, closer: str) -> None:
    run = run_pytest(
        f"""
        import pytest
        from rthread.debug import DeadlockError
        from crossing import cross

        @pytest.mark.rthread_expects_deadlock
        def test_expects():
            guard = pytest.raises(DeadlockError)
            if "{closer}" == "worker":
                cross("worker", guard)
            else:
                with guard:
                    cross("main")
        """,
        *(RAISE, "-W", "error", "--strict-markers"),
    )
    assert run.counts == {"passed": 1}, run


def test_a_test_that_fails_otherwise_shows_the_deadlock_too(run_pytest: RunPytest) -> None:
    run = run_pytest(
        """
        from crossing import cross

        def test_fails():
            cross("worker")
            assert "the work" == "done"
        """,
        RAISE,
    )
    assert run.counts == {"failed": 1}, run
    assert "assert 'the work' == 'done'" in run.out
    assert REPORT in run.section("rthread: deadlock"), run


@pytest.mark.parametrize("closer", ["main", "worker"])
def test_a_deadlock_of_a_fixture_is_an_error(run_pytest: RunPytest, closer: str) -> None:
    run = run_pytest(
        f"""
        import pytest
        from crossing import cross

        @pytest.fixture(params=["setup", "teardown"])
        def fixture(request):
            if request.param == "setup":
                cross("{closer}")
            yield
            if request.param == "teardown":
                cross("{closer}")

        def test_uses(fixture):
            pass
        """,
        RAISE,
    )
    assert run.counts == {"passed": 1, "error": 2}, run
    assert REPORT in run.section("ERROR at setup of test_uses"), run
    assert REPORT in run.section("ERROR at teardown of test_uses"), run


def test_an_expected_failure_may_be_a_deadlock(run_pytest: RunPytest) -> None:
    run = run_pytest(
        """
        import pytest
        from crossing import cross

        @pytest.mark.xfail(strict=True)
        @pytest.mark.parametrize("closer", ["main", "worker"])
        def test_fails(closer):
            cross(closer)
        """,
        RAISE,
    )
    assert run.counts == {"xfailed": 2}, run


@pytest.mark.parametrize("closer", ["main", "worker"])
def test_a_deadlock_while_tests_are_collected_fails_the_run(
    run_pytest: RunPytest, closer: str
) -> None:
    run = run_pytest(
        f"""
        from crossing import cross

        cross("{closer}")

        def test_is_innocent():
            pass
        """,
        RAISE,
    )
    assert run.status not in (0, None), run
    assert REPORT in run.out + run.err, run
    assert "test_is_innocent" not in run.out


# Both threads are daemons, and the test does not wait for them.
LEAVES_A_DEADLOCK = """
    import threading
    import time
    import rthread.debug

    def test_leaves():
        left, right = threading.Lock(), threading.Lock()
        barrier = threading.Barrier(2)

        def take(first, second):
            with first:
                barrier.wait()
                with second:
                    pass

        for locks in ((left, right), (right, left)):
            threading.Thread(target=take, args=locks, daemon=True).start()
        while not rthread.debug.find_deadlocks():
            time.sleep(0.001)
    """


def test_warn_tells_at_once_and_at_the_test(run_pytest: RunPytest) -> None:
    run = run_pytest(LEAVES_A_DEADLOCK, "--rthread-deadlocks=warn")
    assert run.counts == {"passed": 1, "warning": 1}, run
    assert "test_it.py::test_leaves (call)\nDeadlock: 2 threads wait for each other." in run.err
    assert f"{WARNING}: {REPORT}" in run.section("warnings summary"), run


def test_a_wait_that_cannot_raise_is_told_at_once(run_pytest: RunPytest) -> None:
    run = run_pytest(
        """
        import threading
        import time
        import rthread.debug

        def test_leaves():
            lock, condition = threading.Lock(), threading.Condition()
            barrier = threading.Barrier(2)

            def wait():
                with lock, condition:
                    barrier.wait()
                    while True:
                        # At last the other thread has the condition, and waits for the lock.
                        condition.wait(0.01)

            def notify():
                barrier.wait()
                with condition, lock:
                    pass

            for target in (wait, notify):
                threading.Thread(target=target, daemon=True).start()
            while not rthread.debug.find_deadlocks():
                time.sleep(0.001)
        """,
        RAISE,
    )
    assert run.counts == {"passed": 1, "warning": 1}, run
    assert "test_it.py::test_leaves (call)\nDeadlock: 2 threads wait for each other." in run.err
    assert f"{WARNING}: {REPORT}" in run.section("warnings summary"), run


def test_exit_ends_the_run_with_status_66(run_pytest: RunPytest) -> None:
    run = run_pytest(LEAVES_A_DEADLOCK, "--rthread-deadlocks=exit")
    assert run.status == 66, run
    assert "test_it.py::test_leaves (call)\nDeadlock: 2 threads wait for each other." in run.err


def test_off_looks_for_no_deadlock(run_pytest: RunPytest) -> None:
    run = run_pytest(LEAVES_A_DEADLOCK, "--rthread", "--rthread-deadlocks=off")
    assert run.counts == {"passed": 1}, run
    assert run.err == "", run


def test_a_deadlock_among_threads_of_pytest_run_parallel(run_pytest: RunPytest) -> None:
    pytest.importorskip("pytest_run_parallel")
    run = run_pytest(
        """
        import threading

        left, right = threading.RLock(), threading.RLock()
        both_have_one = threading.Barrier(2)

        def test_crosses(thread_index):
            first, second = (left, right) if thread_index else (right, left)
            with first:
                both_have_one.wait()
                with second:
                    pass

        def test_after():
            pass
        """,
        *(RAISE, "--parallel-threads=2"),
    )
    assert run.status == 1, run
    assert "rthread.debug.DeadlockError: Deadlock" in run.out
    assert "rthread: deadlock" not in run.out
    assert "1 passed" in run.out
