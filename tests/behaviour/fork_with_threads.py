"""Snippets that fork with threads of both kinds around."""

from __future__ import annotations

import pytest

from fork_snippets import IN_CHILD
from support import check_snippet

both = pytest.mark.parametrize("module", ["_thread", "rthread"])

PRELUDE = """
import gc, os, signal, sys, time, weakref
import {module} as api, rthread

def thread(function, *args):
    # Start a thread; return when it runs.
    running = api.allocate_lock()
    running.acquire()
    def run():
        running.release()
        function(*args)
    api.start_new_thread(run, ())
    assert running.acquire(True, 60)

def waiter(lock, *args):
    # A thread that waits for `lock`; return when it does.
    ids = []
    def wait():
        ids.append(api.get_native_id())
        lock.acquire(*args)
        lock.release()
    thread(wait)
    while not ids:
        time.sleep(0.001)
    blocked(ids[0])

def holder(lock):
    # A thread that holds `lock` for good.
    held = api.allocate_lock()
    held.acquire()
    never = api.allocate_lock()
    never.acquire()
    def hold():
        lock.acquire()
        held.release()
        never.acquire()
    thread(hold)
    assert held.acquire(True, 60)

def use(lock):
    # Exercise a lock that ought to be free, alone and between new threads.
    assert lock.acquire(True, 30)
    lock.release()
    counts = []
    def count():
        for _ in range(100):
            with lock:
                counts.append(1)
    for _ in range(3):
        thread(count)
    while len(counts) < 300:
        time.sleep(0.001)
    assert lock.acquire(True, 30)
    lock.release()
"""


def check(module: str, source: str) -> None:
    """Run a snippet, which has to print `fine` and nothing else."""
    text = PRELUDE.format(module=module) + IN_CHILD + source
    output = check_snippet(text, flags=("-W", "ignore::DeprecationWarning"))
    assert output == "fine\n"
