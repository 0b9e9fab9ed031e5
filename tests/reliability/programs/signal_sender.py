"""Send signals to the parent process, each as soon as all threads of that one are blocked.

Reads the names of the signals, one a line. Answers each with the time just before it was sent, on
the clock that all processes share.
"""

from __future__ import annotations

import os
import signal
import sys
import time

from still import wait_until_still


def main() -> None:
    # Ctrl-C at a terminal is meant for the parent.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = os.getppid()
    for line in sys.stdin:
        number = signal.Signals[line.strip()]
        wait_until_still(parent)
        sent = time.monotonic_ns()
        os.kill(parent, number)
        print(sent, flush=True)


if __name__ == "__main__":
    main()
