"""Who else is needed when the main thread waits: another thread, and one who sends signals."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from chosen import threading
from queues import plain_queue


class Worker:
    """A thread that makes the calls it is asked to make, one after the other."""

    def __init__(self) -> None:
        self._calls = plain_queue.SimpleQueue()
        self._answers = plain_queue.SimpleQueue()
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    @property
    def ident(self) -> int:
        ident: int = self._thread.ident
        return ident

    def ask(self, call: Callable[[], Any]) -> None:
        """Have it make the call, without waiting for that."""
        self._calls.put(call)

    def has_answered(self) -> bool:
        return not self._answers.empty()

    def answer(self, timeout: float | None = None) -> Any:
        """What the call gave, or raise what it raised.

        Raises:
            TimeoutError: it takes longer than so many seconds.
        """
        try:
            value, error = self._answers.get(timeout=timeout)
        except plain_queue.Empty:
            raise TimeoutError from None
        if error is not None:
            raise error
        return value

    def do(self, call: Callable[[], Any]) -> Any:
        self.ask(call)
        return self.answer()

    def end(self) -> None:
        self._calls.put(None)
        self._thread.join()

    def _serve(self) -> None:
        while (call := self._calls.get()) is not None:
            try:
                self._answers.put((call(), None))
            except BaseException as error:
                self._answers.put((None, error))


class Sender:
    """The process of `sender.py`, for as long as a `with` block lasts."""

    def __enter__(self) -> Any:
        self._owner = os.getpid()
        self._process = subprocess.Popen(
            [sys.executable, str(Path(__file__).with_name("sender.py"))],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        return self

    def __exit__(self, *exception: object) -> None:
        # A forked child comes by here too.
        if os.getpid() == self._owner:
            self._process.communicate()

    def ask_for(self, signal_name: str) -> None:
        """Have a signal sent to this process when all its threads are blocked."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{signal_name}\n")
        self._process.stdin.flush()

    def sent_at(self) -> int:
        """When it was sent, in nanoseconds on `time.monotonic_ns()`'s clock."""
        assert self._process.stdout is not None
        return int(self._process.stdout.readline())
