"""`register`: the report comes whatever the program does."""

from __future__ import annotations

import re
import signal
import sys
import sysconfig
from pathlib import Path

import pytest
from signalled import RECORDS, program

import support

if sys.platform == "win32":
    pytest.skip("there are no signals", allow_module_level=True)

FREE_THREADED = bool(sysconfig.get_config_var("Py_GIL_DISABLED"))
USR1, USR2 = signal.SIGUSR1, signal.SIGUSR2


# It comes while the program is stuck


@pytest.mark.parametrize(
    ("wait", "words"),
    [
        ("lock.acquire()", ["waiting for __main__.lock (Lock at", "held by owner"]),
        ("owner.join()", ["waiting for the end of owner"]),
        ("threading.Event().wait()", ["waiting for Event at"]),
        ("queue.Queue().get()", ["waiting for an item from "]),
        ("time.sleep(1000)", ["in <module>"]),
    ],
    ids=["acquire", "join", "event", "queue", "sleep"],
)
def test_it_comes_while_the_main_thread_waits(tmp_path: Path, wait: str, words: list[str]) -> None:
    source = f"""
        import queue
        lock = threading.Lock()
        taken = threading.Event()
        def own():
            with lock:
                taken.set()
                order()
                os._exit(0)
        owner = start("owner", own)
        taken.wait()
        debug.register(signal.SIGUSR1)
        say("ready")
        {wait}
    """
    with program(tmp_path, source) as running:
        running.expect("ready")
        report = running.report(USR1, "MainThread, main thread", *words)
        assert re.search(r"^owner, daemon, native id \d+, ident \d+$", report, re.M)
        running.order()
        running.finish()


def test_it_names_the_deadlock_of_the_main_thread(tmp_path: Path) -> None:
    source = """
        a, b = threading.Lock(), threading.Lock()
        meeting = threading.Barrier(2)
        def take(first, second):
            with first:
                meeting.wait()
                with second:
                    pass
        debug.register(signal.SIGUSR1)
        start("other", take, a, b)
        say("ready")
        take(b, a)
    """
    with program(tmp_path, source) as running:
        running.expect("ready")
        report = running.report(USR1, "Deadlock: 2 threads wait for each other.")
        assert "__main__.a (Lock at" in report
        assert "__main__.b (Lock at" in report


def test_without_the_gil_the_records_come_first_and_the_stacks_later(tmp_path: Path) -> None:
    source = """
        lock = threading.Lock()
        debug.register(signal.SIGUSR1)
        with lock:
            waiter = start("waiter", lock.acquire)
            while not debug.waiters(lock):
                time.sleep(0.01)
            keep_gil()
            say("released")
        order()
    """
    with program(tmp_path, source) as running:
        running.expect("kept")
        running.send(USR1)
        text = running.until(f"{RECORDS}(?s:.*)held by")
        why = "not ready" if FREE_THREADED else "no thread could get the GIL in 2 s"
        assert why in text
        assert re.search(rf"^rthread \S+, process {running.pid}: \d+ threads$", text, re.M)
        main = rf"^\S+, main thread, native id {running.pid}, ident \d+, number (\d+)$"
        found = re.search(main, text, re.M)
        assert found, text
        waiting = r"^  state  waiting for Lock at 0x[0-9a-f]+, held by number (\d+), for \d+\.\d s$"
        assert re.findall(waiting, text, re.M) == [found.group(1)]
        assert "rthread-dump" not in text
        assert "stack" not in text.replace("Python stacks", "")
        # A second signal is answered by further records, as long as the thread keeps the GIL.
        running.send(USR1)
        running.until(RECORDS, times=2)
        running.order()
        running.expect("released")
        running.until('File "')
        running.report(USR1, "MainThread", "in order")
        running.order()
        running.finish()


def test_the_main_thread_attaches_while_another_thread_keeps_the_gil(tmp_path: Path) -> None:
    source = """
        lock = threading.Lock()
        lock.acquire()
        debug.register(signal.SIGUSR1)
        def keep():
            while not debug.waiters(lock):
                time.sleep(0.01)
            keep_gil()
            lock.release()
        start("keeper", keep)
        lock.acquire()
        say("on")
        order()
    """
    with program(tmp_path, source) as running:
        running.expect("kept")
        running.send(USR1)
        running.until(RECORDS)
        running.order()
        running.expect("on")
        running.report(USR1, "MainThread", "in order")
        running.order()
        running.finish()


def test_a_long_computation_in_c(tmp_path: Path) -> None:
    source = """
        debug.register(signal.SIGUSR1)
        say("ready")
        while True:
            sum(range(3_000_000))
    """
    with program(tmp_path, source) as running:
        running.expect("ready")
        running.report(USR1, "MainThread, main thread", "in <module>")


def test_it_comes_while_the_import_lock_is_held(tmp_path: Path) -> None:
    (tmp_path / "slow.py").write_text("import __main__; __main__.meet()\n", "utf-8")
    source = f"""
        import _imp
        sys.path.insert(0, {str(tmp_path)!r})
        lock = threading.Lock()
        lock.acquire()
        debug.register(signal.SIGUSR1)
        def meet():
            _imp.acquire_lock()
            say("ready")
            lock.acquire()
        import slow
    """
    with program(tmp_path, source) as running:
        running.expect("ready")
        running.report(USR1, "waiting for __main__.lock", "in meet", "slow.py")


def test_it_comes_while_a_thread_holds_the_buffer_of_stderr(tmp_path: Path) -> None:
    source = """
        import io
        lock = threading.Lock()
        lock.acquire()
        class Slow(io.RawIOBase):
            def writable(self): return True
            def fileno(self): return 2
            def write(self, data):
                say("ready")
                lock.acquire()
        sys.stderr = io.TextIOWrapper(io.BufferedWriter(Slow(), 10), write_through=True)
        debug.register(signal.SIGUSR1)
        def fill():
            sys.stderr.write("x" * 100)
        writer = start("writer", fill)
        writer.join()
    """
    with program(tmp_path, source) as running:
        running.expect("ready")
        report = running.report(USR1, "waiting for the end of writer")
        assert re.search(r", in (Slow\.)?write$", report, re.M)


# Many signals


def test_signals_in_a_row(tmp_path: Path) -> None:
    source = """
        debug.register(signal.SIGUSR1)
        debug.register(signal.SIGUSR2)
        lock = threading.Lock()
        lock.acquire()
        say("ready")
        while order() == "go":
            for _ in range(300):
                os.kill(os.getpid(), signal.SIGUSR1)
                os.kill(os.getpid(), signal.SIGUSR2)
            say("sent")
    """
    with program(tmp_path, source) as running:
        running.expect("ready")
        for _ in range(10):
            before = len(running.errors())
            running.order("go")
            for _ in range(300):
                running.send(USR1)
            running.expect("sent")
            running.until("rthread ", before)
        running.report(USR1, "MainThread")
        running.order("end")
        text = running.finish()
    # At its end there may be reports without stacks, and one that is cut off.
    headlines = text.count("rthread ")
    ends = text.count("No deadlock was found") + text.count(RECORDS)
    assert headlines - 1 <= ends <= headlines
    assert 10 <= headlines < 9000


def test_two_signals_with_files_of_their_own(tmp_path: Path) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    source = f"""
        files = [open(path, "w") for path in {[str(one), str(two)]!r}]
        debug.register(signal.SIGUSR1, files[0])
        debug.register(signal.SIGUSR2, file=files[1].fileno())
        say("ready")
        order()
        debug.register(signal.SIGUSR1, files[1])
        say("changed")
        order()
    """
    with program(tmp_path, source) as running:
        running.expect("ready")
        running.send(USR1)
        support.wait_until(lambda: "No deadlock" in one.read_text("utf-8"))
        assert two.read_text("utf-8") == ""
        running.send(USR2)
        support.wait_until(lambda: "No deadlock" in two.read_text("utf-8"))
        running.order()
        running.expect("changed")
        running.send(USR1)
        support.wait_until(lambda: two.read_text("utf-8").count("No deadlock") == 2)
        assert one.read_text("utf-8").count("No deadlock") == 1
        running.order()
        assert running.finish() == ""
