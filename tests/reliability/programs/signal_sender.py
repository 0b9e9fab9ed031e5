"""A process that sends signals to its parent, each as soon as all threads of that one are blocked.

As a program it reads the names of the signals, one a line. It answers each with the time just
before it was sent, on the clock that all processes share.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from typing import Any

from blocked_threads import wait_until_all_blocked


class Sender:
    """The process, for as long as a `with` block lasts."""

    def __enter__(self) -> Any:
        self._owner = os.getpid()
        self._process = subprocess.Popen(
            [sys.executable, __file__],
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


def main() -> None:
    # Ctrl-C at a terminal is meant for the parent.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = os.getppid()
    for line in sys.stdin:
        number = signal.Signals[line.strip()]
        wait_until_all_blocked(parent)
        sent = time.monotonic_ns()
        os.kill(parent, number)
        print(sent, flush=True)


if __name__ == "__main__":
    main()
