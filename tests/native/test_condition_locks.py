"""Condition over every kind of lock that people put under it."""

from __future__ import annotations

import _thread
import threading
from collections.abc import Callable
from typing import Any

import pytest
from kits import SHORT, SINCE_3_14, Kit

from support import HANG


class Bare:
    """What the documentation asks for, and what `with` needs."""

    def __init__(self) -> None:
        self.inner = _thread.allocate_lock()
        self.calls: list[str] = []

    def acquire(self, *args: Any) -> bool:
        self.calls.append("acquire")
        return self.inner.acquire(*args)

    def release(self) -> None:
        self.calls.append("release")
        self.inner.release()

    def locked(self) -> bool:
        return self.inner.locked()

    def __enter__(self) -> str:
        self.acquire()
        return "entered"

    def __exit__(self, *exception: object) -> str:
        self.calls.append(f"exit {len(exception)}")
        self.release()
        return ""


class Protocol(Bare):
    """The three private methods of RLock too: they are preferred."""

    def __init__(self) -> None:
        super().__init__()
        self.owner: int | None = None

    def acquire(self, *args: Any) -> bool:
        got = super().acquire(*args)
        if got:
            self.owner = _thread.get_ident()
        return got

    def release(self) -> None:
        self.owner = None
        super().release()

    def _is_owned(self) -> bool:
        return self.owner == _thread.get_ident()

    def _release_save(self) -> str:
        self.calls.append("_release_save")
        self.owner = None
        self.inner.release()
        return "what was saved"

    def _acquire_restore(self, state: object) -> None:
        assert state == "what was saved"
        self.inner.acquire()
        self.owner = _thread.get_ident()
        self.calls.append("_acquire_restore")


class ChildOfRLock(threading._RLock):  # type: ignore[misc]
    """The one written in Python, as a subclass."""


LOCKS: dict[str, Callable[[Any], Any]] = {
    "none": lambda threading: None,
    "Lock": lambda threading: threading.Lock(),
    "RLock": lambda threading: threading.RLock(),
    "stock Lock": lambda threading: _thread.allocate_lock(),
    "stock RLock": lambda threading: _thread.RLock(),
    "Python RLock": lambda threading: threading._PyRLock(),
    "child of RLock": lambda threading: ChildOfRLock(),
    "child of C RLock": lambda threading: type("Child", (type(threading.RLock()),), {})(),
    "another Condition": lambda threading: threading.Condition(),
    "a Semaphore's": lambda threading: SemaphoreLock(threading.Semaphore()),
    "bare": lambda threading: Bare(),
    "protocol": lambda threading: Protocol(),
}


class SemaphoreLock(Bare):
    """Over a semaphore."""

    def __init__(self, semaphore: Any) -> None:
        super().__init__()
        self.inner = semaphore

    def locked(self) -> bool:
        return False


@pytest.fixture(params=LOCKS)
def condition(kit: Kit, request: pytest.FixtureRequest) -> Any:
    lock = LOCKS[request.param](kit.threading)
    return kit.threading.Condition() if lock is None else kit.threading.Condition(lock)


def test_a_hand_over(kit: Kit, condition: Any) -> None:
    seen: list[int] = []

    def wait() -> Any:
        with condition:
            result = condition.wait_for(lambda: seen, HANG)
            seen.append(2)
            return result

    with kit.workers(1) as [waiter]:
        pending = waiter.block(wait)
        assert len(condition._waiters) == 1
        with condition:
            seen.append(1)
            condition.notify()
            assert seen == [1]
        assert pending.result() is seen
    assert seen == [1, 2]
    with condition:
        assert condition.wait(SHORT) is False


def test_one_ping_pong(kit: Kit, condition: Any) -> None:
    turns: list[int] = []

    def play(me: int) -> None:
        for _ in range(100):
            with condition:
                assert condition.wait_for(lambda: len(turns) % 2 == me, HANG)
                turns.append(me)
                condition.notify_all()

    with kit.workers(2) as crew:
        pendings = [worker.submit(play, me) for me, worker in enumerate(crew)]
        for pending in pendings:
            pending.result()
    assert turns == [0, 1] * 100


def test_without_the_lock(kit: Kit, condition: Any) -> None:
    for method in (condition.wait, condition.notify, condition.notify_all):
        with pytest.raises(RuntimeError, match="un-acquired lock"):
            method()
    assert condition.acquire(False)
    condition.release()


def test_is_owned(kit: Kit, condition: Any) -> None:
    assert condition._is_owned() is False
    with condition:
        assert condition._is_owned() is True
    assert condition._is_owned() is False


def test_release_save_and_restore(kit: Kit, condition: Any) -> None:
    condition.acquire()
    saved = condition._release_save()
    assert not condition._is_owned()
    condition._acquire_restore(saved)
    assert condition._is_owned()
    condition.release()


@pytest.mark.parametrize("kind", ["RLock", "stock RLock", "Python RLock", "child of C RLock"])
@pytest.mark.parametrize("timeout", [SHORT, HANG])
def test_the_depth_of_an_rlock_comes_back(kit: Kit, kind: str, timeout: float) -> None:
    lock = LOCKS[kind](kit.threading)
    condition = kit.threading.Condition(lock)

    def wait() -> Any:
        with condition, condition, lock:
            result = condition.wait(timeout)
            assert condition._is_owned()
            # (depth, owner)
            saved = condition._release_save()
            condition._acquire_restore(saved)
            assert saved[0] == 3
            return result

    with kit.workers(1) as [waiter]:
        pending = waiter.block(wait) if timeout == HANG else waiter.submit(wait)
        if timeout == HANG:
            # It was let go altogether.
            assert lock.acquire(True, HANG)
            condition.notify()
            lock.release()
        assert pending.result() is (timeout == HANG)
    assert lock.acquire(False)
    lock.release()


def test_two_conditions_over_one_lock(kit: Kit) -> None:
    lock = kit.threading.Lock()
    left, right = kit.threading.Condition(lock), kit.threading.Condition(lock)

    def wait(condition: Any) -> Any:
        with condition:
            return condition.wait(HANG)

    with kit.workers(2) as crew:
        pendings = [
            worker.block(wait, condition)
            for worker, condition in zip(crew, (left, right), strict=True)
        ]
        with lock:
            right.notify_all()
        assert pendings[1].result() is True
        assert not pendings[0].is_done()
        with right:
            left.notify()
        assert pendings[0].result() is True


def test_what_is_called_of_a_bare_lock(kit: Kit) -> None:
    lock = Bare()
    condition = kit.threading.Condition(lock)
    with condition as entered:
        assert entered == "entered"
        lock.calls.clear()
        # Whether it is owned is asked by trying.
        condition.notify()
        assert lock.calls == ["acquire"]
        lock.calls.clear()
        assert condition.wait(0) is False
        assert lock.calls == ["acquire", "release", "acquire"]
        lock.calls.clear()
    assert lock.calls == ["exit 3", "release"]


def test_what_is_called_of_a_lock_with_the_protocol(kit: Kit) -> None:
    lock = Protocol()
    condition = kit.threading.Condition(lock)
    with condition:
        lock.calls.clear()
        condition.notify()
        assert lock.calls == []
        assert condition.wait(0) is False
        assert lock.calls == ["_release_save", "_acquire_restore"]


def test_methods_are_taken_when_the_condition_is_made(kit: Kit) -> None:
    """What the lock gets later is not seen; a method put on the condition itself is."""
    lock = Bare()
    condition = kit.threading.Condition(lock)
    lock.acquire = None  # type: ignore[assignment]
    assert condition.acquire(False) is True
    condition._is_owned = lambda: False
    with pytest.raises(RuntimeError, match="cannot notify on un-acquired lock"):
        condition.notify()
    del condition._is_owned
    condition.release()


@pytest.mark.parametrize("missing", ["acquire", "release", "locked"])
def test_a_lock_without_a_method(kit: Kit, missing: str) -> None:
    methods = {name: lambda *args: True for name in ("acquire", "release", "locked")}
    del methods[missing]
    lock = type("Poor", (), methods)()
    if missing == "locked" and not SINCE_3_14:
        assert kit.threading.Condition(lock).acquire() is True
        return
    with pytest.raises(AttributeError, match=f"'Poor' object has no attribute '{missing}'"):
        kit.threading.Condition(lock)


def test_a_lock_that_cannot_be_entered(kit: Kit) -> None:
    methods = {name: lambda *args: True for name in ("acquire", "release", "locked")}
    condition = kit.threading.Condition(type("Poor", (), methods)())
    with pytest.raises(AttributeError, match="'Poor' object has no attribute '__enter__'"):
        with condition:
            raise AssertionError("entered")


@pytest.mark.parametrize("broken", ["acquire", "release", "_is_owned", "_release_save"])
def test_a_lock_that_raises(kit: Kit, broken: str) -> None:
    """The error comes out, and the condition can be used when the lock is well again."""

    class Sick(Protocol):
        ill = False

    def fail_or(original: Any) -> Any:
        def method(self: Any, *args: Any) -> Any:
            if self.ill:
                raise ZeroDivisionError(broken)
            return original(self, *args)

        return method

    setattr(Sick, broken, fail_or(getattr(Protocol, broken)))
    lock = Sick()
    condition = kit.threading.Condition(lock)
    if broken != "acquire":
        condition.acquire()
    lock.ill = True
    with pytest.raises(ZeroDivisionError, match=broken):
        {
            "acquire": condition.acquire,
            "release": condition.release,
            "_is_owned": condition.notify,
            "_release_save": lambda: condition.wait(0),
        }[broken]()
    lock.ill = False
    if broken == "_release_save":
        # The one that failed to wait is still in the line of the stock one: it takes a notify.
        condition.notify_all()
        assert len(condition._waiters) == 0
    if broken == "acquire":
        condition.acquire()
    assert condition.wait(SHORT) is False
    condition.release()


def test_an_acquire_restore_that_raises(kit: Kit) -> None:
    class Sick(Protocol):
        def _acquire_restore(self, state: object) -> None:
            raise ZeroDivisionError

    condition = kit.threading.Condition(Sick())
    condition.acquire()
    with pytest.raises(ZeroDivisionError):
        condition.wait(SHORT)
    assert condition.acquire(False)
    condition.release()


# Subclasses


def test_methods_that_a_subclass_overrides_are_called(kit: Kit) -> None:
    calls: list[Any] = []

    class Child(kit.threading.Condition):  # type: ignore[misc, name-defined]
        def wait(self, timeout: float | None = None) -> Any:
            calls.append(timeout)
            return super().wait(SHORT)

        def notify(self, n: int = 1) -> None:
            calls.append(f"notify {n}")
            super().notify(n)

    condition = Child()
    with condition:
        condition.notify_all()
        assert calls == ["notify 0"]
        assert condition.wait_for(lambda: len(calls) > 2) is True
        assert calls == ["notify 0", None, None]


def test_is_owned_in_a_subclass(kit: Kit) -> None:
    """The lock's own wins, for it is put on the instance."""

    class Child(kit.threading.Condition):  # type: ignore[misc, name-defined]
        def _is_owned(self) -> bool:
            return True

    with pytest.raises(RuntimeError, match="cannot notify on un-acquired lock"):
        Child().notify()
    assert Child(kit.threading.Lock()).notify() is None
