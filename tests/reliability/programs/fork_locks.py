"""Locks, conditions, events, semaphores and barriers that others use while a process forks."""

from __future__ import annotations

import time
from typing import Any

from chosen import threading
from fork_kit import (
    IS_STOCK,
    SHORT,
    Check,
    Waiting,
    all_the_time,
    called,
    case,
    hold,
    in_parent,
    pause,
    use,
)


@case
def lock_held() -> Check:
    """It stays taken, and any thread may free it; the waiters are gone."""
    lock = threading.Lock()
    hold(lock)
    in_parent(lock.acquire)

    def check() -> None:
        assert lock.locked()
        assert not lock.acquire(False)
        assert not lock.acquire(timeout=SHORT)
        lock.release()
        use(lock)

    return check


@case
def lock_in_motion() -> Check:
    """Some are held for so long that they are handed to a waiter."""
    lock, other, slow = threading.Lock(), threading.Lock(), threading.Lock()

    def work() -> None:
        with lock:
            pass
        if other.acquire(timeout=SHORT):
            other.release()

    def hold_for_long() -> None:
        with slow:
            time.sleep(0.002)

    all_the_time(work)
    for _ in range(2):
        all_the_time(hold_for_long)

    def check() -> None:
        for each in (lock, slow):
            if IS_STOCK:
                # It may be in between being taken and saying so.
                each._at_fork_reinit()
            if not each.acquire(timeout=SHORT):
                assert each.locked()
            each.release()
            use(each)
        other._at_fork_reinit()
        use(other)

    return check


@case
def rlock_held() -> Check:
    """It stays taken for good, until it is made new."""
    lock = threading.RLock()
    hold(lock)
    in_parent(lock.acquire)

    def check() -> None:
        assert not lock.acquire(False)
        assert not lock.acquire(timeout=SHORT)
        assert not lock._is_owned()
        try:
            lock.release()
        except RuntimeError:
            pass
        else:
            raise AssertionError("released another's lock")
        lock._at_fork_reinit()
        use(lock)

    return check


@case
def rlock_in_motion() -> Check:
    lock = threading.RLock()

    def work() -> None:
        with lock, lock:
            pause()

    all_the_time(work)

    def check() -> None:
        lock._at_fork_reinit()
        assert not lock._is_owned()
        use(lock)

    return check


def wait_in(condition: Any, *args: Any) -> bool:
    with condition:
        return bool(condition.wait(*args))


def use_condition(condition: Any) -> None:
    """Its lock is free, and it has no waiters but, on stock, those that are gone."""
    with condition:
        assert condition.wait(SHORT) is False
        condition.notify_all()
    waiting = Waiting(wait_in, condition)

    def notify() -> None:
        with condition:
            condition.notify()

    assert waiting.result(notify) is True


def conditions() -> list[Any]:
    return [threading.Condition(), threading.Condition(threading.Lock())]


@case
def condition_waited_for() -> Check:
    both = conditions()
    for condition in both:
        in_parent(wait_in, condition)

    def check() -> None:
        for condition in both:
            use_condition(condition)

    return check


@case
def condition_held() -> Check:
    both = conditions()
    for condition in both:
        in_parent(wait_in, condition)
        hold(condition)

    def check() -> None:
        for condition in both:
            assert not condition.acquire(False)
            condition._at_fork_reinit()
            assert len(condition._waiters) == 0
            use_condition(condition)

    return check


@case
def condition_in_motion() -> Check:
    both = conditions()

    def work() -> None:
        for condition in both:
            with condition:
                condition.notify()
                condition.wait(SHORT)

    all_the_time(work)

    def check() -> None:
        for condition in both:
            condition._at_fork_reinit()
            use_condition(condition)

    return check


def use_event(event: Any) -> None:
    event.clear()
    assert event.wait(SHORT) is False
    waiting = Waiting(event.wait)
    event.set()
    assert waiting.result() is True
    assert event.wait()


@case
def event_waited_for() -> Check:
    event = threading.Event()
    in_parent(event.wait)

    def check() -> None:
        assert not event.is_set()
        use_event(event)

    return check


@case
def event_in_motion() -> Check:
    event = threading.Event()

    def work() -> None:
        event.set()
        event.clear()
        event.wait(SHORT)

    all_the_time(work)

    def check() -> None:
        if IS_STOCK:
            event._at_fork_reinit()
        use_event(event)
        event._at_fork_reinit()
        assert event.is_set()
        use_event(event)

    return check


@case
def semaphore_waited_for() -> Check:
    both = [threading.Semaphore(1), threading.BoundedSemaphore(1)]
    for semaphore in both:
        semaphore.acquire()
        in_parent(semaphore.acquire)

    def check() -> None:
        for semaphore in both:
            assert semaphore._value == 0
            assert not semaphore.acquire(False)
            assert not semaphore.acquire(timeout=SHORT)
            if IS_STOCK:
                # A release may be for one of the dead.
                semaphore.release()
                assert semaphore.acquire()
                continue
            waiting = Waiting(semaphore.acquire)
            semaphore.release()
            assert waiting.result() is True
            semaphore.release()
            assert called(semaphore.acquire, False)
            assert semaphore._value == 0

    return check


@case
def semaphore_in_motion() -> Check:
    both = [threading.Semaphore(1), threading.BoundedSemaphore(1)]

    def work() -> None:
        for semaphore in both:
            with semaphore:
                pause()

    all_the_time(work)

    def check() -> None:
        if IS_STOCK:
            return
        for semaphore in both:
            # No thread is left that could have the one that there is.
            if not semaphore.acquire(timeout=SHORT):
                assert semaphore._value == 0
            waiting = Waiting(semaphore.acquire)
            semaphore.release()
            assert waiting.result() is True

    return check


@case
def barrier_waited_for() -> Check:
    """Threads that are gone still count: one more, and it is full."""
    barrier, broken = threading.Barrier(3), threading.Barrier(3)
    for each in (barrier, broken):
        in_parent(each.wait)

    def check() -> None:
        assert barrier.n_waiting == 2
        assert barrier.wait() == 2
        assert broken.n_waiting == 2
        broken.abort()
        assert broken.broken
        if IS_STOCK:
            return
        broken.reset()
        for each in (barrier, broken):
            others = [Waiting(each.wait) for _ in range(2)]
            numbers = [each.wait(), *(other.result() for other in others)]
            assert sorted(numbers) == [0, 1, 2], numbers

    return check


@case
def barrier_in_motion() -> Check:
    barrier = threading.Barrier(2)
    acting = threading.Barrier(2, action=pause)

    def work() -> None:
        barrier.wait()
        acting.wait()

    all_the_time(work)

    def check() -> None:
        if IS_STOCK:
            return
        for each in (barrier, acting):
            each.reset()
            other = Waiting(each.wait)
            assert sorted([each.wait(), other.result()]) == [0, 1]
            each.abort()
            assert each.broken

    return check
