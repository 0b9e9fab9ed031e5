"""`_set_sentinel()`: a lock that comes free when the state of its thread is gone."""

from __future__ import annotations

import gc
import weakref
from typing import Any

import pytest

from support import HANG, Worker, check_snippet, collect_until, stock, workers


def take_sentinel(ours: Any) -> Any:
    """What `threading` does with it: the thread takes its own sentinel."""
    sentinel = ours._set_sentinel()
    assert sentinel.acquire(False)
    return sentinel


def take_at(ours: Any, address: int) -> Any:
    """A sentinel at this address, the calling thread's last; None if it is not to be had."""
    kept = []
    for _ in range(20):
        sentinel = take_sentinel(ours)
        if id(sentinel) == address:
            return sentinel
        kept.append(sentinel)
    return None


def test_it_is_a_free_lock(ours: Any) -> None:
    worker = Worker(ours)
    sentinel = worker.do(ours._set_sentinel)
    assert type(sentinel) is ours.LockType
    assert not sentinel.locked()
    worker.finish()


def test_released_when_the_thread_is_gone(api: Any, ours: Any) -> None:
    """In threads of both modules."""
    worker = Worker(api)
    sentinel = worker.do(take_sentinel, ours)
    assert sentinel.locked()
    worker.finish()
    assert sentinel.acquire(True, HANG), "the sentinel was not released"


def test_released_after_everything_of_the_thread_has_gone(api: Any, ours: Any) -> None:
    """When the lock is got, the thread's values are dropped and their finalizers done."""
    order: list[str] = []

    class Value:
        def __init__(self, name: str) -> None:
            self.name = name

        def __del__(self) -> None:
            order.append(self.name)

    key, ours_local, stock_local = ours.TSS(), ours._local(), stock()._local()
    key.create()

    def fill() -> None:
        key.set(Value("TSS"))
        ours_local.value = Value("local")
        stock_local.value = Value("stock local")

    worker = Worker(api)
    sentinel = worker.do(take_sentinel, ours)
    worker.do(fill)
    assert order == []
    worker.finish()
    assert sentinel.acquire(True, HANG)
    assert sorted(order) == ["TSS", "local", "stock local"]


def test_second_sentinel_takes_the_place_of_the_first(ours: Any) -> None:
    worker = Worker(ours)
    first = worker.do(take_sentinel, ours)
    second = worker.do(take_sentinel, ours)
    assert first is not second
    worker.finish()
    assert second.acquire(True, HANG)
    assert first.locked()


def test_sentinel_dropped_before_the_thread_ends(ours: Any) -> None:
    """Only a weak hold is kept on it: it dies at once, and the end of the thread finds nothing."""
    worker = Worker(ours)
    reference = worker.do(lambda: weakref.ref(take_sentinel(ours)))
    collect_until(lambda: reference() is None, "the sentinel to die")
    worker.vanish()


def test_sentinel_at_the_place_of_one_that_was_dropped(api: Any, ours: Any) -> None:
    """The thread that had the dropped one ends: that is nothing to the other's, nor to its own."""
    with workers(api, 2) as [first, second]:
        for _ in range(50):
            dropped = first.do(lambda: id(take_sentinel(ours)))
            if (others := second.do(take_at, ours, dropped)) is not None:
                break
        else:
            pytest.skip("the memory is not used again")
        first.vanish()
        assert others.locked(), "the end of another thread has released it"
    assert others.acquire(True, HANG), "the sentinel was not released"


def test_second_sentinel_at_the_place_of_the_first(api: Any, ours: Any) -> None:
    """To the thread, the one it has dropped and the one it has are two."""

    def take_two() -> Any:
        for _ in range(1000):
            dropped = id(take_sentinel(ours))
            sentinel = take_sentinel(ours)
            if id(sentinel) == dropped:
                return sentinel
        return None

    with workers(api, 1) as [worker]:
        sentinel = worker.do(take_two)
    if sentinel is None:
        pytest.skip("the memory is not used again")
    assert sentinel.acquire(True, HANG), "the sentinel was not released"


def test_sentinel_that_is_free_at_the_end_stays_free(ours: Any) -> None:
    worker = Worker(ours)
    sentinel = worker.do(ours._set_sentinel)
    worker.vanish()
    assert sentinel.acquire(False)
    gc.collect()
    assert sentinel.locked()


def test_many_waiters_for_one_thread(ours: Any) -> None:
    """Each passes it on, as `Thread.join` did up to 3.12."""
    worker = Worker(ours)
    sentinel = worker.do(take_sentinel, ours)

    def join() -> bool:
        got: bool = sentinel.acquire(True, HANG)
        sentinel.release()
        return got

    crew = [Worker(ours) for _ in range(5)]
    pendings = [one.block(join) for one in crew]
    worker.finish()
    assert [pending.result() for pending in pendings] == [True] * 5
    for one in crew:
        one.finish()


def test_in_the_main_thread() -> None:
    """It is held until the interpreter has gone, and its release then does no harm."""
    output = check_snippet("""
        import atexit
        from rthread import _set_sentinel
        sentinel = _set_sentinel()
        sentinel.acquire()
        atexit.register(lambda: print("at exit", sentinel.locked()))
        print("held", sentinel.locked())
    """)
    assert output == "held True\nat exit True\n"


@pytest.mark.parametrize("module", ["_thread", "rthread"])
def test_in_a_thread_that_the_end_of_the_program_cuts_off(module: str) -> None:
    output = check_snippet(f"""
        import rthread
        import {module} as api
        ready = api.allocate_lock()
        ready.acquire()

        def run():
            sentinel = rthread._set_sentinel()
            sentinel.acquire()
            ready.release()
            sentinel.acquire()

        api.start_new_thread(run, ())
        ready.acquire()
        print("leaving")
    """)
    assert output == "leaving\n"


def test_threads_come_and_go(ours: Any) -> None:
    for _ in range(50):
        worker = Worker(ours)
        sentinel = worker.do(take_sentinel, ours)
        worker.finish()
        assert sentinel.acquire(True, HANG)
