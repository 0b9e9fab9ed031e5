"""`register`: the handlers that were there before, and what the program sees of the helper."""

from __future__ import annotations

import os
import re
import signal
import sys
import sysconfig
from pathlib import Path

import pytest
from signalled import program

import support

if sys.platform == "win32":
    pytest.skip("there are no signals", allow_module_level=True)

FREE_THREADED = bool(sysconfig.get_config_var("Py_GIL_DISABLED"))
USR1, USR2 = signal.SIGUSR1, signal.SIGUSR2


# The handler before


def test_chain_calls_the_python_handler_too(tmp_path: Path) -> None:
    source = """
        calls = []
        def handler(number, frame):
            calls.append(number)
            say(f"handler {len(calls)}")
        signal.signal(signal.SIGUSR1, handler)
        debug.register(signal.SIGUSR1, chain=True)
        assert signal.getsignal(signal.SIGUSR1) is handler
        lock = threading.Lock()
        lock.acquire()
        def work():
            order()
            lock.release()
        start("worker", work)
        say("ready")
        # The handler runs in the middle of the wait: the signal interrupts it.
        lock.acquire()
        os.read(0, 1)
        assert debug.unregister(signal.SIGUSR1)
        os.kill(os.getpid(), signal.SIGUSR1)
        while len(calls) < 4:
            pass
        assert not debug.unregister(signal.SIGUSR1)
    """
    with program(tmp_path, source) as running:
        running.expect("ready")
        for number in (1, 2):
            before = len(running.errors())
            running.send(USR1)
            running.expect(f"handler {number}")
            running.until("No deadlock", before)
        running.order()
        running.report(USR1)
        running.expect("handler 3")
        running.order()
        running.expect("handler 4")
        text = running.finish()
        assert text.count("No deadlock") == 3


@pytest.mark.parametrize("their_chain", [False, True])
@pytest.mark.parametrize("on_top", [False, True])
def test_chain_with_faulthandler(tmp_path: Path, their_chain: bool, on_top: bool) -> None:
    ours = "debug.register(signal.SIGUSR1, chain=True)"
    theirs = f"faulthandler.register(signal.SIGUSR1, chain={their_chain or on_top})"
    first, then = (ours, theirs) if on_top else (theirs, ours)
    source = f"""
        import faulthandler
        signal.signal(signal.SIGUSR1, lambda number, frame: say("handler"))
        {first}
        {then}
        say("ready")
        order()
        debug.unregister(signal.SIGUSR1)
        say("unregistered")
        order()
    """
    with program(tmp_path, source) as running:
        running.expect("ready")
        for number in range(1, 4):
            running.report(USR1)
            running.until("Current thread", times=number)
            if their_chain or on_top:
                running.expect("handler")
        running.order()
        running.expect("unregistered")
        before = len(running.errors())
        running.send(USR1)
        running.until("Current thread", before)
        if their_chain or on_top:
            running.expect("handler")
        running.order()
        assert "rthread" not in running.finish()[before:]


def test_chain_takes_the_default_action_after_the_report(tmp_path: Path) -> None:
    source = """
        debug.register(signal.SIGTERM, chain=True)
        say("ready")
        order()
    """
    with program(tmp_path, source) as running:
        running.expect("ready")
        running.send(signal.SIGTERM)
        assert running.process.wait(support.PROCESS_HANG) == -signal.SIGTERM
        assert "No deadlock was found" in running.errors()


def test_chain_with_a_signal_that_does_nothing(tmp_path: Path) -> None:
    source = """
        debug.register(signal.SIGWINCH, chain=True)
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        debug.register(signal.SIGHUP, chain=True)
        say("ready")
        order()
    """
    with program(tmp_path, source) as running:
        running.expect("ready")
        for signum in (signal.SIGWINCH, signal.SIGHUP, signal.SIGWINCH, signal.SIGHUP):
            running.report(signum, "in order")
        running.order()
        running.finish()


@pytest.mark.skipif(not os.path.exists("/proc/self/status"), reason="needs Linux")
def test_chain_with_a_signal_that_stops_the_process() -> None:
    support.check_snippet(
        """
        import os, signal, time
        from rthread import debug
        r, w = os.pipe()
        pid = os.fork()
        if pid == 0:
            # Not a group without a parent in the session: the system does not stop those.
            os.setpgid(0, 0)
            debug.register(signal.SIGTSTP, w, chain=True)
            while True:
                time.sleep(1)
        os.close(w)
        def is_registered():
            with open(f"/proc/{pid}/status") as file:
                (line,) = [line.split() for line in file if line.startswith("SigCgt")]
            return int(line[1], 16) >> signal.SIGTSTP - 1 & 1
        for _ in range(3):
            while not is_registered():
                time.sleep(0.001)
            os.kill(pid, signal.SIGTSTP)
            assert os.WIFSTOPPED(os.waitpid(pid, os.WUNTRACED)[1])
            text = os.read(r, 100_000)
            assert text.startswith(b"rthread ") and text.count(b"No deadlock") == 1, text
            os.kill(pid, signal.SIGCONT)
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        """
    )


@pytest.mark.parametrize("before", ["SIG_DFL", "SIG_IGN", "default_int_handler"])
@pytest.mark.parametrize("chain", [False, True])
def test_unregister_restores_what_was_before(before: str, chain: bool) -> None:
    support.check_snippet(
        f"""
        import signal
        from rthread import debug

        def is_in(mask):
            with open("/proc/self/status") as file:
                (line,) = [line.split() for line in file if line.startswith(mask)]
            return int(line[1], 16) >> signal.SIGUSR2 - 1 & 1

        def state():
            return is_in("SigIgn"), is_in("SigCgt")

        signal.signal(signal.SIGUSR2, signal.{before})
        at_first = state()
        assert not debug.unregister(signal.SIGUSR2)
        debug.register(signal.SIGUSR2, chain={chain})
        assert state() == (0, 1)
        debug.register(signal.SIGUSR2, chain=not {chain})
        assert debug.unregister(signal.SIGUSR2) is True
        assert state() == at_first
        assert debug.unregister(signal.SIGUSR2) is False
        """
    )


def test_unregister_leaves_a_handler_that_came_later() -> None:
    support.check_snippet(
        """
        import os, signal
        from rthread import debug
        calls = []
        debug.register(signal.SIGUSR1)
        signal.signal(signal.SIGUSR1, lambda *args: calls.append(1))
        assert debug.unregister(signal.SIGUSR1) is True
        os.kill(os.getpid(), signal.SIGUSR1)
        while not calls:
            pass
        """
    )


def test_registered_once_more_after_a_handler_that_came_later(tmp_path: Path) -> None:
    source = """
        import faulthandler
        debug.register(signal.SIGUSR1, chain=True)
        # It calls this one, and this one would call it.
        faulthandler.register(signal.SIGUSR1, chain=True)
        debug.register(signal.SIGUSR1, chain=True)
        say("ready")
        order()
    """
    with program(tmp_path, source) as running:
        running.expect("ready")
        running.report(USR1, "in order")
        running.report(USR1, "in order")
        running.order()
        assert "Current thread" in running.finish()


# It changes nothing


def test_nothing_sees_the_helper() -> None:
    support.check_snippet(
        """
        import os, signal, sys, threading, time, _thread
        import rthread
        stock_count = _thread._count
        def seen():
            frames = sys._current_frames()
            counts = stock_count(), rthread._count(), _thread._count(), threading.active_count()
            return counts, len(threading.enumerate()), len(frames), list(frames)
        def tasks():
            return os.listdir("/proc/self/task") if os.path.isdir("/proc/self/task") else []
        before, alone = seen(), len(tasks())
        rthread.debug.register(signal.SIGUSR1, open(os.devnull, "w"))
        assert seen() == before
        if tasks():
            assert len(tasks()) == alone + 1
        # These refuse if another thread is alive.
        rthread.install()
        assert seen() == before
        os.kill(os.getpid(), signal.SIGUSR1)
        rthread.debug.dump(open(os.devnull, "w"))
        deadline = time.monotonic() + 60
        while len(tasks()) > alone + 1 or seen() != before:
            assert time.monotonic() < deadline
        rthread.uninstall()
        # A helper that is at work at this moment stays.
        while len(tasks()) > alone:
            rthread.debug.register(signal.SIGUSR1, 2)
            assert rthread.debug.unregister(signal.SIGUSR1)
            assert time.monotonic() < deadline
        """.replace("import rthread\n", "import rthread, rthread.debug\n")
    )


def test_the_report_has_the_threads_of_the_program_and_no_other(tmp_path: Path) -> None:
    source = """
        debug.register(signal.SIGUSR1)
        threads = [start(f"worker {i}", threading.Event().wait) for i in range(5)]
        say("ready")
        order()
    """
    with program(tmp_path, source) as running:
        running.expect("ready")
        report = running.report(USR1, *[f"worker {i}" for i in range(5)], "in order")
        assert len(re.findall(r"^  state  ", report, re.M)) == 6
        assert ": 6 threads, " in report
        running.order()
        running.finish()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_fork_in_a_process_with_one_thread_warns_of_no_other() -> None:
    support.check_snippet(
        """
        import os, signal, time
        from rthread import debug
        r, w = os.pipe()
        debug.register(signal.SIGUSR1, w)
        def report():
            os.kill(os.getpid(), signal.SIGUSR1)
            text = b""
            while b"No deadlock" not in text:
                text += os.read(r, 100_000)
            assert b"process %d:" % os.getpid() in text, text
        for _ in range(20):
            report()
            pid = os.fork()
            if pid == 0:
                report()
                os._exit(os.waitstatus_to_exitcode(os.waitpid(os.fork() or os._exit(0), 0)[1]))
            assert os.waitpid(pid, 0)[1] == 0
        report()
        """,
        flags=["-W", "error"],
    )


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_the_child_of_a_fork_reports_too(tmp_path: Path) -> None:
    source = """
        debug.register(signal.SIGUSR1)
        lock = threading.Lock()
        def fork():
            pid = os.fork()
            if pid:
                say(pid)
                os.waitpid(pid, 0)
            else:
                lock.acquire()
                say("child")
                lock.acquire()
        lock.acquire()
        waiter = start("waiter", lock.acquire)
        lock.release()
        waiter.join()
        lock.release()
        forker = start("forker", fork)
        order()
    """
    with program(tmp_path, source, "-W", "ignore") as running:
        assert running.process.stdout is not None
        said = {running.process.stdout.readline().decode().strip() for _ in range(2)}
        (child,) = said - {"child"}
        report = running.report(USR1, "waiting for __main__.lock", pid=int(child))
        assert f"process {child}: 1 thread," in report
        running.report(USR1, f"process {running.pid}:", "forker")


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_forks_in_the_middle_of_reports() -> None:
    support.check_snippet(
        """
        import os, signal, threading, rthread
        rthread.install()
        from rthread import debug
        debug.register(signal.SIGUSR1, open(os.devnull, "w"))
        for number in range(60):
            os.kill(os.getpid(), signal.SIGUSR1)
            pid = os.fork()
            if pid == 0:
                r, w = os.pipe()
                debug.register(signal.SIGUSR1, w)
                os.kill(os.getpid(), signal.SIGUSR1)
                assert os.read(r, 1) == b"r"
                os._exit(0)
            os.kill(os.getpid(), signal.SIGUSR1)
            assert os.waitpid(pid, 0)[1] == 0, number
        """,
        flags=["-W", "ignore"],
    )


@pytest.mark.parametrize("sends", [False, True])
@pytest.mark.parametrize("threads", [0, 3])
def test_the_process_ends_as_without_it(sends: bool, threads: int) -> None:
    for _ in range(10):
        support.check_snippet(
            f"""
            import atexit, os, signal, threading, rthread
            rthread.install()
            from rthread import debug
            debug.register(signal.SIGUSR1, open(os.devnull, "w"))
            for _ in range({threads}):
                threading.Thread(target=threading.Event().wait, daemon=True).start()
            def send():
                os.kill(os.getpid(), signal.SIGUSR1)
            class AtTheEnd:
                # Lives until the modules are cleared.
                kill, pid, signal = os.kill, os.getpid(), signal.SIGUSR1
                def __del__(self):
                    self.kill(self.pid, self.signal)
            if {sends}:
                atexit.register(send)
                last = AtTheEnd
                last = last()
                AtTheEnd.kill = staticmethod(os.kill)
                send()
            """
        )


def test_a_program_that_hangs_at_its_end_reports(tmp_path: Path) -> None:
    source = """
        import atexit
        lock = threading.Lock()
        lock.acquire()
        debug.register(signal.SIGUSR1)
        @atexit.register
        def hang():
            say("ready")
            lock.acquire()
    """
    with program(tmp_path, source) as running:
        running.expect("ready")
        running.report(USR1, "waiting for __main__.lock", "in hang")
