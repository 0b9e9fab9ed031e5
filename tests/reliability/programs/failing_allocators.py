"""Has CPython's allocators fail at the first, the second, … request of each operation.

Arguments: how far to go, and how many requests in a row fail. The answer: how often an operation
went well, how often it raised MemoryError (or what an operation without a thread raises), and how
many operations there were. After each the object has to be as usable as before.

Not for ever: the interpreter itself hangs when it has no memory to keep an exception (3.12). And
to be run by `python -m rthread`: a lock that `threading` has made on the stock `_thread` needs
memory to be released at the end of a `with` block.
"""

from __future__ import annotations

import _testcapi
import contextlib
import gc
import importlib
import json
import os
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from types import FunctionType
from typing import Any

from chosen import low_level, say, threading
from process_usage import tasks, wait_until

queue: Any = importlib.import_module("rthread.queue")

SOON = 0.0002
Operation = Callable[[], object]
# An operation, and what has to be true after it, whether it raised or not.
Case = tuple[Operation, Callable[[], object]]


def fine() -> bool:
    return True


def making() -> Iterator[tuple[str, Case]]:
    for name in ("Lock", "RLock", "local", "Condition", "Event", "Semaphore", "BoundedSemaphore"):
        yield name, (getattr(threading, name), fine)
    yield "Barrier", (lambda: threading.Barrier(2), fine)
    for name in ("Queue", "LifoQueue", "PriorityQueue", "SimpleQueue"):
        yield name, (getattr(queue, name), fine)
    for name in ("TSS", "_ThreadHandle"):
        if hasattr(low_level, name):
            yield name, (getattr(low_level, name), fine)
    if hasattr(low_level, "_set_sentinel"):
        yield "_set_sentinel", (low_level._set_sentinel, fine)


def waits(held: Any) -> Iterator[tuple[str, Case]]:
    """Waits that run out of time; `held` is an RLock that another thread has."""
    lock = threading.Lock()
    lock.acquire()
    yield "Lock.acquire", (lambda: lock.acquire(timeout=SOON), lock.locked)
    yield "RLock.acquire", (lambda: held.acquire(timeout=SOON), lambda: not held._is_owned())
    for kind, inner in (("Lock", threading.Lock()), ("RLock", threading.RLock())):
        condition = threading.Condition(inner)

        def wait(condition: Any = condition) -> None:
            # Leaving the block raises if the lock has not been taken back.
            with condition:
                condition.wait(SOON)

        def wait_for(condition: Any = condition) -> None:
            with condition:
                condition.wait_for(bool, SOON)

        def is_free(inner: Any = inner) -> bool:
            return bool(inner.acquire(False)) and inner.release() is None

        yield f"Condition.wait ({kind})", (wait, is_free)
        yield f"Condition.wait_for ({kind})", (wait_for, is_free)
    event, semaphore = threading.Event(), threading.Semaphore(0)
    yield "Event.wait", (lambda: event.wait(SOON), lambda: not event.is_set())
    yield "Semaphore.acquire", (lambda: semaphore.acquire(timeout=SOON), fine)
    barrier = threading.Barrier(2)

    def arrive() -> None:
        with contextlib.suppress(threading.BrokenBarrierError):
            barrier.wait(SOON)

    def can_be_reset() -> bool:
        barrier.reset()
        return not barrier.broken and barrier.n_waiting == 0

    yield "Barrier.wait", (arrive, can_be_reset)


def queues() -> Iterator[tuple[str, Case]]:
    for name in ("Queue", "LifoQueue", "PriorityQueue", "SimpleQueue"):
        empty = getattr(queue, name)()

        def get(empty: Any = empty) -> None:
            with contextlib.suppress(queue.Empty):
                empty.get(timeout=SOON)

        def works(empty: Any = empty) -> bool:
            while not empty.empty():
                empty.get()
            empty.put(5)
            return bool(empty.get() == 5)

        yield f"{name}.get", (get, works)
        yield f"{name}.put", (lambda empty=empty: empty.put(1), works)
        if name == "SimpleQueue":
            continue
        full = getattr(queue, name)(1)
        full.put(1)

        def put(full: Any = full) -> None:
            with contextlib.suppress(queue.Full):
                full.put(2, timeout=SOON)

        yield f"{name}.put, full", (put, lambda full=full: full.qsize() == 1)
        materialized = getattr(queue, name)()

        def materialize(materialized: Any = materialized) -> None:
            with materialized.mutex:
                pass

        yield f"{name}.mutex", (materialize, lambda materialized=materialized: works(materialized))


def values() -> Iterator[tuple[str, Case]]:
    local = threading.local()

    def set_local() -> None:
        local.value = 1

    def local_works() -> bool:
        local.value = 2
        return bool(local.value == 2)

    yield "local, set", (set_local, local_works)
    if hasattr(low_level, "TSS"):
        key = low_level.TSS()
        key.create()

        def key_works() -> bool:
            key.create()
            key.set(7)
            return bool(key.get() == 7)

        yield "TSS.set", (lambda: key.set([]), key_works)
        yield "TSS, again", (lambda: (key.delete(), key.create(), key.set(1)), key_works)
    materialized = threading.Event()
    yield "Event, materialized", (lambda: materialized._cond, lambda: not materialized.is_set())


def threads(sleeper: Any) -> Iterator[tuple[str, Case]]:
    def over() -> bool:
        # All but the main one and the one that holds a lock.
        wait_until(lambda: tasks() == 2)
        return True

    local = threading.local()
    key: Any = low_level.TSS() if hasattr(low_level, "TSS") else None
    if key is not None:
        key.create()

    def run() -> None:
        local.value = 1
        if key is not None:
            key.set(1)

    # Up to 3.12 join() takes a thread for dead if an exception ends its wait (bpo-45274).
    alive = sleeper.is_alive if sys.version_info >= (3, 13) else fine
    yield "join", (lambda: sleeper.join(SOON), alive)
    yield "Thread.start", (lambda: threading.Thread(target=run).start(), over)
    yield "start_new_thread", (lambda: low_level.start_new_thread(run, ()), over)
    if hasattr(low_level, "start_joinable_thread"):
        yield "start_joinable_thread", (lambda: low_level.start_joinable_thread(run), over)


def sweep(name: str, case: Case, far: int, in_a_row: int, found: Counter[str]) -> None:
    operation, is_fine = case
    for start in range(far):
        raised: BaseException | None = None
        _testcapi.set_nomemory(start, start + in_a_row)
        try:
            operation()
        except (MemoryError, RuntimeError) as error:
            raised = error
        finally:
            _testcapi.remove_mem_hooks()
        if isinstance(raised, RuntimeError):
            assert str(raised) == "can't start new thread", (name, start, raised)
        found["went well" if raised is None else "raised"] += 1
        del raised
        assert is_fine(), (name, start)


def keep_code() -> list[object]:
    """References to the code of every function, more than the interpreter loses.

    A frame for which there is no memory takes a reference with it (3.12), and so does a `def` for
    whose function there is none (3.12 and 3.13), on stock as well.
    """
    return [made.__code__ for made in gc.get_objects() if isinstance(made, FunctionType)] * 1000


def main() -> None:
    far, in_a_row = map(int, sys.argv[1:])
    found: Counter[str] = Counter()
    gc.disable()
    loses_references = (3, 12) <= sys.version_info < (3, 14)
    kept = keep_code() if loses_references else []
    held, ready, go = threading.RLock(), threading.Event(), threading.Event()

    def hold() -> None:
        with held:
            ready.set()
            go.wait()

    # Not waited for at the end if something fails.
    sleeper = threading.Thread(target=hold, daemon=True)
    sleeper.start()
    ready.wait()
    cases = [*making(), *waits(held), *queues(), *values(), *threads(sleeper)]
    for name, case in cases:
        # Once with memory: what is made at the first use is there.
        case[0]()
        assert case[1](), name
        sweep(name, case, far, in_a_row, found)
    found["operations"] = len(cases)
    go.set()
    sleeper.join()
    say(json.dumps(found))
    if kept:
        # The end of the interpreter is not to find out how many there are.
        os._exit(0)


if __name__ == "__main__":
    main()
