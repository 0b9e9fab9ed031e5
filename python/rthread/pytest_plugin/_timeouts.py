"""Shows the report of `rthread.debug` where a test takes longer than it may.

pytest's own ``faulthandler_timeout`` and the plugin pytest-timeout show the stacks of all threads.
The report says what each thread waits for, and which thread holds it.
"""

from __future__ import annotations

import io
import os
import signal
import sys

import pytest

import rthread
from rthread import debug
from rthread.pytest_plugin._sections import add_section

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Generator
    from types import FrameType
    from typing import Any

    from rthread.pytest_plugin._output import Output

__all__ = ["Timeouts"]

# Where the process is ended at a time-out, the report has to be written so long before.
_HEAD_START_SECONDS = 0.25
# Where it is not, the report follows the stacks, which have to be written by then.
_DELAY_SECONDS = 0.1


class Timeouts:
    """The plugin that adds the report to the stacks that others show."""

    def __init__(self, output: Output) -> None:
        self._output = output
        # A test is watched at most once for each of the two.
        self._of_faulthandler: _Watchdog | None = None
        self._of_timeout: _Watchdog | None = None

    @pytest.hookimpl(wrapper=True, trylast=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Generator[None, object, object]:
        seconds, exits = _faulthandler_settings(item.config)
        if seconds <= 0:
            return (yield)
        delay = -min(_HEAD_START_SECONDS, seconds / 2) if exits else _DELAY_SECONDS
        title = f"{item.nodeid}: faulthandler_timeout of {seconds:g} s"
        self._of_faulthandler = _Watchdog(seconds + delay, lambda: self._write(title))
        try:
            return (yield)
        finally:
            self._cancel()

    # As in pytest's own plugin: a debugger takes its time.
    @pytest.hookimpl(tryfirst=True)
    def pytest_enter_pdb(self) -> None:
        self._cancel()

    @pytest.hookimpl(tryfirst=True)
    def pytest_exception_interact(self) -> None:
        self._cancel()

    def _cancel(self) -> None:
        if self._of_faulthandler is not None:
            self._of_faulthandler.cancel()

    @pytest.hookimpl(optionalhook=True, wrapper=True)
    def pytest_timeout_set_timer(
        self, item: pytest.Item, settings: Any
    ) -> Generator[None, object, object]:
        before = _alarm_handler()
        result = yield
        handler = _alarm_handler()
        if handler is not before and callable(handler):
            self._chain(handler, item, settings)
        else:
            self._watch(item, settings)
        return result

    @pytest.hookimpl(optionalhook=True, wrapper=True)
    def pytest_timeout_cancel_timer(self) -> Generator[None, object, object]:
        if self._of_timeout is not None:
            self._of_timeout.cancel()
        return (yield)

    def _chain(self, handler: Callable[..., Any], item: pytest.Item, settings: Any) -> None:
        """Make the report in the handler of the signal, before the test fails."""

        def make_report(number: int, frame: FrameType | None) -> None:
            __tracebackhide__ = True
            if not _is_debugged(settings):
                add_section(item, "rthread: the threads at the time-out", _report())
            handler(number, frame)

        signal.signal(signal.SIGALRM, make_report)

    def _watch(self, item: pytest.Item, settings: Any) -> None:
        """Write the report before a thread of the other plugin ends the process."""
        head_start = min(_HEAD_START_SECONDS, settings.timeout / 2)
        title = f"{item.nodeid}: time-out of {settings.timeout:g} s"

        def write() -> None:
            if not _is_debugged(settings):
                self._write(title)

        self._of_timeout = _Watchdog(settings.timeout - head_start, write)

    def _write(self, title: str) -> None:
        self._output.write(f"\n{title}\n{_report()}\n")


class _Watchdog:
    """A thread that makes a call after a time, unless it is cancelled before.

    It is a thread of the interpreter's own ``_thread``: the tests count those of ``threading``.
    """

    def __init__(self, seconds: float, call: Callable[[], object]) -> None:
        allocate_lock = rthread.stock("_thread", "allocate_lock")
        self._seconds = min(seconds, rthread.stock("_thread", "TIMEOUT_MAX"))
        self._call = call
        self._process = os.getpid()
        self._is_cancelled = False
        # Each is released once: at the start of the thread, by `cancel`, and at its end.
        self._started, self._cancelled, self._ended = (allocate_lock() for _ in range(3))
        for lock in (self._started, self._cancelled, self._ended):
            lock.acquire()
        rthread.stock("_thread", "start_new_thread")(self._run, ())
        # Otherwise it would seem to be a thread that the test has started.
        self._started.acquire()

    def _run(self) -> None:
        self._started.release()
        try:
            if not self._cancelled.acquire(timeout=self._seconds):
                self._call()
        finally:
            self._ended.release()

    def cancel(self) -> None:
        """Return when the thread will not make the call any more."""
        # The child of a fork does not have the thread.
        if self._is_cancelled or os.getpid() != self._process:
            return
        self._is_cancelled = True
        self._cancelled.release()
        self._ended.acquire()


def _report() -> str:
    text = io.StringIO()
    debug.dump(file=text)
    return text.getvalue()


def _faulthandler_settings(config: pytest.Config) -> tuple[float, bool]:
    """The seconds, 0 for never, and whether pytest ends the process then."""
    try:
        seconds = float(config.getini("faulthandler_timeout") or 0.0)
    except ValueError:
        # The plugin is blocked.
        return 0.0, False
    try:
        return seconds, bool(config.getini("faulthandler_exit_on_timeout"))
    except ValueError:
        # pytest 8 does not have it.
        return seconds, False


def _alarm_handler() -> Any:
    return signal.getsignal(signal.SIGALRM) if hasattr(signal, "SIGALRM") else None


def _is_debugged(settings: Any) -> bool:
    """Whether pytest-timeout leaves the test alone because it is in a debugger."""
    if getattr(settings, "disable_debugger_detection", False):
        return False
    is_debugging = getattr(sys.modules.get("pytest_timeout"), "is_debugging", None)
    return is_debugging is not None and bool(is_debugging())
