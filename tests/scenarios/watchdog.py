"""Ends a process that takes too long, and has it say where its threads were."""

from __future__ import annotations

import contextlib
import signal
import subprocess
import threading

import support


class Watchdog:
    """Watches a process, which leads a session of its own, while a `with` block lasts.

    After the block nothing of that session is left. `bit` says whether it had to be ended.
    """

    def __init__(
        self, process: subprocess.Popen[str], seconds: float = support.PROCESS_HANG
    ) -> None:
        self.bit = False
        self.seconds = seconds
        self._process = process
        self._timer = threading.Timer(seconds, self._bite)

    def __enter__(self) -> None:
        self._timer.start()

    def __exit__(self, *exception: object) -> None:
        self._timer.cancel()
        self._timer.join()
        # Also what the process has left behind, or itself where the block has failed.
        support._signal_group(self._process, signal.SIGKILL)
        self._process.wait()

    def _bite(self) -> None:
        self.bit = True
        # faulthandler, switched on by the environment, answers this one.
        support._signal_group(self._process, signal.SIGABRT)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(10)
        support._signal_group(self._process, signal.SIGKILL)
