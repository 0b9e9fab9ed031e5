"""Ctrl-C while the interpreter waits at exit for threads that are not daemons.

The threads never end: "one", or "several", of both modules. One Ctrl-C gives up all of them.
"""

from __future__ import annotations

import atexit
import sys
import threading as plain

from chosen import ask_for, say, threading

for_ever = threading.Event()


def ask_when_waited_for() -> None:
    """The signal comes when all threads are blocked: the main one in the interpreter's own wait."""
    threading.main_thread().join()
    ask_for("SIGINT")
    for_ever.wait()


atexit.register(say, "atexit")
threading.Thread(target=for_ever.wait).start()
if sys.argv[1] == "several":
    plain.Thread(target=for_ever.wait).start()
threading.Thread(target=ask_when_waited_for, daemon=True).start()
say("main ends")
