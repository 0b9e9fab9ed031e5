"""What the tests share: both modules side by side, fresh processes, threads one can talk to.

Nothing here sleeps for a result. A test says what it waits for; the limits below are so long
that only a hang meets them.
"""

from __future__ import annotations

import _thread
import contextlib
import gc
import os
import queue
import re
import shutil
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from types import ModuleType
from typing import Any

# Longer than anything that works takes on a loaded two-core machine.
HANG = 60.0
PROCESS_HANG = 120.0

# Variables that would switch a child process to rthread behind a test's back.
SWITCHES = ("RTHREAD", "RTHREAD_CHILDREN", "RTHREAD_NATIVE", "RTHREAD_QUEUE")


def load_ours() -> ModuleType:
    """The extension module itself, without the package's own names around it.

    Raises:
        RuntimeError: if this process has been switched to rthread: then there is no stock module
            left to compare with.
    """
    import rthread
    from rthread import _rthread

    if rthread.is_installed():
        raise RuntimeError("these tests compare with the stock _thread: run them on plain python")
    return _rthread


def stock() -> Any:
    """The interpreter's own `_thread`, typed so that names of other versions pass mypy."""
    return _thread


# Fresh processes


def run_python(
    *argv: str,
    timeout: float = PROCESS_HANG,
    env: Mapping[str, str] | None = None,
    stdin: str | None = None,
    cwd: str | os.PathLike[str] | None = None,
) -> subprocess.CompletedProcess[str]:
    """Run this interpreter with `argv` in a process group of its own.

    The watchdog is in the parent: a thread in the child would make os.fork() warn there.

    Args:
        argv: the arguments, without the interpreter.
        timeout: seconds after which the child counts as hung.
        env: variables to add to this process's own.
        stdin: what the child reads; nothing if None.
        cwd: the child's directory.

    Raises:
        AssertionError: when the child, or a process that it left behind, hangs. The message has
            the stacks of all threads of all of them.
    """
    process = subprocess.Popen(
        [sys.executable, *argv],
        stdin=subprocess.DEVNULL if stdin is None else subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        encoding="utf-8",
        errors="backslashreplace",
        env=_child_environment(env),
        cwd=cwd,
        start_new_session=True,
    )
    try:
        out, err = process.communicate(stdin, timeout=timeout)
    except subprocess.TimeoutExpired:
        out, err = _dump_and_kill(process)
        raise AssertionError(
            f"hung for {timeout:g} s: {argv}\n--- stdout\n{out}\n--- stderr\n{err}"
        ) from None
    return subprocess.CompletedProcess(process.args, process.returncode, out, err)


def run_snippet(
    source: str,
    *args: str,
    flags: Sequence[str] = (),
    timeout: float = PROCESS_HANG,
    env: Mapping[str, str] | None = None,
    stdin: str | None = None,
    cwd: str | os.PathLike[str] | None = None,
) -> subprocess.CompletedProcess[str]:
    """Run `source` (dedented) in a fresh process; `flags` go to the interpreter, `args` to it."""
    code = textwrap.dedent(source)
    return run_python(*flags, "-c", code, *args, timeout=timeout, env=env, stdin=stdin, cwd=cwd)


def check_snippet(source: str, *args: str, **options: Any) -> str:
    """Like `run_snippet`, for a snippet that has to succeed in silence: gives its output."""
    finished = run_snippet(source, *args, **options)
    assert (finished.returncode, finished.stderr) == (0, ""), (
        f"exit status {finished.returncode}\n--- stdout\n{finished.stdout}"
        f"\n--- stderr\n{finished.stderr}"
    )
    return finished.stdout


def _child_environment(extra: Mapping[str, str] | None) -> dict[str, str]:
    variables = {name: value for name, value in os.environ.items() if name not in SWITCHES}
    # With this, SIGABRT makes the child write the stacks of all its threads.
    variables["PYTHONFAULTHANDLER"] = "1"
    variables["PYTHONIOENCODING"] = "utf-8"
    variables.update(extra or {})
    return variables


def _dump_and_kill(process: subprocess.Popen[str]) -> tuple[str, str]:
    native = _native_stacks(process.pid)
    _signal_group(process, signal.SIGABRT)
    try:
        out, err = process.communicate(timeout=10)
    except subprocess.TimeoutExpired:
        _signal_group(process, signal.SIGKILL)
        out, err = process.communicate()
    return out, err + native


def _native_stacks(group: int) -> str:
    """What gdb, where there is one, shows of a process group.

    Late in its end an interpreter does not show stacks any more.
    """
    gdb = shutil.which("gdb")
    if gdb is None or not os.path.isdir("/proc/self"):
        return ""
    text = ""
    for name in filter(str.isdigit, os.listdir("/proc")):
        with contextlib.suppress(OSError, subprocess.TimeoutExpired):
            if os.getpgid(int(name)) == group:
                command = [gdb, "-p", name, "-batch", "-ex", "thread apply all bt 40"]
                shown = subprocess.run(command, capture_output=True, text=True, timeout=HANG)
                lines = shown.stdout.splitlines()
                frames = [line for line in lines if line.startswith(("#", "Thread "))]
                text += "\n".join(("", f"--- process {name}", *frames))
    return text


def _signal_group(process: subprocess.Popen[str], number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, number)


# Waiting


def wait_until(condition: Callable[[], object], what: str = "", timeout: float = HANG) -> None:
    """Return when `condition()` is true; fail the test if it stays false for `timeout`."""
    deadline = time.monotonic() + timeout
    pause = 0.0
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError(f"waited {timeout:g} s for {what or condition}")
        time.sleep(pause)
        pause = min(0.01, pause + 0.0005)


def collect_until(condition: Callable[[], object], what: str = "") -> None:
    """Like `wait_until`, with a garbage collection before each look."""

    def collected() -> object:
        gc.collect()
        return condition()

    wait_until(collected, what)


def wait_until_blocked(native_id: int) -> None:
    """Return when the OS says of a thread of this process that it sleeps, and goes on saying it.

    A thread that waits for the GIL sleeps too, but not while this one, which gives the GIL up
    between its looks, is the only other one. Where the OS cannot be asked it only yields: then a
    test still passes or fails rightly, and may have tried less than it means to.
    """
    status = f"/proc/self/task/{native_id}/stat"
    if not os.path.exists(status):
        time.sleep(0.05)
        return
    asleep = 0

    def sleeps() -> bool:
        nonlocal asleep
        with open(status, encoding="ascii", errors="replace") as file:
            state = file.read().rpartition(")")[2].split()[0]
        asleep = asleep + 1 if state == "S" else 0
        return asleep >= 5

    wait_until(sleeps, f"thread {native_id} to block")


def wait_until_gone(ident: int, native_id: int) -> None:
    """Return when nothing is left of a thread of this process, its OS thread included.

    Where the OS cannot be asked, when the interpreter has no state of it.
    """
    wait_until(lambda: ident not in sys._current_frames(), f"thread {ident} to leave")
    if os.path.isdir("/proc/self/task"):
        task = f"/proc/self/task/{native_id}"
        wait_until(lambda: not os.path.exists(task), f"thread {native_id} to end")


# Threads


class Pending:
    """The outcome of a call that a `Worker` has been asked to make."""

    def __init__(self, call: Callable[[], Any]) -> None:
        self._call: Callable[[], Any] | None = call
        self._done = threading.Event()
        self._value: Any = None
        self._error: BaseException | None = None

    def run(self) -> None:
        call, self._call = self._call, None
        assert call is not None
        try:
            self._value = call()
        except BaseException as error:
            self._error = error
        finally:
            # Nothing of the call may live on in the worker's frame: tests count references.
            del call
            self._done.set()

    def is_done(self) -> bool:
        return self._done.is_set()

    def result(self, timeout: float = HANG) -> Any:
        """What the call returned, or raise what it raised."""
        assert self._done.wait(timeout), f"no answer from the worker for {timeout:g} s"
        if self._error is not None:
            error, self._error = self._error, None
            raise error
        value, self._value = self._value, None
        return value


class Worker:
    """A thread of `api` that makes the calls it is asked to make, one after the other."""

    def __init__(self, api: Any) -> None:
        self._requests: queue.SimpleQueue[Pending | None] = queue.SimpleQueue()
        self._left = threading.Event()
        self.ident: int = api.start_new_thread(self._serve, ())
        self.native_id: int = self.do(_thread.get_native_id)

    def submit(self, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Pending:
        """Have the thread call `function`, without waiting for it."""
        pending = Pending(lambda: function(*args, **kwargs))
        self._requests.put(pending)
        return pending

    def do(self, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """Have the thread call `function` and give its outcome."""
        return self.submit(function, *args, **kwargs).result()

    def block(self, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Pending:
        """Have the thread call `function`, and return when it is blocked in there."""
        pending = self.submit(function, *args, **kwargs)
        wait_until_blocked(self.native_id)
        return pending

    def finish(self) -> None:
        """Let the thread go; return when it has left its function (its state may still live)."""
        self._requests.put(None)
        assert self._left.wait(HANG), "the worker does not end"

    def vanish(self) -> None:
        """Let the thread go; return when nothing of it is left."""
        self.finish()
        wait_until_gone(self.ident, self.native_id)

    def _serve(self) -> None:
        try:
            while (pending := self._requests.get()) is not None:
                pending.run()
                # Held here, the last call's result would outlive its use.
                del pending
        finally:
            self._left.set()


@contextlib.contextmanager
def workers(api: Any, count: int) -> Iterator[list[Worker]]:
    """`count` workers that are let go at the end."""
    crew: list[Worker] = []
    try:
        while len(crew) < count:
            crew.append(Worker(api))
        yield crew
    finally:
        for worker in crew:
            worker.finish()


# Words


_ADDRESS = re.compile(r"0x[0-9a-fA-F]+")


def without_addresses(text: str) -> str:
    """`text` with every address replaced by the same sign."""
    return _ADDRESS.sub("0x…", text)
