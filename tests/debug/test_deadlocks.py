"""Planted deadlocks under each policy: which are found, what is told of them, what goes on."""

from __future__ import annotations

import re

import planted
import pytest

import support

CERTAIN = {
    "two locks": (planted.TWO_LOCKS, {"one", "two"}, {"__main__.a", "__main__.b"}),
    "three threads": (
        planted.THREE_THREADS,
        {"one", "two", "three"},
        {"__main__.red", "__main__.green", "__main__.blue"},
    ),
    "RLock and join": (
        planted.JOIN_WITH_RLOCK,
        {"worker", "joiner"},
        {"__main__.guard", "the end of worker"},
    ),
    "one lock twice": (planted.TWICE, {"one"}, {"__main__.once"}),
    "condition and lock": (
        planted.CONDITION_AND_LOCK,
        {"notifier", "changer"},
        {"lock of __main__.changed", "__main__.table"},
    ),
}


@pytest.mark.parametrize("fault", CERTAIN)
def test_raise_ends_the_wait_of_one_thread_and_the_others_go_on(fault: str) -> None:
    source, threads, locks = CERTAIN[fault]
    text = support.check_snippet(
        planted.program(
            "debug.set_deadlock_policy('raise')",
            source,
            """
            for thread in threads:
                thread.join()
            errors = {name: end for name, end in outcomes.items() if end != "done"}
            assert len(errors) == 1 and len(outcomes) == len(threads), outcomes
            (name, error), = errors.items()
            deadlock = error.deadlock
            assert deadlock.is_certain
            assert set(deadlock.threads) == set(threads)
            assert deadlock.threads[0].name == name
            assert len(deadlock.locks) == len(deadlock.waits) == len(threads)
            assert str(error) == deadlock.text() == str(deadlock)
            assert isinstance(error, RuntimeError)
            assert debug.find_deadlocks() == []
            print(error)
            """,
        )
    )
    assert_report(text, threads, locks)


@pytest.mark.parametrize("fault", CERTAIN)
def test_warn_tells_once_and_the_threads_stay_in_the_deadlock(fault: str) -> None:
    source, threads, locks = CERTAIN[fault]
    finished = support.run_snippet(
        planted.program(
            """
            from rthread.debug import _policy
            told = []
            _policy.observers.append(lambda how, text: told.append(how))
            debug.set_deadlock_policy('warn')
            """,
            source,
            """
            # While a thread reports its wait it does not wait.
            until(lambda: told and not _policy._state["reporting"])
            until(found)
            (deadlock,) = debug.find_deadlocks()
            assert deadlock.is_certain
            assert set(deadlock.threads) == set(threads)
            assert outcomes == {}
            print(deadlock.text())
            """,
        )
    )
    assert finished.returncode == 0, finished.stderr
    assert finished.stderr.count("rthread: Deadlock: ") == 1
    assert_report(finished.stderr, threads, locks)
    assert_report(finished.stdout, threads, locks)


@pytest.mark.parametrize("fault", CERTAIN)
def test_exit_tells_and_ends_the_process(fault: str) -> None:
    source, threads, locks = CERTAIN[fault]
    finished = support.run_snippet(
        planted.program(
            "debug.set_deadlock_policy('exit')",
            "print('not flushed by print', end='')",
            source,
            "threading.Event().wait(60)",
            "print('the process went on')",
        )
    )
    assert (finished.returncode, finished.stdout) == (66, "not flushed by print")
    assert finished.stderr.startswith("rthread: Deadlock: ")
    assert_report(finished.stderr, threads, locks)


def assert_report(text: str, threads: set[str], locks: set[str]) -> None:
    """A deadlock names all threads and locks, and has the stacks."""
    if len(threads) == 1:
        assert "Deadlock: a thread waits for itself.\n" in text
    else:
        assert f"Deadlock: {len(threads)} threads wait for each other.\n" in text
    for thread in threads:
        assert re.search(rf"^  {thread}: waiting for ", text, re.MULTILINE), text
        stack = text.partition(f"\n{thread} stands at\n")[2]
        assert re.match(r'(  File ".*", line \d+, in .*\n)*  File "<string>", line ', stack), text
    for lock in locks:
        waits = rf"^  \w+: waiting for {re.escape(lock)}(,|$| \((Lock|RLock) at 0x)"
        assert re.search(waits, text, re.MULTILINE), text


def test_the_report_has_the_lines_where_the_threads_stand() -> None:
    text = support.check_snippet(
        planted.program(
            "debug.set_deadlock_policy('raise')",
            planted.TWO_LOCKS,
            """
            for thread in threads:
                thread.join()
            print(inner_line)
            print(*[end for end in outcomes.values() if end != "done"])
            """,
        )
    )
    line, _, report = text.partition("\n")
    assert report.count(f'  File "<string>", line {line}, in take\n') == 2
    # Nothing of the report's own code.
    assert "rthread/debug" not in report


@pytest.mark.parametrize("policy", ["raise", "warn", "exit"])
def test_a_deadlock_of_bare_acquires_is_possible_and_never_told(policy: str) -> None:
    support.check_snippet(
        planted.program(
            f"debug.set_deadlock_policy({policy!r})",
            planted.BARE_ACQUIRE,
            """
            until(found)
            (deadlock,) = debug.find_deadlocks()
            assert not deadlock.is_certain
            assert set(deadlock.threads) == set(threads)
            assert set(deadlock.locks) == {a, b}
            assert deadlock.text().startswith(
                "Possible deadlock: 2 threads wait for each other, unless another thread releases "
            ), deadlock.text()
            # This is why.
            a.release()
            b.release()
            for thread in threads:
                thread.join()
            assert outcomes == {"one": "done", "two": "done"}
            """,
        )
    )


def test_a_wait_with_a_time_out_is_no_deadlock() -> None:
    support.check_snippet(
        planted.program(
            "debug.set_deadlock_policy('raise')",
            """
            a, b = threading.Lock(), threading.Lock()
            meeting = threading.Barrier(2)

            def patient():
                with a:
                    meeting.wait()
                    with b:
                        pass

            def limited():
                with b:
                    meeting.wait()
                    assert not a.acquire(timeout=0.1)

            threads = [start("patient", tell, patient), start("limited", tell, limited)]
            until(lambda: debug.waiters(b))
            assert debug.find_deadlocks() == []
            for thread in threads:
                thread.join()
            assert outcomes == {"patient": "done", "limited": "done"}
            """,
        )
    )


def test_two_deadlocks_and_a_thread_beside_them() -> None:
    support.check_snippet(
        planted.program(
            planted.TWO_LOCKS,
            """
            first = list(threads)
            """,
            planted.TWICE,
            """
            def look_on():
                with once:
                    pass

            until(lambda: len(found()) == 2)
            beside = start("beside", look_on)
            until(lambda: [wait for wait in debug.waiters(once) if wait.thread is beside])
            deadlocks = debug.find_deadlocks()
            assert [set(d.threads) for d in deadlocks] == [set(first), set(threads)]
            """,
        )
    )


def test_a_thread_that_waits_again_for_the_lock_of_its_condition() -> None:
    """`Condition.wait` has to take its lock again, and cannot end with an exception there."""
    finished = support.run_snippet(
        planted.program(
            """
            changed = threading.Condition()
            table = threading.RLock()
            waits = threading.Event()
            heard = []

            class Ear:
                def write(self, text):
                    sys.__stderr__.write(text)
                    heard.append(text)
                def flush(self):
                    pass

            def wait():
                with table, changed:
                    waits.set()
                    changed.wait()

            def notify():
                waits.wait()
                with changed:
                    changed.notify()
                    with table:
                        pass

            sys.stderr = Ear()
            debug.set_deadlock_policy("raise")
            threads = [start("waiter", tell, wait), start("notifier", tell, notify)]
            # The notifier closes the deadlock and gets an error, or the waiter does, which is told.
            until(lambda: outcomes or heard)
            print("raised" if outcomes else "told")
            """
        )
    )
    assert finished.returncode == 0, finished.stderr
    if finished.stdout == "told\n":
        assert finished.stderr.startswith("rthread: Deadlock: 2 threads")
    else:
        assert finished.stdout == "raised\n"
        assert finished.stderr == ""


def test_the_report_does_not_hang_in_a_file_that_needs_a_lock_of_the_deadlock() -> None:
    finished = support.run_snippet(
        planted.program(
            """
            class NeedsLock:
                def write(self, text):
                    with once:
                        calls.append(text)
                def flush(self):
                    pass

            calls = []
            debug.set_deadlock_policy("warn")
            """,
            planted.TWICE.replace("threads =", "sys.stderr = NeedsLock()\nthreads ="),
            """
            until(lambda: debug.waiters(once))
            sys.stderr = sys.__stderr__
            # The thread waits within its report: no other thread is hurt.
            (wait,) = debug.waiters(once)
            assert wait.thread is threads[0]
            assert calls == []
            """,
        )
    )
    assert (finished.returncode, finished.stderr) == (0, "")


def test_an_error_keeps_its_text_in_another_process() -> None:
    support.check_snippet(
        planted.program(
            "debug.set_deadlock_policy('raise')",
            planted.TWICE,
            """
            import pickle
            threads[0].join()
            error = outcomes["one"]
            copy = pickle.loads(pickle.dumps(error))
            assert type(copy) is debug.DeadlockError
            assert str(copy) == str(error)
            assert copy.deadlock is None
            """,
        )
    )


def test_the_child_of_a_fork_is_told_of_its_own_deadlocks() -> None:
    output = support.check_snippet(
        planted.program(
            """
            import os, warnings
            warnings.simplefilter("ignore", DeprecationWarning)
            debug.set_deadlock_policy("raise")
            pid = os.fork() if hasattr(os, "fork") else 0
            if pid:
                status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
                assert status == 0, status
            """,
            planted.TWO_LOCKS,
            """
            for thread in threads:
                thread.join()
            errors = [end for end in outcomes.values() if end != "done"]
            assert len(errors) == 1, outcomes
            print("told")
            """,
        )
    )
    assert set(output.split()) == {"told"}


@pytest.mark.parametrize("way", ["rthread.install()", "from rthread import threading"])
def test_a_lock_against_the_import_of_a_module(way: str) -> None:
    """Any thread may release the import system's locks: told in reports, and never raised."""
    support.check_snippet(
        planted.program(
            """
            import io, json, tempfile
            debug.set_deadlock_policy("raise")
            table = threading.Lock()
            imports, holds = threading.Event(), threading.Event()
            directory = tempfile.TemporaryDirectory()
            sys.path.insert(0, directory.name)
            with open(os.path.join(directory.name, "needs_the_table.py"), "w") as file:
                file.write(
                    "import __main__\\n"
                    "__main__.imports.set()\\n"
                    "__main__.holds.wait()\\n"
                    "with __main__.table:\\n"
                    "    pass\\n"
                )

            def load():
                import needs_the_table

            def hold():
                imports.wait()
                with table:
                    holds.set()
                    import needs_the_table

            loader, holder = start("loader", load), start("holder", hold)
            until(found)
            (deadlock,) = debug.find_deadlocks()
            assert set(deadlock.threads) == {loader, holder}
            assert deadlock.is_certain
            assert {wait.kind for wait in deadlock.waits} == {"lock", "import"}
            text = deadlock.text()
            assert "  holder: waiting for the import of needs_the_table by loader" in text, text
            assert "  loader: waiting for __main__.table (Lock at 0x" in text, text
            file = io.StringIO()
            debug.dump(file, format="json")
            (found,) = json.loads(file.getvalue())["deadlocks"]
            (wait,) = [
                thread["waiting_for"] for thread in found["threads"] if thread["name"] == "holder"
            ]
            assert (wait["kind"], wait["name"]) == ("import", "needs_the_table")
            assert wait["owner"]["name"] == "loader"
            assert debug.held_by(holder) == [table]
            directory.cleanup()
            """
        ).replace("rthread.install()", way)
    )


def test_imports_at_work_are_no_deadlocks() -> None:
    support.check_snippet(
        planted.program(
            """
            import importlib
            lock = threading.Lock()
            names = ["json", "csv", "xml.dom", "email.message", "ast"]
            over = False

            def load_again(name):
                sys.modules.pop(name, None)
                try:
                    importlib.import_module(name)
                except (AttributeError, ImportError, KeyError):
                    # Another thread has removed it in the meantime.
                    pass

            def load():
                while not over:
                    for name in names:
                        with lock:
                            load_again(name)

            def load_without_lock():
                while not over:
                    for name in names:
                        load_again(name)
                        with lock:
                            pass

            threads = [start("with", load)]
            threads += [start("without", load_without_lock) for _ in range(2)]
            for _ in range(200):
                assert debug.find_deadlocks() == [], debug.find_deadlocks()[0].text()
            over = True
            for thread in threads:
                thread.join()
            """
        )
    )
