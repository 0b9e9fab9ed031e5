"""Recursive locks between threads: ownership, depth, and giving all of it up for a while."""

from __future__ import annotations

import gc
import time
import weakref
from typing import Any

import pytest

from support import HANG, Worker, wait_until_blocked, workers


def test_only_the_owner_may_release(api: Any) -> None:
    rlock = api.RLock()
    with workers(api, 1) as [other]:
        rlock.acquire()
        with pytest.raises(RuntimeError, match="cannot release un-acquired lock"):
            other.do(rlock.release)
        assert rlock._is_owned()
        rlock.release()
        assert not rlock._is_owned()


def test_ownership_is_seen_from_each_thread(api: Any) -> None:
    rlock = api.RLock()
    with workers(api, 1) as [other]:
        for _ in range(3):
            assert other.do(rlock.acquire) is True
        assert other.do(rlock._is_owned) is True
        assert not rlock._is_owned()
        assert rlock.acquire(False) is False
        assert f"owner={other.ident} count=3" in repr(rlock)
        if hasattr(rlock, "_recursion_count"):
            assert other.do(rlock._recursion_count) == 3
            assert rlock._recursion_count() == 0
        if hasattr(rlock, "locked"):
            assert rlock.locked()
        for _ in range(3):
            assert not rlock.acquire(False)
            other.do(rlock.release)
        assert rlock.acquire(False)


def test_a_waiter_gets_in_at_the_last_release_only(api: Any) -> None:
    rlock = api.RLock()
    rlock.acquire()
    rlock.acquire()
    with workers(api, 1) as [waiter]:
        pending = waiter.block(rlock.acquire)
        rlock.release()
        wait_until_blocked(waiter.native_id)
        assert not pending.is_done()
        assert rlock._is_owned()
        rlock.release()
        assert pending.result() is True
        assert not rlock._is_owned()
        waiter.do(rlock.release)


def release_soon(rlock: Any) -> None:
    """Most likely while a thread waits already; right either way."""
    time.sleep(0.01)
    rlock.release()


@pytest.mark.parametrize("depth", [1, 2, 100])
def test_release_save_and_acquire_restore(api: Any, depth: int) -> None:
    """What Condition.wait() does: give up every level at once, and take them all back."""
    rlock = api.RLock()
    for _ in range(depth):
        rlock.acquire()
    with workers(api, 1) as [other]:
        waiting = other.block(rlock.acquire)
        state = rlock._release_save()
        assert state == (depth, api.get_ident())
        assert waiting.result() is True
        assert not rlock._is_owned()
        freeing = other.submit(release_soon, rlock)
        rlock._acquire_restore(state)
        freeing.result()
        assert rlock._is_owned()
        for _ in range(depth):
            assert other.do(rlock.acquire, False) is False
            rlock.release()
        assert not rlock._is_owned()


def test_restore_waits_for_its_turn(api: Any) -> None:
    rlock = api.RLock()
    rlock.acquire()
    with workers(api, 1) as [other]:
        state = (2, other.ident)
        pending = other.block(rlock._acquire_restore, state)
        assert not pending.is_done()
        rlock.release()
        assert pending.result() is None
        assert other.do(rlock._is_owned) is True
        other.do(rlock.release)
        other.do(rlock.release)
        assert rlock.acquire(False)


def test_deep_recursion(api: Any) -> None:
    rlock = api.RLock()
    for _ in range(10_000):
        assert rlock.acquire()
    assert "count=10000" in repr(rlock)
    for _ in range(10_000):
        rlock.release()
    with pytest.raises(RuntimeError):
        rlock.release()


def test_nested_with(api: Any) -> None:
    rlock = api.RLock()
    with rlock, rlock, workers(api, 1) as [other]:
        assert other.do(rlock.acquire, False) is False
    with workers(api, 1) as [other]:
        assert other.do(rlock.acquire, True, HANG) is True


def test_a_dead_owner_leaves_it_held(api: Any) -> None:
    """No other thread may free it; a new start does."""
    rlock = api.RLock()
    worker = Worker(api)
    worker.do(rlock.acquire)
    worker.finish()
    assert rlock.acquire(True, 0.01) is False
    rlock._at_fork_reinit()
    assert rlock.acquire(False) is True


def test_subclass_overrides_are_used_by_with(api: Any) -> None:
    calls: list[str] = []

    class Counting(api.RLock):  # type: ignore[misc]
        def __enter__(self) -> Any:
            calls.append("enter")
            return super().__enter__()

        def __exit__(self, *what: object) -> None:
            calls.append("exit")
            super().__exit__(*what)

    rlock = Counting()
    rlock.note = "has a dict"
    with rlock:
        assert rlock._is_owned()
    assert calls == ["enter", "exit"]
    assert rlock.note == "has a dict"


def test_subclass_in_a_cycle_is_collected(api: Any) -> None:
    class Sub(api.RLock):  # type: ignore[misc]
        pass

    rlock = Sub()
    rlock.acquire()
    rlock.cycle = [rlock]
    reference = weakref.ref(rlock)
    del rlock
    gc.collect()
    assert reference() is None


def test_finalizer_may_use_the_lock_it_guards(api: Any) -> None:
    """A finalizer that runs inside the guarded block, in the same thread, gets in."""
    rlock = api.RLock()
    ran: list[bool] = []

    class Guarded:
        def __del__(self) -> None:
            ran.append(rlock.acquire(False))
            rlock.release()

    with rlock:
        guarded = Guarded()
        del guarded
        gc.collect()
    assert ran == [True]
    assert not rlock._is_owned()
