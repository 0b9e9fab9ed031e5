"""Each worker of pytest-xdist runs on rthread."""

from __future__ import annotations

import pytest
from pytest_runs import RunPytest

pytest.importorskip("xdist")

WORKERS = ("-n", "2")

ON_RTHREAD = """
    import os
    import queue
    import subprocess
    import sys

    import pytest
    import rthread.queue

    @pytest.mark.parametrize("number", range(4))
    def test_worker(number):
        assert os.environ["PYTEST_XDIST_WORKER"].startswith("gw")
        assert rthread.is_installed()
        assert (queue.Queue is rthread.queue.Queue) is {queue}

    def test_environment():
        assert os.environ.get("RTHREAD") == {variable!r}
        assert "RTHREAD_QUEUE" not in os.environ
        assert "RTHREAD_PYTEST_WORKER" not in os.environ

    def test_child():
        code = "import sys; print('rthread' in sys.modules)"
        child = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
        assert child.stdout == "False\\n"
    """


@pytest.mark.parametrize("variable", [None, "0"])
@pytest.mark.parametrize(("option", "queue"), [("--rthread", False), ("--rthread-queue", True)])
def test_workers_run_on_rthread(
    run_pytest: RunPytest, option: str, queue: bool, variable: str | None
) -> None:
    source = ON_RTHREAD.format(queue=queue, variable=variable)
    env = {} if variable is None else {"RTHREAD": variable}
    run = run_pytest(source, option, *WORKERS, "-W", "error", env=env)
    assert run.counts == {"passed": 6}, run


def test_without_an_option_workers_do_not_import_rthread(run_pytest: RunPytest) -> None:
    source = """
        import sys

        def test_worker():
            assert "rthread" not in sys.modules
        """
    assert run_pytest(source, *WORKERS, "-W", "error").counts == {"passed": 1}


@pytest.mark.parametrize("closer", ["main", "worker"])
def test_a_deadlock_in_a_worker_fails_its_test(run_pytest: RunPytest, closer: str) -> None:
    run = run_pytest(
        f"""
        import pytest
        from crossing import cross

        def test_crosses():
            cross("{closer}")

        @pytest.mark.parametrize("number", range(4))
        def test_other(number):
            pass
        """,
        *("--rthread-deadlocks=raise", *WORKERS),
    )
    assert run.counts == {"failed": 1, "passed": 4}, run
    shown = run.section("test_crosses")
    assert "Deadlock: 2 threads wait for each other." in shown, run
    # The stacks are those of the test.
    assert "execnet" not in shown


def test_leaks_in_workers_are_told(run_pytest: RunPytest) -> None:
    run = run_pytest(
        """
        import threading
        import pytest

        lock, other = threading.Lock(), threading.Lock()

        def test_leaves():
            lock.acquire()

        @pytest.mark.rthread_leaks("error")
        def test_must_not():
            other.acquire()
        """,
        *("--rthread-leaks=warn", *WORKERS),
    )
    assert run.counts == {"passed": 2, "warning": 1, "error": 1}, run
    warning = "PytestRThreadLeakWarning: The test has left 1 lock held (test_it.lock)."
    assert warning in run.section("warnings summary"), run


def test_a_worker_that_replaces_another_runs_on_rthread_too(run_pytest: RunPytest) -> None:
    run = run_pytest(
        """
        import os
        import pytest
        import rthread

        @pytest.mark.parametrize("number", range(4))
        def test_worker(number):
            assert rthread.is_installed()
            if number == 0:
                os._exit(3)
        """,
        *("--rthread", "-n", "1"),
    )
    assert run.counts == {"failed": 1, "passed": 3}, run
    assert "crashed while running" in run.out
