"""Wait for ever on the main thread, in the way that the argument names, until Ctrl-C ends it.

What waited is looked at afterwards: nothing may have been taken, and all has to go on working.
"""

from __future__ import annotations

import concurrent.futures
import contextlib
import queue
import sys
from collections.abc import Callable, Iterator
from typing import Any

from chosen import ask_for, say, threading

# Each case yields what is to wait, and then what it finds.
Case = Iterator[Any]
CASES: dict[str, Callable[[], Case]] = {}

# Waits with a time-out must not be served differently; nothing here lasts so long.
LONG = 3600


def case(function: Callable[[], Case]) -> Callable[[], Case]:
    CASES[function.__name__] = function
    return function


@contextlib.contextmanager
def held_by_another(lock: Any) -> Iterator[None]:
    """Have another thread hold `lock`."""
    taken, let_go = threading.Event(), threading.Event()

    def hold() -> None:
        with lock:
            taken.set()
            let_go.wait()

    thread = threading.Thread(target=hold)
    thread.start()
    taken.wait()
    try:
        yield
    finally:
        let_go.set()
        thread.join()


def lock_case(wait: Callable[[Any], object]) -> Case:
    lock = threading.Lock()
    with held_by_another(lock):
        yield lambda: wait(lock)
        yield lock.locked()
    yield lock.locked(), lock.acquire(False), lock.acquire(False)


def with_statement(lock: Any) -> None:
    with lock:
        raise AssertionError("entered")


@case
def lock_acquire() -> Case:
    return lock_case(lambda lock: lock.acquire())


@case
def lock_acquire_timeout() -> Case:
    return lock_case(lambda lock: lock.acquire(timeout=LONG))


@case
def lock_with() -> Case:
    return lock_case(with_statement)


def rlock_case(wait: Callable[[Any], object]) -> Case:
    lock = threading.RLock()
    with held_by_another(lock):
        yield lambda: wait(lock)
        yield lock._is_owned()
    yield lock.acquire(False), lock.acquire(False), lock._is_owned()
    yield lock.release(), lock.release(), lock._is_owned()


@case
def rlock_acquire() -> Case:
    return rlock_case(lambda lock: lock.acquire())


@case
def rlock_acquire_timeout() -> Case:
    return rlock_case(lambda lock: lock.acquire(timeout=LONG))


@case
def rlock_with() -> Case:
    return rlock_case(with_statement)


def join_case(*timeout: float) -> Case:
    let_go = threading.Event()
    thread = threading.Thread(target=let_go.wait)
    thread.start()
    yield lambda: thread.join(*timeout)
    yield thread.is_alive()
    let_go.set()
    yield thread.join(), thread.join(), thread.is_alive()


@case
def thread_join() -> Case:
    return join_case()


@case
def thread_join_timeout() -> Case:
    return join_case(LONG)


@case
def event_wait() -> Case:
    event = threading.Event()
    yield event.wait
    yield event.is_set(), event.wait(0)
    event.set()
    yield event.is_set(), event.wait()


@case
def event_wait_timeout() -> Case:
    event = threading.Event()
    yield lambda: event.wait(LONG)
    yield event.is_set()


def condition_case(make_lock: Callable[[], Any], wait: Callable[[Any], object]) -> Case:
    condition = threading.Condition(make_lock())
    with condition:
        yield lambda: wait(condition)
        # The lock is ours again, and no thread waits any more.
        yield condition._is_owned(), len(condition._waiters)
        condition.notify_all()
    yield condition.acquire(False), condition.release()


@case
def condition_wait() -> Case:
    return condition_case(threading.RLock, lambda condition: condition.wait())


@case
def condition_wait_lock() -> Case:
    return condition_case(threading.Lock, lambda condition: condition.wait())


@case
def condition_wait_for() -> Case:
    return condition_case(threading.RLock, lambda it: it.wait_for(lambda: False, LONG))


@case
def semaphore_acquire() -> Case:
    semaphore = threading.Semaphore(0)
    yield semaphore.acquire
    semaphore.release()
    yield semaphore.acquire(False), semaphore.acquire(False)


@case
def barrier_wait() -> Case:
    barrier = threading.Barrier(2)
    yield barrier.wait
    yield barrier.n_waiting, barrier.broken


@case
def queue_get() -> Case:
    empty: queue.Queue[int] = queue.Queue()
    yield empty.get
    empty.put(1)
    yield empty.get(), empty.qsize()


@case
def queue_get_timeout() -> Case:
    empty: queue.Queue[int] = queue.Queue()
    yield lambda: empty.get(timeout=LONG)
    yield empty.qsize()


@case
def queue_put() -> Case:
    full: queue.Queue[int] = queue.Queue(1)
    full.put(1)
    yield lambda: full.put(2)
    yield full.get(), full.qsize()


@case
def queue_join() -> Case:
    unfinished: queue.Queue[int] = queue.Queue()
    unfinished.put(1)
    yield unfinished.join
    yield unfinished.get()
    unfinished.task_done()
    unfinished.join()


@case
def future_result() -> Case:
    future: concurrent.futures.Future[int] = concurrent.futures.Future()
    yield future.result
    future.set_result(1)
    yield future.result()


def main() -> None:
    steps = CASES[sys.argv[1]]()
    wait = next(steps)
    ask_for("SIGINT")
    try:
        wait()
    except KeyboardInterrupt:
        say("interrupted")
    else:
        say("served")
    for found in steps:
        say(found)


if __name__ == "__main__":
    main()
