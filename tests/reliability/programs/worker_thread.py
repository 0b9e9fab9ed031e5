"""Another thread, for what has to happen while the main thread waits."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from chosen import threading
from chosen_queue import plain_queue


class WorkerThread:
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
