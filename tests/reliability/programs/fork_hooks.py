"""The order of `os.register_at_fork`, with hooks that use all that threads use.

Hooks before the fork run last registered first, those after it in order. They take and release
locks, as libraries do that want theirs to be free in the child. Argument: how many forks.
"""

from __future__ import annotations

import os
import sys
import time
import warnings
from collections.abc import Callable

from chosen import say, threading
from fork_kit import called, queue

order: list[str] = []
# Each held across the fork by its hooks, so that the child finds it whole.
locks = [threading.Lock(), threading.RLock(), threading.Condition()]
items = queue.Queue()
event = threading.Event()
semaphore = threading.Semaphore(1)
values = threading.local()


def hook(name: str, work: Callable[[], object]) -> Callable[[], None]:
    def run() -> None:
        order.append(name)
        work()

    return run


def release_all() -> None:
    for lock in locks:
        lock.release()
    # As any code may do there.
    items.put(order[-1])
    event.set()
    assert event.wait()
    assert items.get() == order[-1]
    values.last = order[-1]


def in_child() -> None:
    release_all()
    semaphore.release()
    thread = threading.Thread(target=semaphore.acquire)
    thread.start()
    thread.join()


def acquire_all() -> None:
    for lock in locks:
        assert lock.acquire()
    semaphore.acquire()
    event.clear()


def in_parent() -> None:
    release_all()
    semaphore.release()


def register() -> None:
    for number in range(3):
        work = (acquire_all, in_parent, in_child) if number == 1 else (int, int, int)
        names = (f"before {number}", f"parent {number}", f"child {number}")
        before, parent, child = map(hook, names, work)
        os.register_at_fork(before=before, after_in_parent=parent, after_in_child=child)


def use_them() -> None:
    while True:
        for lock in locks:
            with lock:
                time.sleep(0)
        with semaphore:
            pass


def fork_once() -> None:
    order.clear()
    pid = os.fork()
    befores = ["before 2", "before 1", "before 0"]
    where = "parent" if pid else "child"
    assert order == [*befores, *(f"{where} {number}" for number in range(3))], order
    assert values.last == f"{where} 1"
    if pid == 0:
        for lock in locks:
            with lock:
                pass
        assert called(lambda: [lock.acquire(False) for lock in locks]) == [True] * 3
        os._exit(0)
    status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    assert status == 0, status


if __name__ == "__main__":
    warnings.simplefilter("ignore", DeprecationWarning)
    register()
    for _ in range(3):
        threading.Thread(target=use_them, daemon=True).start()
    for _ in range(int(sys.argv[1])):
        fork_once()
    say("fine")
