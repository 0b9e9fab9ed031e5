"""What the daemon threads of `exit_daemons` do: all that a thread can be blocked in.

`SLEEPING` are waits without end. `WAKING` are done again and again, two threads each, so that the
end of the program finds them on their way into a wait or out of it.
"""

from __future__ import annotations

import contextlib
import importlib
import time
from collections.abc import Callable
from typing import Any

from chosen import MODE, low_level, threading
from many_thread_exits import start_and_end_threads

Work = Callable[[], object]

SOON = 0.0005
LONG = 3600.0

# Ours also where the program's own `queue` stays as it is.
queue: Any = importlib.import_module("queue" if MODE == "stock" else "rthread.queue")


class Witness:
    """Uses locks when it dies, at a time when hardly anything works any more."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.event = threading.Event()
        self.items = queue.SimpleQueue()

    def __del__(self, make_lock: Callable[[], Any] = threading.RLock) -> None:
        with self.lock, make_lock():
            self.event.set()
            self.items.put(self.event.wait())


held = threading.Lock()
held.acquire()
held_recursive = threading.RLock()
held_recursive.acquire()
condition = threading.Condition()
plain_condition = threading.Condition(threading.Lock())
event = threading.Event()
semaphore = threading.Semaphore(0)
bounded = threading.BoundedSemaphore(1)
bounded.acquire()
barrier = threading.Barrier(2)
sleeper = threading.Thread(target=event.wait, daemon=True)
values = threading.local()

SLEEPING: dict[str, Work] = {
    "acquire": held.acquire,
    "acquire_timeout": lambda: held.acquire(timeout=LONG),
    "rlock": held_recursive.acquire,
    "rlock_timeout": lambda: held_recursive.acquire(timeout=LONG),
    "event": event.wait,
    "event_timeout": lambda: event.wait(LONG),
    "semaphore": semaphore.acquire,
    "semaphore_timeout": lambda: semaphore.acquire(timeout=LONG),
    "bounded_semaphore": bounded.acquire,
    "barrier": barrier.wait,
    "barrier_timeout": lambda: threading.Barrier(2).wait(LONG),
    "join": sleeper.join,
    "join_timeout": lambda: sleeper.join(LONG),
}
contended = threading.Lock()
contended_recursive = threading.RLock()
few = threading.BoundedSemaphore(1)
meeting = threading.Barrier(2)
impatient = threading.Barrier(2)

WAKING: dict[str, Work] = {
    "acquire_loop": lambda: held.acquire(timeout=SOON),
    "rlock_loop": lambda: held_recursive.acquire(timeout=SOON),
    "event_loop": lambda: event.wait(SOON),
    "semaphore_loop": lambda: semaphore.acquire(timeout=SOON),
    "join_loop": lambda: sleeper.join(SOON),
    "barrier_loop": meeting.wait,
}


def sleeping(work: Work) -> Work:
    SLEEPING[work.__name__] = work
    return work


def waking(work: Work) -> Work:
    WAKING[work.__name__] = work
    return work


@sleeping
def condition_wait() -> None:
    with condition:
        condition.wait()


@sleeping
def condition_timeout() -> None:
    with condition:
        condition.wait_for(lambda: False, LONG)


@sleeping
def condition_over_lock() -> None:
    with plain_condition:
        plain_condition.wait()


@sleeping
def holding() -> None:
    """Blocked with a lock, a recursive lock and a thread-local value of its own."""
    values.mine = Witness()
    with threading.Lock(), threading.RLock():
        event.wait()


@waking
def condition_loop() -> None:
    with condition:
        condition.wait(SOON)


@waking
def notify_loop() -> None:
    with plain_condition:
        plain_condition.notify_all()
        plain_condition.wait(SOON)


@waking
def with_loop() -> None:
    with contended:
        time.sleep(SOON)


@waking
def with_rlock_loop() -> None:
    with contended_recursive:
        time.sleep(SOON)


@waking
def with_semaphore_loop() -> None:
    with few:
        time.sleep(SOON)


@waking
def broken_barrier_loop() -> None:
    try:
        impatient.wait(SOON)
    except threading.BrokenBarrierError:
        impatient.reset()


@waking
def local_loop() -> None:
    """Values made and dropped all the time, by threads that end."""
    values.mine = Witness()
    start(lambda: setattr(values, "mine", Witness()))


@waking
def start_loop() -> None:
    start(int)


@waking
def bare_loop() -> None:
    """Threads that `threading` knows nothing of, each blocked for a moment."""
    done = low_level.allocate_lock()
    done.acquire()

    def wait() -> None:
        held.acquire(timeout=SOON)
        done.release()

    start_bare(wait)
    done.acquire()


def many_starts() -> None:
    """More threads than can begin before the end, so that it finds many on their way."""
    while True:
        start_bare(int)


def many_exits() -> None:
    """Many threads that end at a time, so that the end finds many on their way out."""
    try:
        start_and_end_threads()
    except RuntimeError:
        # The interpreter is going down and says so.
        time.sleep(LONG)


def start_bare(function: Work) -> None:
    try:
        low_level.start_new_thread(function, ())
    except RuntimeError:
        # There are too many, or the interpreter is going down and says so.
        time.sleep(SOON)


def start(function: Work) -> None:
    """A new thread, when the last one that the caller has started so is over."""
    thread = threading.Thread(target=function, daemon=True)
    try:
        if hasattr(values, "started"):
            values.started.join()
        thread.start()
    except RuntimeError:
        # As above.
        time.sleep(LONG)
    values.started = thread


def queue_tasks(name: str) -> None:
    """The same for each class of queues, with objects of its own."""
    new = getattr(queue, name)
    empty = new()
    passed = new()

    def get_loop() -> None:
        with contextlib.suppress(queue.Empty):
            empty.get(timeout=SOON)

    def pass_loop() -> None:
        passed.put(1)
        passed.get()

    SLEEPING[f"{name}_get"] = empty.get
    SLEEPING[f"{name}_get_timeout"] = lambda: empty.get(timeout=LONG)
    WAKING[f"{name}_get_loop"] = get_loop
    WAKING[f"{name}_pass_loop"] = pass_loop
    if name == "SimpleQueue":
        return
    full = new(1)
    full.put(1)
    narrow = new(1)

    def put_loop() -> None:
        with contextlib.suppress(queue.Full):
            full.put(2, timeout=SOON)

    def join_loop() -> None:
        narrow.put(1)
        narrow.get()
        narrow.task_done()
        narrow.join()

    SLEEPING[f"{name}_put"] = lambda: full.put(2)
    SLEEPING[f"{name}_put_timeout"] = lambda: full.put(2, timeout=LONG)
    SLEEPING[f"{name}_join"] = full.join
    WAKING[f"{name}_put_loop"] = put_loop
    WAKING[f"{name}_join_loop"] = join_loop


def tss_tasks() -> None:
    """rthread's own: values that die with the threads that they belong to."""
    from rthread import TSS

    key = TSS()
    key.create()

    def tss() -> None:
        key.set(Witness())
        event.wait()

    def tss_loop() -> None:
        key.set(Witness())
        start(lambda: key.set(Witness()))

    sleeping(tss)
    waking(tss_loop)


for name in ("Queue", "LifoQueue", "PriorityQueue", "SimpleQueue"):
    queue_tasks(name)
if MODE != "stock":
    tss_tasks()
# Not among the others, which would hardly get on.
ALONE: dict[str, Work] = {"many_starts": many_starts, "many_exits": many_exits}
