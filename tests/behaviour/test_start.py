"""Threads from `start_new_thread`: what they are given, how they end, and which hooks are told."""

from __future__ import annotations

import ctypes
import gc
import os
import signal
import sys
import threading
import weakref
from collections.abc import Callable
from typing import Any

import pytest

import rthread
from support import (
    HANG,
    Worker,
    check_snippet,
    collect_until,
    run_snippet,
    stock,
    wait_until,
    without_addresses,
    workers,
)

LIBC = ctypes.CDLL(None) if os.name == "posix" else None


class Reports:
    """Stands in for sys.unraisablehook."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.found: list[tuple[Any, ...]] = []
        monkeypatch.setattr(sys, "unraisablehook", self.take)

    def take(self, report: Any) -> None:
        # The report itself must not be kept: it holds the exception and its frames.
        self.found.append(
            (
                report.exc_type.__qualname__,
                without_addresses(str(report.exc_value)),
                without_addresses(str(report.err_msg)),
                without_addresses(repr(report.object)),
                report.exc_traceback is not None,
            )
        )

    def wait(self) -> tuple[Any, ...]:
        wait_until(lambda: self.found, "an unraisable exception")
        [found] = self.found
        self.found = []
        return found


@pytest.fixture
def reports(monkeypatch: pytest.MonkeyPatch) -> Reports:
    return Reports(monkeypatch)


def test_arguments_arrive(api: Any) -> None:
    got: list[Any] = []
    function: Callable[..., None] = lambda *args, **kwargs: got.append((args, kwargs))  # noqa: E731
    api.start_new_thread(function, (1, "two"), {"key": 3})
    api.start_new_thread(function, ())
    wait_until(lambda: len(got) == 2)
    assert ((1, "two"), {"key": 3}) in got
    assert ((), {}) in got


def test_keywords_are_a_copy_of_their_own(api: Any) -> None:
    """A change after the call is not seen by the thread; nor one by the thread here."""
    given = {"key": [1]}
    gate = threading.Event()
    got: list[Any] = []

    def run(**kwargs: Any) -> None:
        gate.wait(HANG)
        got.append(dict(kwargs))
        kwargs.clear()

    api.start_new_thread(run, (), given)
    gate.set()
    wait_until(lambda: got)
    assert got == [given] == [{"key": [1]}]


def test_function_and_arguments_are_dropped(api: Any) -> None:
    """By the thread, at its end: there are no other references."""

    class Argument:
        pass

    class Function:
        def __call__(self, argument: Argument, key: Argument) -> None:
            done.set()

    done = threading.Event()
    objects: list[Any] = [Function(), Argument(), Argument()]
    references = [weakref.ref(thing) for thing in objects]
    api.start_new_thread(objects[0], (objects[1],), {"key": objects[2]})
    objects.clear()
    assert done.wait(HANG)
    collect_until(lambda: all(reference() is None for reference in references))


def test_start_returns_the_ident_of_the_thread(api: Any) -> None:
    """The ident that the start returns is the thread's own, and the interpreter's for it."""
    with workers(api, 3) as crew:
        idents = [worker.ident for worker in crew]
        assert [worker.do(api.get_ident) for worker in crew] == idents
        assert [worker.do(stock().get_ident) for worker in crew] == idents
        assert len({*idents, api.get_ident()}) == 4
        natives = [worker.do(api.get_native_id) for worker in crew]
        assert natives == [worker.do(stock().get_native_id) for worker in crew]
        assert len({*natives, api.get_native_id()}) == 4
        assert set(idents) <= set(sys._current_frames())


def test_ident_takes_a_signal(api: Any) -> None:
    with workers(api, 1) as [worker]:
        signal.pthread_kill(worker.ident, 0)
        caught: list[int] = []
        before = signal.signal(signal.SIGUSR1, lambda number, frame: caught.append(number))
        try:
            signal.pthread_kill(worker.ident, signal.SIGUSR1)
            # The OS thread gets it, the main thread runs the handler.
            wait_until(lambda: caught)
        finally:
            signal.signal(signal.SIGUSR1, before)
        assert caught == [signal.SIGUSR1]


def test_ident_takes_an_asynchronous_exception(api: Any) -> None:
    class Stop(Exception):
        pass

    def spin() -> str:
        running.set()
        try:
            while True:
                pass
        except Stop:
            return "stopped"

    running = threading.Event()
    with workers(api, 1) as [worker]:
        pending = worker.submit(spin)
        assert running.wait(HANG)
        set_exception = ctypes.pythonapi.PyThreadState_SetAsyncExc
        set_exception.argtypes = (ctypes.c_ulong, ctypes.py_object)
        assert set_exception(worker.ident, Stop) == 1
        assert pending.result() == "stopped"


def test_frames_of_a_blocked_thread(api: Any) -> None:
    """What a debugger sees of a thread that waits for a lock: the caller of acquire."""
    lock = api.allocate_lock()
    lock.acquire()

    def wait_for_lock() -> None:
        lock.acquire()

    with workers(api, 1) as [worker]:
        pending = worker.block(wait_for_lock)
        wait_until(
            lambda: sys._current_frames()[worker.ident].f_code is wait_for_lock.__code__,
            "the frame",
        )
        lock.release()
        pending.result()


def test_count_is_the_number_of_threads(api: Any) -> None:
    before = api._count()
    with workers(api, 3):
        assert api._count() == before + 3
    wait_until(lambda: api._count() == before)


def test_count_has_the_threads_of_both_modules(ours: Any) -> None:
    """`install()` must know of every thread; the stock module knows only of its own."""
    before, stock_before = ours._count(), stock()._count()
    with workers(stock(), 2):
        assert ours._count() == before + 2
        with workers(ours, 1):
            assert ours._count() == before + 3
            assert stock()._count() == stock_before + 2


def test_stock_threading_sees_the_thread(api: Any) -> None:
    """As a dummy, like any thread that it did not start itself."""
    with workers(api, 1) as [worker]:
        name = worker.do(lambda: threading.current_thread().name)
        assert name.startswith("Dummy")
        assert worker.do(lambda: threading.current_thread().ident) == worker.ident


@pytest.mark.parametrize("leave", ["exit", "exit_thread", "SystemExit", "sys.exit"])
def test_system_exit_is_silent(
    api: Any, reports: Reports, leave: str, capfd: pytest.CaptureFixture[str]
) -> None:
    def run() -> None:
        reached.append(leave)
        if leave == "SystemExit":
            raise SystemExit(3)
        (sys.exit if leave == "sys.exit" else getattr(api, leave))()

    reached: list[str] = []
    before = api._count()
    api.start_new_thread(run, ())
    wait_until(lambda: reached)
    wait_until(lambda: api._count() == before)
    assert reports.found == []
    assert capfd.readouterr() == ("", "")


def fail(*args: object, **kwargs: object) -> None:
    raise ValueError("words")


def interrupt() -> None:
    raise KeyboardInterrupt("words")


def exit_group() -> None:
    raise GeneratorExit


FAILURES: dict[str, tuple[Any, ...]] = {
    "function": (fail, ()),
    "arguments": (fail, (1,), {"key": 2}),
    "wrong number": (exit_group, (1, 2)),
    "keys that are no strings": (fail, (), {1: 2}),
    "builtin": (len, ()),
    "KeyboardInterrupt": (interrupt, ()),
    "GeneratorExit": (exit_group, ()),
}


@pytest.mark.parametrize("failure", FAILURES)
def test_exception_is_reported_as_stock_does(ours: Any, reports: Reports, failure: str) -> None:
    stock().start_new_thread(*FAILURES[failure])
    theirs = reports.wait()
    ours.start_new_thread(*FAILURES[failure])
    assert reports.wait() == theirs


@pytest.mark.skipif(sys.version_info < (3, 13), reason="start_joinable_thread is new in 3.13")
@pytest.mark.parametrize("failure", ["function", "builtin", "KeyboardInterrupt", "GeneratorExit"])
def test_exception_in_a_joinable_thread(ours: Any, reports: Reports, failure: str) -> None:
    function = FAILURES[failure][0]
    stock().start_joinable_thread(function).join()
    theirs = reports.wait()
    ours.start_joinable_thread(function).join()
    assert reports.wait() == theirs


# Each defines f(), which calls boom() to tell that it runs, and to fail.
STDERR_CASES = {
    "plain": "def f(): boom(ValueError('words'))",
    "no repr": """
class F:
    def __call__(self): boom(ValueError('words'))
    def __repr__(self): raise ZeroDivisionError('no repr')
f = F()""",
    "no text": """
class E(Exception):
    def __str__(self): raise ZeroDivisionError('no text')
def f(): boom(E())""",
    "failing hook": """
def hook(report): raise OSError('hook')
sys.unraisablehook = hook
def f(): boom(ValueError('words'))""",
    "no hook": """
sys.unraisablehook = None
def f(): boom(ValueError('words'))""",
    "hook gone": """
del sys.unraisablehook
def f(): boom(ValueError('words'))""",
    "no stderr": """
sys.stderr = None
def f(): boom(ValueError('words'))""",
}


@pytest.mark.parametrize("case", STDERR_CASES)
def test_what_is_written_is_what_stock_writes(case: str) -> None:
    """By the default hook, and where the report itself meets an error."""

    def written(module: str) -> tuple[int, str, str]:
        finished = run_snippet(
            f"""
            import {module} as api, sys, time
            running = []
            def boom(error):
                running.append(True)
                raise error
            exec(sys.argv[1])
            api.start_new_thread(f, ())
            while not running or api._count():
                time.sleep(0.001)
            """,
            STDERR_CASES[case],
        )
        return finished.returncode, finished.stdout, without_addresses(finished.stderr)

    theirs = written("_thread")
    assert written("rthread") == theirs
    assert theirs[:2] == (0, "")


def test_audit_events() -> None:
    """After the argument checks, before anything is made; a hook that raises stops the start."""
    output = check_snippet("""
        import sys, time, _thread, rthread

        events, ran, refuse = [], [], False

        def hook(event, args):
            if event.startswith("_thread."):
                kinds = [type(arg).__name__ for arg in args]
                fresh = [arg.ident == 0 for arg in args if hasattr(arg, "ident")]
                events.append((event, kinds, fresh))
                if refuse:
                    raise LookupError("refused")

        def attempt(start, *args, **kwargs):
            try:
                start(*args, **kwargs)
            except Exception as error:
                events.append(f"{type(error).__name__}: {error}")
            else:
                events.append("started")

        def function(*args, **kwargs):
            ran.append((args, kwargs))

        sys.addaudithook(hook)
        for api in (_thread, rthread):
            refuse = False
            start = api.start_new_thread
            attempt(start, function, [])
            attempt(start, 1, ())
            attempt(start, function, ())
            attempt(start, function, (1,), {"a": 1})
            refuse = True
            attempt(start, function, (2,))
            attempt(start, function, [])
            if hasattr(api, "start_joinable_thread"):
                start = api.start_joinable_thread
                handle = api._ThreadHandle()
                attempt(start, function, handle, False)
                attempt(start, 1)
                attempt(start, function, 1)
                events.append((handle.is_done(), handle.ident))
                refuse = False
                attempt(start, function, handle, daemon=False)
                attempt(start, function, handle)
                attempt(start, function)
                handle.join()
            while len(ran) < events.count("started"):
                time.sleep(0.001)
            print(events, sorted(ran, key=repr))
            events.clear()
            ran.clear()
    """)
    theirs, ours = output.splitlines()
    assert ours == theirs
    assert ("_thread.start_new_thread" in ours) == (sys.version_info >= (3, 12))


@pytest.mark.skipif(not hasattr(LIBC, "pthread_getattr_np"), reason="the C library does not tell")
@pytest.mark.parametrize("size", [2**18, 2**26])
def test_stack_size_is_the_threads(api: Any, size: int) -> None:
    """Or up to four times as large, where the C library takes an old one out of its store."""
    api.stack_size(size)
    try:
        with workers(api, 1) as [worker]:
            assert size - 2**16 <= stack_size_of(worker.ident) <= 4 * size
    finally:
        assert api.stack_size(0) == size


def stack_size_of(ident: int) -> int:
    """What the C library says of a live thread, whose ident is its pthread_t.

    Not the memory map: two stacks side by side may be one mapping, where guard pages are none.
    """
    attributes = ctypes.create_string_buffer(256)
    size = ctypes.c_size_t()
    assert LIBC.pthread_getattr_np(ctypes.c_ulong(ident), attributes) == 0
    assert LIBC.pthread_attr_getstacksize(attributes, ctypes.byref(size)) == 0
    assert LIBC.pthread_attr_destroy(attributes) == 0
    return size.value


def test_start_that_fails_leaves_nothing(api: Any) -> None:
    """A stack that no address space has room for: RuntimeError, no thread, no references."""

    class Argument:
        pass

    argument = Argument()
    reference = weakref.ref(argument)
    before = api._count(), len(sys._current_frames())
    api.stack_size(2**50)
    try:
        for _ in range(20):
            with pytest.raises(RuntimeError, match="can't start new thread"):
                api.start_new_thread(print, (argument,), {"key": argument})
    finally:
        api.stack_size(0)
    assert (api._count(), len(sys._current_frames())) == before
    del argument
    gc.collect()
    assert reference() is None
    with workers(api, 1) as [worker]:
        assert worker.do(lambda: 1) == 1


def test_threads_start_threads(api: Any) -> None:
    found: list[int] = []

    def run(depth: int) -> None:
        found.append(depth)
        if depth:
            api.start_new_thread(run, (depth - 1,))

    api.start_new_thread(run, (30,))
    wait_until(lambda: len(found) == 31)
    assert found == list(range(30, -1, -1))


def test_many_at_once(api: Any) -> None:
    before = api._count()
    done = [False] * 200

    def run(number: int) -> None:
        done[number] = True

    for number in range(200):
        api.start_new_thread(run, (number,))
    wait_until(lambda: all(done))
    wait_until(lambda: api._count() == before)


def test_trace_and_profile_functions_are_not_inherited(api: Any) -> None:
    with workers(api, 1) as [worker]:
        assert worker.do(sys.gettrace) is None
        assert worker.do(sys.getprofile) is None


def test_main_thread_ident(ours: Any) -> None:
    if not hasattr(ours, "_get_main_thread_ident"):
        pytest.skip("_get_main_thread_ident is new in 3.13")
    assert ours._get_main_thread_ident() == threading.main_thread().ident
    with workers(ours, 1) as [worker]:
        assert worker.do(ours._get_main_thread_ident) == threading.main_thread().ident


def test_interrupt_main_from_a_thread(api: Any) -> None:
    """The main thread gets KeyboardInterrupt out of a lock's acquire, and not the lock.

    The wait has a time-out, since the signal is only simulated: nothing ends a wait by it.
    """

    def ask_and_wait(worker: Worker) -> None:
        # Both in here: the interrupt may come as soon as it is asked for.
        worker.submit(api.interrupt_main)
        while not lock.acquire(True, 0.05):
            pass

    lock = api.allocate_lock()
    lock.acquire()
    # It may be ignored in here: a shell has that of what it runs in the background.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with workers(api, 1) as [worker]:
            with pytest.raises(KeyboardInterrupt):
                ask_and_wait(worker)
    finally:
        signal.signal(signal.SIGINT, before)
    assert lock.locked()


def test_package_is_the_extension(ours: Any) -> None:
    """`import rthread as _thread` starts the extension's threads."""
    assert rthread.start_new_thread is ours.start_new_thread
