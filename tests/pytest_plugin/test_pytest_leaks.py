"""``--rthread-leaks``: tests that leave locks held or threads alive are told, and no others."""

from __future__ import annotations

import pytest
from pytest_runs import RunPytest

WARN = "--rthread-leaks=warn"
ERROR = "--rthread-leaks=error"
WARNING = "PytestRThreadLeakWarning"

LEAVES_A_LOCK = """
    import threading

    lock = threading.Lock()

    def test_leaves():
        lock.acquire()

    def test_is_innocent():
        assert lock.locked()
    """
LEAVES_A_THREAD = """
    import threading

    stop = threading.Event()

    def wait_for_the_end():
        stop.wait()

    def test_leaves():
        threading.Thread(target=wait_for_the_end, name="left behind", daemon=True).start()

    def test_is_innocent():
        pass
    """


def test_warn_gives_a_warning_at_the_test(run_pytest: RunPytest) -> None:
    run = run_pytest(LEAVES_A_LOCK, WARN)
    assert run.counts == {"passed": 2, "warning": 1}, run
    summary = run.section("warnings summary")
    assert "test_it.py::test_leaves\n" in summary, run
    assert f"{WARNING}: The test has left 1 lock held (test_it.lock)." in summary
    assert "): held by MainThread, the thread of the test" in summary


def test_error_fails_the_teardown_of_the_test(run_pytest: RunPytest) -> None:
    run = run_pytest(LEAVES_A_LOCK, ERROR)
    assert run.counts == {"passed": 2, "error": 1}, run
    shown = run.section("ERROR at teardown of test_leaves")
    assert "The test has left 1 lock held (test_it.lock)." in shown, run


@pytest.mark.parametrize("option", [WARN, ERROR])
def test_a_filter_for_warnings_decides_about_warnings_alone(
    run_pytest: RunPytest, option: str
) -> None:
    run = run_pytest(LEAVES_A_LOCK, option, "-W", "error")
    assert run.counts == {"passed": 2, "error": 1}, run
    name = f"rthread.pytest_plugin.{WARNING}"
    run = run_pytest(LEAVES_A_LOCK, option, "-W", f"ignore::{name}")
    errors = {"error": 1} if option == ERROR else {}
    assert run.counts == {"passed": 2, **errors}, run


def test_a_thread_is_told_with_its_name_and_its_place(run_pytest: RunPytest) -> None:
    run = run_pytest(LEAVES_A_THREAD, ERROR)
    assert run.counts == {"passed": 2, "error": 1}, run
    shown = run.section("ERROR at teardown of test_leaves")
    assert "The test has left 1 thread alive (left behind)." in shown, run
    assert "left behind, daemon: waiting for test_it.stop (Event at " in shown
    assert "in wait_for_the_end" in shown


def test_a_thread_is_told_with_what_it_holds(run_pytest: RunPytest) -> None:
    run = run_pytest(
        """
        import threading

        lock = threading.Lock()
        has_it = threading.Event()

        def hold():
            with lock:
                has_it.set()
                threading.Event().wait()

        def test_leaves():
            threading.Thread(target=hold, name="holder", daemon=True).start()
            has_it.wait()
        """,
        ERROR,
    )
    assert run.counts == {"passed": 1, "error": 1}, run
    assert "  holds test_it.lock (Lock at " in run.out, run


def test_a_thread_without_a_name_is_told(run_pytest: RunPytest) -> None:
    run = run_pytest(
        """
        import _thread, threading, time
        from rthread import debug

        stop = threading.Event()

        def test_leaves():
            _thread.start_new_thread(stop.wait, ())
            while not debug.waiters(stop):
                time.sleep(0.001)
        """,
        ERROR,
    )
    assert run.counts == {"passed": 1, "error": 1}, run
    assert "1 thread alive (thread " in run.out, run


@pytest.mark.parametrize("kind", ["Lock", "RLock"])
def test_a_lock_of_a_thread_that_has_ended_is_told(run_pytest: RunPytest, kind: str) -> None:
    run = run_pytest(
        f"""
        import threading

        lock = threading.{kind}()

        def test_leaves():
            thread = threading.Thread(target=lock.acquire)
            thread.start()
            thread.join()
        """,
        ERROR,
    )
    assert run.counts == {"passed": 1, "error": 1}, run
    assert f"test_it.lock ({kind} at " in run.out, run
    assert ": held by a thread that has ended" in run.out


INNOCENT = {
    "takes and releases": """
        def test_it():
            with threading.Lock(), threading.RLock(), threading.Condition():
                pass
        """,
    "drops a lock": """
        def test_it():
            lock = threading.Lock()
            lock.acquire()
        """,
    "drops a lock in a cycle": """
        def test_it():
            class Node:
                pass
            node = Node()
            node.itself = node
            node.lock = threading.Lock()
            node.lock.acquire()
        """,
    "waits for its thread": """
        def test_it():
            thread = threading.Thread(target=threading.Event().wait, args=(0.01,))
            thread.start()
            thread.join()
        """,
    "ends with a thread that is about to end": """
        def test_it():
            threading.Thread(target=threading.Event().wait, args=(0.02,)).start()
        """,
    "uses a pool and a queue": """
        import queue
        from concurrent.futures import ThreadPoolExecutor

        kept = queue.Queue()

        def test_it():
            with ThreadPoolExecutor(4) as pool:
                assert [*pool.map(kept.put, range(10))] == [None] * 10
            assert kept.get(timeout=1) == 0
        """,
    "is notified": """
        condition = threading.Condition()
        event = threading.Event()
        barrier = threading.Barrier(2)

        def work():
            with condition:
                condition.notify()
            barrier.wait()
            event.set()

        def test_it():
            with condition:
                thread = threading.Thread(target=work)
                thread.start()
                condition.wait()
            barrier.wait()
            event.wait()
            thread.join()
        """,
    "uses what a module has": """
        lock = threading.Lock()
        lock.acquire()
        stop = threading.Event()
        thread = threading.Thread(target=stop.wait, daemon=True)
        thread.start()

        def test_it():
            assert lock.locked()
        """,
    "uses fixtures of a wider scope": """
        import contextlib

        @contextlib.contextmanager
        def service():
            lock = threading.Lock()
            stop = threading.Event()
            thread = threading.Thread(target=stop.wait)
            with lock:
                thread.start()
                yield
            stop.set()
            thread.join()

        @pytest.fixture(scope="session", autouse=True)
        def of_session():
            with service():
                yield

        @pytest.fixture(scope="module")
        def of_module(of_session):
            with service():
                yield

        def setup_module():
            global of_setup
            of_setup = service()
            of_setup.__enter__()

        def teardown_module():
            of_setup.__exit__(None, None, None)

        class TestIt:
            @classmethod
            def setup_class(cls):
                cls.service = service()
                cls.service.__enter__()

            @classmethod
            def teardown_class(cls):
                cls.service.__exit__(None, None, None)

            def test_it(self, of_module):
                pass

            def test_again(self, of_module):
                pass

        def test_later(request):
            request.getfixturevalue("of_module")
        """,
    "uses unittest": """
        import unittest

        class TestIt(unittest.TestCase):
            @classmethod
            def setUpClass(cls):
                cls.lock = threading.Lock()
                cls.lock.acquire()

            def setUp(self):
                self.lock_of_test = threading.Lock()
                self.lock_of_test.acquire()

            def tearDown(self):
                self.lock_of_test.release()

            def test_it(self):
                pass
        """,
    "cleans up in a fixture": """
        stop = threading.Event()

        @pytest.fixture
        def thread():
            thread = threading.Thread(target=stop.wait)
            thread.start()
            yield thread
            stop.set()
            thread.join()

        def test_it(thread):
            assert thread.is_alive()
        """,
    "is skipped": """
        @pytest.mark.skip
        def test_it():
            pass

        def test_skips():
            pytest.skip("later")
        """,
}


@pytest.mark.parametrize("variable", ["", "RTHREAD_NATIVE=0", "RTHREAD_REUSE_THREADS=4"])
def test_no_other_test_is_told(run_pytest: RunPytest, variable: str) -> None:
    name, _, value = variable.partition("=")
    first = "\n        import pytest, threading"
    files = {f"test_{what.replace(' ', '_')}.py": first + INNOCENT[what] for what in INNOCENT}
    env = {name: value} if name else {}
    run = run_pytest("", ERROR, "-W", "error", ".", files=files, env=env)
    assert run.status == 0, run
    assert set(run.counts) == {"passed", "skipped"}, run


def test_a_test_that_fails_is_told_too(run_pytest: RunPytest) -> None:
    run = run_pytest(
        """
        import threading

        lock = threading.Lock()

        def test_fails():
            lock.acquire()
            assert 0 == 1
        """,
        ERROR,
    )
    assert run.counts == {"failed": 1, "error": 1}, run


def test_a_teardown_that_fails_shows_what_is_left_as_well(run_pytest: RunPytest) -> None:
    run = run_pytest(
        """
        import threading
        import pytest

        lock = threading.Lock()

        @pytest.fixture
        def fixture():
            yield
            assert "the teardown" == "done"

        def test_leaves(fixture):
            lock.acquire()
        """,
        ERROR,
    )
    assert run.counts == {"passed": 1, "error": 1}, run
    assert "assert 'the teardown' == 'done'" in run.out
    assert "1 lock held (test_it.lock)" in run.section("rthread: what the test has left"), run


def test_a_marker_decides_for_one_test(run_pytest: RunPytest) -> None:
    run = run_pytest(
        """
        import threading
        import pytest

        locks = [threading.Lock() for _ in range(3)]

        @pytest.mark.rthread_leaks("off")
        def test_may():
            locks[0].acquire()

        @pytest.mark.rthread_leaks("error")
        def test_must_not():
            locks[1].acquire()

        def test_should_not():
            locks[2].acquire()
        """,
        *(WARN, "--strict-markers"),
    )
    assert run.counts == {"passed": 3, "error": 1, "warning": 1}, run
    assert run.section("ERROR at teardown of test_must_not"), run


def test_a_marker_with_a_bad_value_is_an_error_that_names_the_choices(
    run_pytest: RunPytest,
) -> None:
    run = run_pytest(
        """
        import pytest

        @pytest.mark.rthread_leaks("never")
        def test_it():
            pass
        """,
        "--rthread",
    )
    assert run.counts.get("error"), run
    assert "rthread_leaks takes one of 'warn', 'error', 'off'" in run.out, run


def test_threads_with_certain_names_may_stay(run_pytest: RunPytest) -> None:
    ini = """
        rthread_leaks_ignore =
            pool-*
            left b?hind
        """
    assert run_pytest(LEAVES_A_THREAD, ERROR, ini=ini).counts == {"passed": 2}
    run = run_pytest(LEAVES_A_THREAD, ERROR, ini="rthread_leaks_ignore = left")
    assert run.counts == {"passed": 2, "error": 1}, run


def test_the_timer_of_pytest_timeout_is_not_told(run_pytest: RunPytest) -> None:
    pytest.importorskip("pytest_timeout")
    source = """
        def test_it():
            pass
        """
    for more in ((), ("-o", "timeout_func_only=true")):
        run = run_pytest(source, ERROR, "--timeout=60", "--timeout-method=thread", *more)
        assert run.counts == {"passed": 1}, run
