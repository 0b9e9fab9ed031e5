"""Timers: one that goes off, one that is cancelled in time, one that repeats.

`threading.Timer` calls a function once, some time from now, in a thread of its own, unless it is
cancelled first. A repeating timer is the same idea with a loop around an event's timed wait.
"""

from __future__ import annotations

import threading
from collections.abc import Callable


class RepeatingTimer(threading.Thread):
    """Calls `function` every `interval` seconds until it is cancelled."""

    def __init__(self, interval: float, function: Callable[[], object]) -> None:
        super().__init__(name="repeating timer")
        self.interval = interval
        self.function = function
        self._cancelled = threading.Event()

    def run(self) -> None:
        while not self._cancelled.wait(self.interval):
            self.function()

    def cancel(self) -> None:
        self._cancelled.set()


def main() -> None:
    rang = threading.Event()
    alarm = threading.Timer(0.02, rang.set)
    alarm.start()
    rang.wait()
    alarm.join()
    print(f"the alarm went off, and is over: {not alarm.is_alive()}")

    never = threading.Timer(3600, lambda: print("an hour has passed"))
    never.start()
    never.cancel()
    never.join()
    print(f"the other one was cancelled: {never.finished.is_set()}")

    ticks: list[str] = []
    enough = threading.Event()

    def tick() -> None:
        ticks.append("tick")
        if len(ticks) == 3:
            clock.cancel()
            enough.set()

    clock = RepeatingTimer(0.005, tick)
    clock.start()
    enough.wait()
    clock.join()
    print(" ".join(ticks))


if __name__ == "__main__":
    main()
