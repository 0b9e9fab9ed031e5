"""`register` and `--dump-on`: files that do not take a report, bad input, and the command."""

from __future__ import annotations

import os
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


# Files that do not take it


def test_a_closed_file_and_its_successor_get_nothing(tmp_path: Path) -> None:
    support.check_snippet(
        """
        import os, signal, sys
        from rthread import debug
        folder = sys.argv[1]
        file = open(folder + "/report", "w")
        debug.register(signal.SIGUSR1, file)
        r, w = os.pipe()
        debug.register(signal.SIGUSR2, w)
        def sync():
            os.kill(os.getpid(), signal.SIGUSR2)
            text = b""
            while b"No deadlock" not in text:
                text += os.read(r, 100_000)
        os.kill(os.getpid(), signal.SIGUSR1)
        sync()
        assert "No deadlock" in open(folder + "/report").read()
        fd = file.fileno()
        file.close()
        os.kill(os.getpid(), signal.SIGUSR1)
        sync()
        other = os.open(folder + "/other", os.O_CREAT | os.O_RDWR)
        assert other == fd
        os.kill(os.getpid(), signal.SIGUSR1)
        sync()
        sync()
        assert os.path.getsize(folder + "/other") == 0
        """,
        str(tmp_path),
    )


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")
def test_a_full_device_and_a_closed_pipe_do_not_hurt() -> None:
    support.check_snippet(
        """
        import os, signal
        from rthread import debug
        signal.signal(signal.SIGPIPE, signal.SIG_DFL)
        full = open("/dev/full", "w")
        r, w = os.pipe()
        debug.register(signal.SIGHUP, full)
        debug.register(signal.SIGUSR1, w)
        os.close(r)
        r, w = os.pipe()
        debug.register(signal.SIGUSR2, w)
        for _ in range(5):
            os.kill(os.getpid(), signal.SIGHUP)
            os.kill(os.getpid(), signal.SIGUSR1)
            os.kill(os.getpid(), signal.SIGUSR2)
            text = b""
            while b"No deadlock" not in text:
                text += os.read(r, 100_000)
        """
    )


def test_a_pipe_that_is_read_slowly_and_does_not_block(tmp_path: Path) -> None:
    support.check_snippet(
        """
        import os, signal, threading, time, rthread
        rthread.install()
        from rthread import debug
        for _ in range(300):
            threading.Thread(target=threading.Event().wait, daemon=True).start()
        r, w = os.pipe()
        os.set_blocking(w, False)
        debug.register(signal.SIGUSR1, w)
        os.kill(os.getpid(), signal.SIGUSR1)
        text = b""
        while b"No deadlock" not in text:
            text += os.read(r, 1000)
        assert text.count(b"waiting for Event") == 300, text
        """
    )


def test_a_report_that_fails_is_replaced_by_the_records(tmp_path: Path) -> None:
    source = """
        from rthread.debug import _ask
        debug.register(signal.SIGUSR1)
        def fail():
            raise MemoryError
        look, _ask.look = _ask.look, fail
        say("ready")
        order()
        _ask.look = look
        say("again")
        order()
    """
    with program(tmp_path, source) as running:
        running.expect("ready")
        running.send(USR1)
        running.until("an exception was raised when")
        running.order()
        running.expect("again")
        running.report(USR1, "in order")
        running.order()
        running.finish()


# Bad input

BAD = [
    ("0", "ValueError: there is no signal 0 that a program can use"),
    ("-1", "ValueError: there is no signal -1 that a program can use"),
    ("65", "ValueError: there is no signal 65 that a program can use"),
    ("10**30", f"ValueError: there is no signal {10**30} that a program can use"),
    ("signal.SIGKILL", "ValueError: SIGKILL cannot be caught"),
    ("signal.SIGSTOP", "ValueError: SIGSTOP cannot be caught"),
    *(
        (
            f"signal.{name}",
            f"ValueError: {name} tells of a fault: faulthandler.enable() reports it",
        )
        for name in ("SIGSEGV", "SIGFPE", "SIGABRT", "SIGBUS", "SIGILL")
    ),
    ("'SIGUSR1'", "TypeError: signum must be an int, not str"),
    ("None", "TypeError: signum must be an int, not NoneType"),
    ("1.0", "TypeError: signum must be an int, not float"),
]


@pytest.mark.parametrize(("signum", "error"), BAD)
@pytest.mark.parametrize("function", ["register", "unregister"])
def test_bad_signals(function: str, signum: str, error: str) -> None:
    namespace: dict[str, object] = {"signal": signal}
    from rthread import debug

    with pytest.raises((ValueError, TypeError)) as caught:
        getattr(debug, function)(eval(signum, namespace))
    assert f"{type(caught.value).__name__}: {caught.value}" == error


@pytest.mark.parametrize(
    ("file", "error"),
    [
        ("object()", "AttributeError: 'object' object has no attribute 'fileno'"),
        ("io.StringIO()", "UnsupportedOperation: fileno"),
        ("closed", "ValueError: I/O operation on closed file"),
        ("-1", "ValueError: file is no file descriptor: -1"),
        ("2**31", "ValueError: file is no file descriptor: 2147483648"),
        ("999", "OSError: [Errno 9] Bad file descriptor"),
        ("Odd()", "ValueError: file.fileno() must return an int, not str"),
    ],
)
def test_bad_files(file: str, error: str) -> None:
    out = support.check_snippet(
        f"""
        import io, os, signal
        from rthread import debug
        class Odd:
            def fileno(self): return "2"
        closed = open(os.devnull)
        closed.close()
        try:
            debug.register(signal.SIGUSR1, {file})
        except Exception as error:
            print(f"{{type(error).__name__}}: {{error}}")
        assert not debug.unregister(signal.SIGUSR1)
        assert signal.getsignal(signal.SIGUSR1) is signal.SIG_DFL
        """
    )
    assert out.strip() == error


@pytest.mark.parametrize("change", ["sys.stderr = None", "del sys.stderr"])
def test_without_stderr(change: str) -> None:
    out = support.check_snippet(
        f"""
        import signal, sys
        from rthread import debug
        {change}
        try:
            debug.register(signal.SIGUSR1)
        except RuntimeError as error:
            print(error)
        debug.register(signal.SIGUSR1, 1)
        """
    )
    assert out == "sys.stderr is None or missing, so register() needs a file\n"


def test_not_in_a_sub_interpreter() -> None:
    pytest.importorskip("_interpreters" if sys.version_info >= (3, 13) else "_xxsubinterpreters")
    out = support.check_snippet(
        """
        import sys
        if sys.version_info >= (3, 13): import _interpreters as interpreters
        else: import _xxsubinterpreters as interpreters
        interpreter = interpreters.create()
        interpreters.run_string(interpreter, '''if 1:
            import signal
            from rthread import debug
            try:
                debug.register(signal.SIGUSR1)
            except RuntimeError as error:
                print(error, flush=True)
        ''')
        interpreters.destroy(interpreter)
        """
    )
    assert out == "register() works in the main interpreter only: signals are its own\n"


# --dump-on


@pytest.mark.parametrize(
    ("options", "environment"),
    [
        (["--dump-on=SIGQUIT"], {}),
        (["--dump-on", "quit"], {}),
        (["--dump-on=3", "--queue"], {}),
        (["--dump-on=SIGUSR2", "--dump-on=SIGQUIT"], {}),
        (["--dump-on=QUIT"], {"RTHREAD_DUMP_ON": "SIGUSR1"}),
        ([], {"RTHREAD_DUMP_ON": "sigquit"}),
    ],
    ids=str,
)
def test_dump_on(tmp_path: Path, options: list[str], environment: dict[str, str]) -> None:
    source = """
        import os, threading
        lock = threading.Lock()
        lock.acquire()
        os.write(1, b"ready\\n")
        lock.acquire()
    """
    command = ("-m", "rthread", *options)
    with program(tmp_path, source, command=command, env=environment) as running:
        running.expect("ready")
        running.report(signal.SIGQUIT, "waiting for __main__.lock")
        # Another signal, which the environment or an earlier option names, has no effect.
        if environment and options:
            running.send(USR1)
            running.finish(-USR1)


@pytest.mark.parametrize("value", ["NONSENSE", "SIGKILL", "SEGV", "0", "99", "", "-1", "SIG"])
def test_dump_on_nonsense(value: str) -> None:
    finished = support.run_python("-m", "rthread", f"--dump-on={value}", "-c", "pass")
    assert (finished.returncode, finished.stdout) == (2, "")
    assert "--dump-on needs one of SIGHUP, SIGINT, SIGQUIT, " in finished.stderr
    assert f"or its number, not {value!r}; see python -m rthread --help" in finished.stderr
    assert finished.stderr.count("\n") == 1
    assert "SIGKILL," not in finished.stderr
    assert "SIGSEGV" not in finished.stderr


def test_a_variable_without_a_meaning_is_told_once() -> None:
    environment = {"RTHREAD_DUMP_ON": "NONSENSE"}
    finished = support.run_python("-m", "rthread", "-c", "print(1)", env=environment)
    assert (finished.returncode, finished.stdout) == (0, "1\n")
    assert finished.stderr.startswith("rthread: RTHREAD_DUMP_ON=NONSENSE is ignored: it needs one")
    assert finished.stderr.count("\n") == 1


def test_children_report_on_the_same_signal(tmp_path: Path) -> None:
    source = """
        import os, subprocess, sys
        child = '''if 1:
            import os, threading
            lock = threading.Lock()
            lock.acquire()
            os.write(1, b"%d\\\\n" % os.getpid())
            lock.acquire()
        '''
        subprocess.run([sys.executable, "-c", child])
    """
    command = ("-m", "rthread", "--children", "--dump-on=SIGQUIT")
    with program(tmp_path, source, command=command) as running:
        assert running.process.stdout is not None
        pid = int(running.process.stdout.readline())
        running.report(signal.SIGQUIT, "waiting for __main__.lock", f"process {pid}:", pid=pid)
        running.report(signal.SIGQUIT, f"process {running.pid}:")
