"""Wait on the main thread in every way there is until Ctrl-C, as often as the argument says.

The last line of the output is in JSON: how long after it was sent the KeyboardInterrupt was caught,
in milliseconds, for each try of each way, and of as many sleeps in between; and what was wrong with
the objects afterwards.
"""

from __future__ import annotations

import json
import os
import sys
import time

from all_waits import WAITS
from chosen import say
from consistency import check
from signal_sender import Sender
from waits import LONG, Inconsistent, Wait
from worker_thread import WorkerThread


class ForTime(Wait):
    """No object at all: what the machine and the interpreter take by themselves."""

    def wait(self, timeout: float | None) -> bool:
        time.sleep(LONG)
        return False


def interrupted(wait: Wait, sender: Sender) -> float:
    """Wait until Ctrl-C; give how many milliseconds it took to be here again.

    Raises:
        Inconsistent: the wait ended in another way.
    """
    served = None
    sender.ask_for("SIGINT")
    try:
        served = wait.wait(wait.timeout)
        # The signal is still on its way.
        time.sleep(LONG)
    except KeyboardInterrupt:
        caught = time.monotonic_ns()
    if served is not None:
        raise Inconsistent(f"the wait ended before the signal came: {served}")
    return (caught - sender.sent_at()) / 1e6


class Tries:
    def __init__(self, sender: Sender) -> None:
        self.late: dict[str, list[float]] = {}
        self.sleep: list[float] = []
        self.wrong: list[str] = []
        self._sender = sender

    def make(self, name: str, count: int) -> None:
        """All with one object, which has to bear it."""
        late = self.late[name] = []
        wait, worker = WAITS[name](), WorkerThread()
        fresh = wait.state()
        try:
            for _ in range(count):
                late.append(interrupted(wait, self._sender))
                wait.after_interrupt()
                check(wait, fresh, worker)
                self.sleep.append(interrupted(ForTime(), self._sender))
            wait.end()
            worker.end()
        except Inconsistent as error:
            # The worker may be in a wait that no thread ends any more.
            self.wrong.append(f"{name}, try {len(late)}: {error}")


def main() -> None:
    count = int(sys.argv[1])
    with Sender() as sender:
        tries = Tries(sender)
        for name in sys.argv[2:] or WAITS:
            tries.make(name, count)
    say(json.dumps({"late": tries.late, "sleep": tries.sleep, "wrong": tries.wrong}))
    if tries.wrong:
        # Threads that wait in vain would keep this process from ending.
        os._exit(0)


if __name__ == "__main__":
    main()
