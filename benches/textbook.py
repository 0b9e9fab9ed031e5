"""Programs as textbooks and people write them, in small: threads that hand things to each other.

This file is run once for each rival, with the rival's own `threading` and `queue`, so nothing in
here says whose they are. `plain_queue` is the interpreter's own `queue` on the rival's `threading`.
A program takes how many items it is to handle, turns to make, or so, and gives the seconds.
"""

from __future__ import annotations

import queue
import time
from collections import deque
from collections.abc import Callable
from threading import Barrier, Condition, Event, Lock, RLock, Semaphore, Thread, Timer
from typing import Any

# The names are given by whoever runs this.
from executor import ThreadPoolExecutor  # type: ignore[import-not-found]
from plain_queue import Queue as PlainQueue  # type: ignore[import-not-found]

Program = Callable[[int], float]
PROGRAMS: dict[str, Program] = {}


def named(name: str, program: Program) -> None:
    PROGRAMS[name] = program


def seconds_of(*functions: Callable[[], object]) -> float:
    """Run each in a thread: the seconds from when all have started until all have ended."""
    gate = Barrier(len(functions) + 1)

    def run(function: Callable[[], object]) -> None:
        gate.wait()
        function()

    threads = [Thread(target=run, args=(function,)) for function in functions]
    for thread in threads:
        thread.start()
    gate.wait()
    begun = time.perf_counter()
    for thread in threads:
        thread.join()
    return time.perf_counter() - begun


def shares(count: int, threads: int) -> list[range]:
    """`count` things, divided among threads."""
    return [range(number, count, threads) for number in range(threads)]


# Turns


def turns_by_condition(count: int) -> float:
    turn, changed = 0, Condition()

    def play(me: int) -> None:
        nonlocal turn
        for _ in range(count):
            with changed:
                while turn != me:
                    changed.wait()
                turn = 1 - me
                changed.notify()

    return seconds_of(lambda: play(0), lambda: play(1))


def turns_by_semaphore(count: int) -> float:
    mine, yours = Semaphore(1), Semaphore(0)

    def play(first: Any, second: Any) -> None:
        for _ in range(count):
            first.acquire()
            second.release()

    return seconds_of(lambda: play(mine, yours), lambda: play(yours, mine))


def turns_by_event(count: int) -> float:
    ping, pong = Event(), Event()

    def play(first: Any, second: Any) -> None:
        for _ in range(count):
            first.wait()
            first.clear()
            second.set()

    ping.set()
    return seconds_of(lambda: play(ping, pong), lambda: play(pong, ping))


named("turns: one Condition", turns_by_condition)
named("turns: two Semaphores", turns_by_semaphore)
named("turns: two Events", turns_by_event)


# Buffers


def buffer(size: int, threads: int) -> Program:
    """A lock and two conditions, as in every textbook."""

    def program(count: int) -> float:
        items: deque[int] = deque()
        lock = Lock()
        not_full, not_empty = Condition(lock), Condition(lock)

        def produce(share: range) -> None:
            for item in share:
                with not_full:
                    while len(items) >= size:
                        not_full.wait()
                    items.append(item)
                    not_empty.notify()

        def consume(share: range) -> None:
            for _ in share:
                with not_empty:
                    while not items:
                        not_empty.wait()
                    items.popleft()
                    not_full.notify()

        return seconds_of(
            *(lambda share=share: produce(share) for share in shares(count, threads)),
            *(lambda share=share: consume(share) for share in shares(count, threads)),
        )

    return program


def through_a_queue(make: Callable[[int], Any], size: int, putters: int, getters: int) -> Program:
    def program(count: int) -> float:
        line = make(size)

        def put(share: range) -> None:
            for item in share:
                line.put(item)

        def get(share: range) -> None:
            for _ in share:
                line.get()

        return seconds_of(
            *(lambda share=share: put(share) for share in shares(count, putters)),
            *(lambda share=share: get(share) for share in shares(count, getters)),
        )

    return program


def pipeline(make: Callable[[int], Any]) -> Program:
    """Three stages with a queue before each."""

    def program(count: int) -> float:
        lines = [make(10) for _ in range(3)]

        def work(source: Any, target: Any) -> None:
            while (item := source.get()) is not None:
                target.put(item + 1)
            target.put(None)

        def begin() -> None:
            for item in range(count):
                lines[0].put(item)
            lines[0].put(None)

        def end() -> None:
            while lines[2].get() is not None:
                pass

        return seconds_of(
            begin, lambda: work(lines[0], lines[1]), lambda: work(lines[1], lines[2]), end
        )

    return program


for size in (1, 10):
    for threads in (1, 4):
        named(f"buffer of {size}, {threads}+{threads}", buffer(size, threads))
for title, made in (("plain Queue", PlainQueue), ("Queue", queue.Queue)):
    for size in (0, 1, 10, 100):
        for putters, getters in ((1, 1), (4, 4), (8, 1)):
            named(
                f"{title}({size}), {putters}+{getters}",
                through_a_queue(made, size, putters, getters),
            )
    named(f"{title}: three stages", pipeline(made))


# Locks that several threads want


def contended(make: Callable[[], Any], threads: int, inside: int, outside: int) -> Program:
    """So many steps of work with the lock, and without."""

    def program(count: int) -> float:
        lock = make()

        def work(share: range) -> None:
            for _ in share:
                with lock:
                    for _ in range(inside):
                        pass
                for _ in range(outside):
                    pass

        return seconds_of(*(lambda share=share: work(share) for share in shares(count, threads)))

    return program


for threads in (2, 4, 8, 16):
    named(f"Lock, {threads} threads, short work", contended(Lock, threads, 5, 5))
    named(f"Lock, {threads} threads, long inside", contended(Lock, threads, 300, 5))
    named(f"Lock, {threads} threads, long outside", contended(Lock, threads, 5, 300))
for threads in (2, 8):
    named(f"RLock, {threads} threads, short work", contended(RLock, threads, 5, 5))
    named(f"Semaphore(1), {threads} threads, short work", contended(Semaphore, threads, 5, 5))


def readers_and_writer(count: int) -> float:
    """A read/write lock as one makes it by hand: three readers and a writer."""
    readers, changed = 0, Condition()

    def read(share: range) -> None:
        nonlocal readers
        for _ in share:
            with changed:
                readers += 1
            with changed:
                readers -= 1
                if not readers:
                    changed.notify_all()

    def write(share: range) -> None:
        for _ in share:
            with changed:
                while readers:
                    changed.wait()

    first, *others = shares(count, 4)
    return seconds_of(lambda: write(first), *(lambda share=share: read(share) for share in others))


named("read/write lock by hand, 3+1", readers_and_writer)


# Many are woken


def event_to(waiters: int) -> Program:
    def program(count: int) -> float:
        rounds = [Event() for _ in range(count)]
        gate = Barrier(waiters + 1)

        def wait() -> None:
            for event in rounds:
                event.wait()
                gate.wait()

        def tell() -> None:
            for event in rounds:
                event.set()
                gate.wait()

        return seconds_of(tell, *[wait] * waiters)

    return program


def notify_all_to(waiters: int) -> Program:
    def program(count: int) -> float:
        number, arrived, changed, done = 0, 0, Condition(), Condition()

        def wait() -> None:
            nonlocal arrived
            for mine in range(count):
                with changed:
                    while number <= mine:
                        changed.wait()
                with done:
                    arrived += 1
                    if arrived == waiters:
                        done.notify()

        def tell() -> None:
            nonlocal number, arrived
            for _ in range(count):
                with changed:
                    number += 1
                    changed.notify_all()
                with done:
                    while arrived < waiters:
                        done.wait()
                    arrived = 0

        return seconds_of(tell, *[wait] * waiters)

    return program


def barrier_of(parties: int) -> Program:
    def program(count: int) -> float:
        barrier = Barrier(parties)

        def meet() -> None:
            for _ in range(count):
                barrier.wait()

        return seconds_of(*[meet] * parties)

    return program


for waiters in (1, 8):
    named(f"Event to {waiters}", event_to(waiters))
for waiters in (8, 50):
    named(f"notify_all to {waiters}", notify_all_to(waiters))
for parties in (2, 8):
    named(f"Barrier of {parties}", barrier_of(parties))


# The rest of what programs do


def polling(count: int) -> float:
    """A thread looks for work with a short time-out; another one has some now and then."""
    line: Any = queue.Queue()

    def look() -> None:
        left = count
        while left:
            try:
                line.get(timeout=0.0001)
                left -= 1
            except queue.Empty:
                pass

    def put() -> None:
        for item in range(count):
            time.sleep(0.0002)
            line.put(item)

    return seconds_of(look, put)


def timers(count: int) -> float:
    def run() -> None:
        for _ in range(count):
            timer = Timer(0, int)
            timer.start()
            timer.join()

    return seconds_of(run)


def one_at_a_time(count: int) -> float:
    with ThreadPoolExecutor(1) as pool:
        begun = time.perf_counter()
        for _ in range(count):
            pool.submit(int).result()
        return time.perf_counter() - begun


def mapped(workers: int) -> Program:
    def program(count: int) -> float:
        with ThreadPoolExecutor(workers) as pool:
            begun = time.perf_counter()
            for _ in pool.map(abs, range(count)):
                pass
            return time.perf_counter() - begun

    return program


named("polling, time-out of 0.1 ms", polling)
named("Timer(0)", timers)
named("executor: submit(f).result()", one_at_a_time)
for workers in (1, 2, 8):
    named(f"executor.map, {workers} workers", mapped(workers))
