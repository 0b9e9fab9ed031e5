"""Futures and promises, made from a condition.

A promise is the writing end of a value that does not exist yet, a future its reading end. One
thread keeps the promise, or breaks it with an exception; others wait, or leave a callback.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")
R = TypeVar("R")


class Future(Generic[T]):
    """The reading end. Made by a `Promise` only."""

    def __init__(self) -> None:
        self._settled = threading.Condition()
        self._callbacks: list[Callable[[Future[T]], object]] = []
        self._values: list[T] = []
        self._error: Exception | None = None

    def done(self) -> bool:
        return bool(self._values) or self._error is not None

    def result(self, timeout: float | None = None) -> T:
        with self._settled:
            if not self._settled.wait_for(self.done, timeout):
                raise TimeoutError("nobody has kept the promise yet")
        if self._error is not None:
            raise self._error
        return self._values[0]

    def when_done(self, callback: Callable[[Future[T]], object]) -> None:
        """Have `callback` called with this future: later, or now if it is settled."""
        with self._settled:
            if not self.done():
                self._callbacks.append(callback)
                return
        callback(self)

    def then(self, function: Callable[[T], R]) -> Future[R]:
        """A future of `function` applied to this one's value."""
        promise: Promise[R] = Promise()
        self.when_done(lambda future: promise.fulfil(lambda: function(future.result())))
        return promise.future


class Promise(Generic[T]):
    """The writing end, to be used once."""

    def __init__(self) -> None:
        self.future: Future[T] = Future()

    def keep(self, value: T) -> None:
        self._settle([value], None)

    def break_with(self, error: Exception) -> None:
        self._settle([], error)

    def fulfil(self, function: Callable[[], T]) -> None:
        """Keep the promise with what `function` returns or break it with what it raises."""
        try:
            value = function()
        except Exception as error:
            self.break_with(error)
        else:
            self.keep(value)

    def _settle(self, values: list[T], error: Exception | None) -> None:
        future = self.future
        with future._settled:
            if future.done():
                raise RuntimeError("a promise can be settled only once")
            future._values, future._error = values, error
            callbacks, future._callbacks = future._callbacks, []
            future._settled.notify_all()
        for callback in callbacks:  # outside the lock: it may do anything
            callback(future)


def in_background(function: Callable[[], T]) -> Future[T]:
    promise: Promise[T] = Promise()
    threading.Thread(target=promise.fulfil, args=(function,)).start()
    return promise.future


def main() -> None:
    go = threading.Event()

    def slow_sum() -> int:
        go.wait()
        return sum(range(1, 101))

    total = in_background(slow_sum)
    doubled = total.then(lambda value: 2 * value)
    broken = doubled.then({5050: "five thousand and fifty"}.__getitem__)
    print(f"done before the go: {total.done()}")
    try:
        total.result(timeout=0.01)
    except TimeoutError as error:
        print(f"too early: {error}")
    go.set()
    print(f"sum: {total.result()}, doubled: {doubled.result()}")
    try:
        broken.result()
    except KeyError as error:
        print(f"broken: there is no word for {error}")

    promise: Promise[str] = Promise()
    promise.keep("kept")
    promise.future.when_done(lambda future: print(f"callback on a settled one: {future.result()}"))
    try:
        promise.keep("again")
    except RuntimeError as error:
        print(f"second time: {error}")


if __name__ == "__main__":
    main()
