"""Thousands of threads at once: they start, wait for one condition, are woken, and end.

Argument: how many. The answer: what was counted in each round.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable

from chosen import say, threading
from process_usage import registered, tasks, wait_until

STACK = 128 << 10
# Of a wait that is to run out of time, and of one that is not.
SHORT, LONG = 0.2, 3600.0


class ConditionWaiters:
    """Threads that wait for a condition again and again, all of them in each round."""

    def __init__(self, count: int) -> None:
        self.count = count
        self.condition = threading.Condition()
        self.waiting: list[int] = []
        self.woken: list[int] = []
        self.notified = 0
        # For how long to wait in the next round; at the end of the list: end.
        self.rounds: tuple[float | None, ...] = (None, None, SHORT, LONG)
        self.next_round = threading.Barrier(count + 1)

    def run(self, number: int) -> None:
        for timeout in self.rounds:
            self.next_round.wait()
            with self.condition:
                self.waiting.append(number)
                notified = self.condition.wait(timeout)
                self.notified += notified
                self.woken.append(number)
        # So that the last round does not take the ends of the threads with it.
        self.next_round.wait()

    def begin(self) -> None:
        self.waiting, self.woken, self.notified = [], [], 0
        self.next_round.wait()

    def all_wait(self) -> bool:
        # A thread that is in the list gives up the lock only by waiting.
        with self.condition:
            return len(self.waiting) == self.count

    def all_are_woken(self) -> bool:
        with self.condition:
            return len(self.woken) == self.count

    def notify_all(self) -> None:
        self.begin()
        wait_until(self.all_wait)
        with self.condition:
            self.condition.notify_all()
        wait_until(self.all_are_woken)

    def notify_in_order(self) -> None:
        self.begin()
        wait_until(self.all_wait)
        for number in range(self.count):
            with self.condition:
                assert len(self.woken) == number
                self.condition.notify()
            while len(self.woken) == number:
                time.sleep(0)

    def time_out(self) -> None:
        self.begin()
        wait_until(self.all_are_woken)


def main() -> None:
    count = int(sys.argv[1])
    threading.stack_size(STACK)
    entries = registered()
    waiters = ConditionWaiters(count)
    answer: dict[str, float] = {}

    def timed(name: str, action: Callable[[], object]) -> None:
        begun = time.monotonic()
        action()
        answer[f"seconds to {name}"] = time.monotonic() - begun

    threads = [threading.Thread(target=waiters.run, args=(number,)) for number in range(count)]

    def start() -> None:
        for thread in threads:
            thread.start()

    timed("start", start)
    answer["alive"] = tasks() - 1
    timed("notify all", waiters.notify_all)
    answer["notified at once"] = waiters.notified
    timed("notify one by one", waiters.notify_in_order)
    answer["notified one by one"] = waiters.notified
    pairs = zip(waiters.waiting, waiters.woken, strict=True)
    answer["out of order"] = sum(waiting != woken for waiting, woken in pairs)
    timed("run out of time", waiters.time_out)
    answer["woken without a notification"] = waiters.notified
    timed("notify all before their time", waiters.notify_all)
    answer["notified in time"] = waiters.notified

    def join() -> None:
        waiters.next_round.wait()
        for thread in threads:
            thread.join()

    timed("end", join)
    threads.clear()
    wait_until(lambda: tasks() == 1)
    answer["entries in registries"] = registered() - entries
    say(json.dumps(answer))


if __name__ == "__main__":
    main()
