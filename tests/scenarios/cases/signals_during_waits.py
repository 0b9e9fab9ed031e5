"""Waits of the main thread while signals keep arriving.

The argument names the wait. First it is left to run into its time-out, again and again, which may
be late but never early; then it is served by another thread, with and without a time-out.
"""

from __future__ import annotations

import queue
import signal
import sys
import time
from collections.abc import Callable
from typing import Any

from chosen import say, threading

EVERY = 0.001
TIMEOUT = 0.05
LONG = 3600.0
ROUNDS = 30

signals = 0


def count_signal(*_: object) -> None:
    global signals
    signals += 1


class Waiting:
    """One way to wait: on the main thread `wait`, which another thread's `serve` ends."""

    def wait(self, timeout: float | None) -> object:
        """True if it was served, else false."""
        raise NotImplementedError

    def serve(self) -> object:
        raise NotImplementedError


class ForLock(Waiting):
    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.lock.acquire()

    def wait(self, timeout: float | None) -> object:
        return self.lock.acquire() if timeout is None else self.lock.acquire(timeout=timeout)

    def serve(self) -> object:
        return self.lock.release()


class ForRLock(Waiting):
    """Only its holder can free it, so a thread holds it, for as long as it is not to be had."""

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.taken = threading.Event()
        self.let_go = threading.Event()
        self.hold()

    def hold(self) -> None:
        self.taken.clear()
        self.let_go.clear()
        self.holder = threading.Thread(target=self._hold, daemon=True)
        self.holder.start()
        self.taken.wait()

    def _hold(self) -> None:
        with self.lock:
            self.taken.set()
            self.let_go.wait()

    def wait(self, timeout: float | None) -> object:
        served = self.lock.acquire() if timeout is None else self.lock.acquire(timeout=timeout)
        if served:
            self.lock.release()
            self.holder.join()
            self.hold()
        return served

    def serve(self) -> object:
        return self.let_go.set()


class ForEvent(Waiting):
    def __init__(self) -> None:
        self.event = threading.Event()

    def wait(self, timeout: float | None) -> object:
        served = self.event.wait(timeout)
        self.event.clear()
        return served

    def serve(self) -> object:
        return self.event.set()


class ForCondition(Waiting):
    def __init__(self) -> None:
        self.condition = threading.Condition()
        self.served = 0

    def wait(self, timeout: float | None) -> object:
        with self.condition:
            served = self.condition.wait_for(lambda: self.served, timeout)
            self.served = 0
            return served

    def serve(self) -> object:
        with self.condition:
            self.served = 1
            return self.condition.notify()


class ForSemaphore(Waiting):
    def __init__(self) -> None:
        self.semaphore = threading.Semaphore(0)

    def wait(self, timeout: float | None) -> object:
        return self.semaphore.acquire(timeout=timeout)

    def serve(self) -> object:
        return self.semaphore.release()


class ForQueue(Waiting):
    def __init__(self) -> None:
        self.queue: queue.Queue[bool] = queue.Queue()

    def wait(self, timeout: float | None) -> object:
        try:
            return self.queue.get(timeout=timeout)
        except queue.Empty:
            return False

    def serve(self) -> None:
        self.queue.put(True)


class ForThread(Waiting):
    def __init__(self) -> None:
        self.begin()

    def begin(self) -> None:
        self.let_go = threading.Event()
        self.thread = threading.Thread(target=self.let_go.wait, daemon=True)
        self.thread.start()

    def wait(self, timeout: float | None) -> object:
        self.thread.join(timeout)
        served = not self.thread.is_alive()
        if served:
            self.begin()
        return served

    def serve(self) -> object:
        return self.let_go.set()


WAITS: dict[str, Callable[[], Waiting]] = {
    "lock": ForLock,
    "rlock": ForRLock,
    "event": ForEvent,
    "condition": ForCondition,
    "semaphore": ForSemaphore,
    "queue": ForQueue,
    "thread": ForThread,
}


def run_into_timeouts(waiting: Waiting) -> None:
    early = 0
    for _ in range(3):
        begun = time.monotonic()
        served = waiting.wait(TIMEOUT)
        early += time.monotonic() - begun < TIMEOUT
        say("served" if served else "timed out")
    say("early", early)


def be_served(waiting: Waiting, timeout: float | None) -> None:
    turns: Any = threading.Semaphore(0)

    def serve() -> None:
        for _ in range(ROUNDS):
            turns.acquire()
            waiting.serve()

    server = threading.Thread(target=serve)
    server.start()
    served = 0
    for _ in range(ROUNDS):
        turns.release()
        served += bool(waiting.wait(timeout))
    server.join()
    say("served", served)


def main() -> None:
    waiting = WAITS[sys.argv[1]]()
    signal.signal(signal.SIGALRM, count_signal)
    signal.setitimer(signal.ITIMER_REAL, EVERY, EVERY)
    try:
        run_into_timeouts(waiting)
        be_served(waiting, None)
        be_served(waiting, LONG)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
    say("signals came", signals > 0)


if __name__ == "__main__":
    main()
