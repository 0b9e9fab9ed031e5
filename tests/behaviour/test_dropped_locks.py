"""A lock that is dropped is freed at once, however often several threads have used it."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable
from typing import Any

import pytest

import rthread
from support import HANG

OFTEN = 1000


def with_it(lock: Any) -> None:
    with lock:
        pass


def without_waiting(lock: Any) -> None:
    if lock.acquire(False):
        lock.release()


def look(lock: Any) -> None:
    repr(lock)
    getattr(lock, "locked", bool)()


class Heavy(rthread.RLock):  # type: ignore[misc]
    """A lock that has something in it."""


@pytest.mark.parametrize("use", [with_it, without_waiting, look])
@pytest.mark.parametrize("make", [rthread.allocate_lock, rthread.RLock, Heavy])
def test_a_lock_that_another_thread_has_used(
    make: Callable[[], Any], use: Callable[[Any], None]
) -> None:
    lock = make()
    seen = weakref.ref(lock)

    def use_often(lock: Any) -> None:
        for _ in range(OFTEN):
            use(lock)

    thread = threading.Thread(target=use_often, args=(lock,))
    thread.start()
    thread.join(HANG)
    del thread, lock

    assert seen() is None


def test_a_derived_lock_that_threads_have_fought_over() -> None:
    """Its attributes may be large."""
    lock = Heavy()
    lock.payload = threading.Event()
    seen = weakref.ref(lock.payload)

    def fail_often(lock: Any) -> None:
        for _ in range(OFTEN):
            assert not lock.acquire(False)

    with lock:
        thread = threading.Thread(target=fail_often, args=(lock,))
        thread.start()
        thread.join(HANG)
    del thread, lock

    assert seen() is None
