"""When `os.fork()` warns of other threads, as it does since 3.12: only while there are some.

A thread that the library kept for purposes of its own would show here.
"""

from __future__ import annotations

import os
import time
import warnings

from chosen import say, threading


def fork() -> None:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        pid = os.fork()
        if pid == 0:
            os._exit(0)
        os.waitpid(pid, 0)
    for warning in caught:
        say(warning.category.__name__, str(warning.message).replace(str(os.getpid()), "PID"))
    say("forked", len(caught) > 0)


def use_threads() -> None:
    """All kinds of waits, contended ones too, so that whatever starts lazily has started."""
    lock, condition, barrier = threading.Lock(), threading.Condition(), threading.Barrier(4)

    def work() -> None:
        for _ in range(50):
            with lock:
                time.sleep(0)
            barrier.wait()
            with condition:
                condition.wait(0.0001)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def wait_for_threads_to_leave() -> None:
    """Up to 3.12 a joined thread may still have a few steps to go, outside the interpreter."""
    deadline = time.monotonic() + 10
    while len(os.listdir("/proc/self/task")) > 1 and time.monotonic() < deadline:
        time.sleep(0.001)


fork()
use_threads()
wait_for_threads_to_leave()
fork()
let_go = threading.Event()
thread = threading.Thread(target=let_go.wait)
thread.start()
fork()
let_go.set()
thread.join()
wait_for_threads_to_leave()
fork()
