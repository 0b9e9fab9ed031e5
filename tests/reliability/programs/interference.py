"""What interferes with the threads of a stress run: signals, and garbage that is collected."""

from __future__ import annotations

import gc
import random
import signal
import time
from typing import Any

from chosen import MODE, threading
from chosen_queue import queue
from stress_worker import expect

EVERY = 0.001


class CyclicGarbage:
    """Garbage, in a cycle with all kinds of objects: puts something into a queue at its end."""

    def __init__(self, into: Any, rng: random.Random) -> None:
        self.into = into
        self.itself = self
        self.lock = threading.Lock()
        self.lock.acquire()
        self.thing = rng.choice(
            (threading.Condition, threading.Event, threading.local, threading.RLock)
        )()
        if isinstance(self.thing, threading.local):
            self.thing.itself = self
        self.thread = threading.Thread(target=self.stay)

    def stay(self) -> None:
        pass

    def __del__(self) -> None:
        self.into.put(1)


class Interference:
    """Signals and collections from `begin` to `end`."""

    def __init__(self, seed: int) -> None:
        self._rng = random.Random(seed)
        # Only these may be used within one another, and so by handlers and finalizers: of the
        # stock ones, SimpleQueue.
        names = ("SimpleQueue",) if MODE == "stock" else ("SimpleQueue", "Queue", "LifoQueue")
        self._queues = [getattr(queue, name)() for name in names]
        self.signals = self.collections = self.made = 0
        self._put = 0
        self._over = False
        self._threads = [
            threading.Thread(target=self._collect),
            threading.Thread(target=self._send_signals),
        ]
        self.targets: list[int] = []

    def begin(self) -> None:
        # Only what is made from here on is looked at by each collection.
        gc.collect()
        gc.freeze()
        signal.signal(signal.SIGALRM, self._handle)
        signal.signal(signal.SIGUSR1, self._handle)
        signal.setitimer(signal.ITIMER_REAL, EVERY, EVERY)
        for thread in self._threads:
            thread.start()

    def end(self) -> None:
        signal.setitimer(signal.ITIMER_REAL, 0)
        self._over = True
        for thread in self._threads:
            thread.join()

    def check_counts(self) -> None:
        """
        Raises:
            Wrong: a finalizer or handler has not done its part.
        """
        gc.collect()
        found = sum(each.qsize() for each in self._queues)
        expect("put by handlers and finalizers", found, self._put + self.made)

    def _handle(self, *_: object) -> None:
        """On the main thread, in the middle of whatever it does."""
        self.signals += 1
        if self.signals % 8 == 0:
            self._queues[self.signals // 8 % len(self._queues)].put(1)
            self._put += 1

    def _collect(self) -> None:
        rng = random.Random(self._rng.random())
        while not self._over:
            for _ in range(5):
                CyclicGarbage(rng.choice(self._queues), rng)
                self.made += 1
            gc.collect()
            self.collections += 1
            time.sleep(rng.random() * 0.005)

    def _send_signals(self) -> None:
        """Signals that hit any thread; the main one handles them."""
        rng = random.Random(self._rng.random())
        while not self._over:
            signal.pthread_kill(rng.choice(self.targets), signal.SIGUSR1)
            time.sleep(rng.random() * 0.004)
