"""What is stuck for good beside deadlocks, each named by its sentence."""

from __future__ import annotations

import os
import sys

import planted
import pytest

import support

END = """
# The interpreter would wait at its end for threads of executors.
sys.stdout.flush()
import os
os._exit(0)
"""


def check(*parts: str) -> str:
    """Run a program, which must leave by `os._exit`, and give its output."""
    return support.check_snippet(planted.program(*parts, END))


@pytest.mark.parametrize(
    ("kind", "take", "is_certain"),
    [
        ("Lock", "lock.acquire()", False),
        ("Lock", "lock.__enter__()", True),
        ("RLock", "lock.acquire()", True),
    ],
)
def test_a_lock_whose_owner_has_ended(kind: str, take: str, is_certain: bool) -> None:
    check(
        f"""
        lock = threading.{kind}()
        # It runs at the same time as the owner. Otherwise it could get the ident of that, and own
        # what that has owned.
        go = threading.Event()
        waiter = start("waiter", lambda: go.wait() and lock.acquire())
        start("owner", lambda: {take}).join()
        until(lambda: debug.owner(lock).has_ended)
        """,
        f"""
        (found,) = debug.find_stuck()
        assert found.object is lock
        assert found.kind == "owner ended"
        assert found.threads == ()
        assert found.is_certain is {is_certain}
        name = f"__main__.lock ({kind} at {{id(lock):#x}})"
        assert found.reason.startswith(f"{{name}} is held by a thread that has ended"), found
        assert ("bare acquire()" in found.reason) is not {is_certain}
        assert "no thread waits for it" in found.text()

        go.set()
        until(lambda: debug.waiters(lock))
        (found,) = debug.find_stuck()
        assert found.threads == (waiter,)
        assert "  waiter: waiting for __main__.lock" in found.text(), found.text()
        assert "held by a thread that has ended, for " in found.text(), found.text()
        assert repr(found) == f"<rthread.debug.Stuck: {{found.reason}}>"
        assert debug.find_deadlocks() == []
        """,
    )


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_lock_whose_owner_did_not_come_along_through_fork() -> None:
    """As in gunicorn#3529: a worker is forked while a thread of the parent holds a lock."""
    output = support.check_snippet(
        planted.program(
            """
            import os, warnings
            warnings.simplefilter("ignore", DeprecationWarning)
            lock = threading.Lock()
            taken = threading.Event()
            over = threading.Event()

            def hold():
                with lock:
                    taken.set()
                    over.wait()

            holder = start("holder", hold)
            taken.wait()
            pid = os.fork()
            if pid:
                assert debug.find_stuck() == []
                assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
                over.set()
                holder.join()
                sys.exit()
            waiter = start("waiter", lock.acquire)
            until(lambda: debug.waiters(lock))
            (found,) = debug.find_stuck()
            assert found.kind == "owner lost by fork"
            assert found.threads == (waiter,)
            assert found.is_certain
            print(found.reason)
            # The number of a thread of the child is not mistaken for it.
            late = threading.Lock()
            start("owner", late.__enter__).join()
            until(lambda: debug.owner(late).has_ended)
            assert [stuck.kind for stuck in debug.find_stuck()] == [
                "owner lost by fork", "owner ended"
            ] or [stuck.kind for stuck in debug.find_stuck()] == [
                "owner ended", "owner lost by fork"
            ]
            """,
            END,
        )
    )
    assert output.startswith("__main__.lock (Lock at 0x")
    assert output.endswith("is held by a thread that did not come along through fork\n")


NESTED = """
from concurrent.futures import ThreadPoolExecutor

def inner():
    return 1

def outer(executor, meeting):
    # No worker is free when the inner tasks come.
    meeting.wait()
    return executor.submit(inner).result()

def submit(executor, count):
    meeting = threading.Barrier(count)
    return [executor.submit(outer, executor, meeting) for _ in range(count)]
"""


@pytest.mark.parametrize("count", [1, 3])
@pytest.mark.parametrize("mode", ["", "native=False", "queue=True"])
def test_an_executor_all_of_whose_workers_wait_for_nested_tasks(count: int, mode: str) -> None:
    """As in xorq#2243 and tornado#1595."""
    workers = "the only worker" if count == 1 else f"all {count} workers"
    wait = "waits" if count == 1 else "wait"
    support.check_snippet(
        planted.program(
            NESTED,
            f"""
            executor = ThreadPoolExecutor({count})
            futures = submit(executor, {count})
            until(debug.find_stuck)
            (found,) = debug.find_stuck()
            assert found.object is executor
            assert found.kind == "executor"
            assert set(found.threads) == set(executor._threads)
            assert found.is_certain
            assert found.reason == (
                "{workers} of ThreadPoolExecutor-0 {wait} for results that only this executor "
                "can compute"
            ), found
            assert found.text().startswith(f"Stuck: {{found.reason}}."), found.text()
            assert "in outer" in found.text(), found.text()
            assert debug.find_deadlocks() == []
            """,
            END,
        ).replace("rthread.install()", f"rthread.install({mode})")
    )


def test_an_executor_with_a_name_that_waits_for_all_of_several_nested_tasks() -> None:
    check(
        NESTED,
        """
        from concurrent import futures

        def gather():
            tasks = [executor.submit(inner) for _ in range(3)]
            futures.wait(tasks)

        executor = ThreadPoolExecutor(1, thread_name_prefix="resolver")
        executor.submit(gather)
        until(debug.find_stuck)
        (found,) = debug.find_stuck()
        assert found.reason == (
            "the only worker of resolver waits for results that only this executor can compute"
        ), found
        assert found.is_certain
        """,
    )


@pytest.mark.skipif(
    not getattr(sys, "_is_gil_enabled", lambda: True)(),
    reason="a result that another worker computes is known from the variables of frames alone",
)
def test_a_chain_of_results_through_the_workers_of_an_executor() -> None:
    check(
        NESTED,
        """
        def chain(depth):
            task = executor.submit(chain, depth - 1) if depth else executor.submit(inner)
            return task.result()

        executor = ThreadPoolExecutor(3)
        executor.submit(chain, 2)
        until(debug.find_stuck)
        (found,) = debug.find_stuck()
        assert found.reason.startswith("all 3 workers of ThreadPoolExecutor-0 wait"), found
        """,
    )


def test_two_executors_that_wait_for_each_other() -> None:
    check(
        NESTED,
        """
        def cross(other, meeting):
            meeting.wait()
            return other.submit(inner).result()

        left, right = ThreadPoolExecutor(1, "left"), ThreadPoolExecutor(1, "right")
        meeting = threading.Barrier(2)
        left.submit(cross, right, meeting)
        right.submit(cross, left, meeting)
        until(debug.find_stuck)
        assert [found.reason for found in debug.find_stuck()] == [
            "the only worker of left waits for results that only right can compute, "
            "and is stuck as well",
            "the only worker of right waits for results that only left can compute, "
            "and is stuck as well",
        ], debug.find_stuck()
        """,
    )


def test_executors_that_are_not_stuck() -> None:
    check(
        NESTED,
        """
        from concurrent.futures import Future
        from concurrent.futures._base import Future as Plain

        # One waits for a result that comes from elsewhere.
        elsewhere = Plain()
        outside = ThreadPoolExecutor(1)
        first = outside.submit(elsewhere.result)
        # One waits with a time-out.
        limited = ThreadPoolExecutor(1)
        def wait_a_while():
            task = limited.submit(inner)
            try:
                task.result(timeout=60)
            except Exception:
                pass
        over = threading.Event()
        second = limited.submit(wait_a_while)
        # One has room for another worker.
        roomy = ThreadPoolExecutor(2)
        third = roomy.submit(lambda: roomy.submit(over.wait).result())

        def waits():
            return sum(
                wait.kind in ("condition", "event")
                for executor in (outside, limited, roomy)
                for thread in list(executor._threads)
                for wait in [w for w in all_waits() if w.thread is thread]
            )

        def all_waits():
            objects = [elsewhere._condition, over]
            return [wait for obj in objects for wait in debug.waiters(obj)]

        until(lambda: waits() == 2)
        assert debug.find_stuck() == []
        elsewhere.set_result(1)
        over.set()
        assert first.result(60) == 1
        assert third.result(60)
        """,
    )


def test_a_thread_pool_whose_workers_wait_for_nested_tasks() -> None:
    finished = support.run_snippet(
        planted.program(
            """
        from multiprocessing.pool import ThreadPool

        def outer(meeting):
            meeting.wait()
            return pool.apply_async(int).get()

        meeting = threading.Barrier(2)
        pool = ThreadPool(2)
        pool.apply_async(outer, (meeting,))
        pool.apply_async(outer, (meeting,))
        until(debug.find_stuck)
        (found,) = debug.find_stuck()
        assert found.reason == (
            f"all 2 workers of ThreadPool at {id(pool):#x} wait for results that only this pool "
            "can compute"
        ), found
        assert found.object is pool
        assert set(found.threads) == set(pool._pool)
        """,
            END,
        )
    )
    # Its semaphores are found to be left over.
    assert finished.returncode == 0, finished.stderr


def test_nothing_is_stuck_in_a_program_at_work() -> None:
    check(
        """
        import queue
        from concurrent.futures import ThreadPoolExecutor
        jobs = queue.Queue()
        event = threading.Event()
        lock = threading.Lock()
        executor = ThreadPoolExecutor(2)
        executor.submit(int).result()

        def hold():
            with lock:
                event.wait()

        threads = [start("getter", jobs.get), start("holder", hold)]
        until(lambda: debug.waiters(jobs) and debug.waiters(event))
        threads.append(start("second", lock.acquire))
        until(lambda: debug.waiters(lock))
        assert debug.find_stuck() == []
        assert debug.find_deadlocks() == []
        """,
    )
