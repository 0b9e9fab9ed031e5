"""What snippets that fork have in common.

The child reports by its exit status; an alarm ends it where it would wait for ever.
"""

from __future__ import annotations

import os

import pytest

needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="the OS has no fork")

IN_CHILD = """
import os, signal, sys, time

def in_child(check):
    # Fork, have the child run `check`, and give the child's exit status.
    sys.stdout.flush()
    pid = os.fork()
    if pid == 0:
        signal.alarm(60)
        status = 1
        try:
            check()
            status = 0
        except BaseException:
            sys.excepthook(*sys.exc_info())
        finally:
            os._exit(status)
    status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    if status:
        print("in_child:", status, file=sys.stderr)
    return status

def blocked(native_id):
    # Wait until a thread sleeps in the kernel, where that can be seen.
    path = f"/proc/self/task/{native_id}/stat"
    for _ in range(5):
        while os.path.exists(path) and open(path).read().rpartition(")")[2].split()[0] != "S":
            time.sleep(0.001)
        time.sleep(0.001)
"""
