"""Condition: which waiters are woken, in what order, and in what state the lock is then."""

from __future__ import annotations

import random
import time
from typing import Any

import pytest
from kits import SHORT, SINCE_3_14, Kit

from support import HANG, Pending, Worker, wait_until


def wait_in(condition: Any, *timeout: float) -> Any:
    with condition:
        return condition.wait(*timeout)


def notify(condition: Any, *count: int) -> None:
    with condition:
        condition.notify(*count)


def notify_all(condition: Any) -> None:
    with condition:
        condition.notify_all()


def line_up(crew: list[Worker], condition: Any, woken: list[int]) -> list[Pending]:
    """Have all of them wait, one after the other, and note their numbers as they wake."""

    def wait(number: int) -> Any:
        with condition:
            result = condition.wait(HANG)
            woken.append(number)
            return result

    pendings = []
    for number, worker in enumerate(crew):
        pendings.append(worker.block(wait, number))
        wait_until(lambda: len(condition._waiters) == len(pendings))
    return pendings


@pytest.fixture(params=["RLock", "Lock"])
def condition(kit: Kit, request: pytest.FixtureRequest) -> Any:
    return kit.threading.Condition(getattr(kit.threading, request.param)())


# Which waiters notify wakes


def test_notify_wakes_in_order(kit: Kit, condition: Any) -> None:
    woken: list[int] = []
    with kit.workers(5) as crew:
        pendings = line_up(crew, condition, woken)
        for number, pending in enumerate(pendings):
            notify(condition)
            assert pending.result() is True
            assert woken == list(range(number + 1))
            assert len(condition._waiters) == 4 - number


def test_notify_wakes_as_many_as_asked(kit: Kit, condition: Any) -> None:
    woken: list[int] = []
    with kit.workers(6) as crew:
        pendings = line_up(crew, condition, woken)
        for count, expected in [(0, 0), (-1, 0), (2, 2), (True, 3), (2, 5)]:
            notify(condition, count)
            for pending in pendings[:expected]:
                pending.result()
            assert sorted(woken) == list(range(expected))
            assert len(condition._waiters) == 6 - expected
        assert not pendings[5].is_done()
        notify(condition, 1000)
        assert pendings[5].result() is True


def test_notify_all_wakes_all_and_only_those(kit: Kit, condition: Any) -> None:
    woken: list[int] = []
    with kit.workers(5) as crew:
        pendings = line_up(crew[:4], condition, woken)
        with condition:
            condition.notify_all()
            assert len(condition._waiters) == 0
            assert woken == []
        assert [pending.result() for pending in pendings] == [True] * 4
        late = crew[4].block(wait_in, condition)
        assert not late.is_done()
        notify_all(condition)
        assert late.result() is True


def test_notify_without_waiters(kit: Kit, condition: Any) -> None:
    """It is forgotten: no later wait gets it."""
    with condition:
        condition.notify()
        condition.notify(5)
        condition.notify_all()
        assert condition.wait(SHORT) is False


def test_no_waiter_runs_before_the_notifier_lets_go(kit: Kit, condition: Any) -> None:
    woken: list[int] = []
    with kit.workers(2) as crew:
        pendings = line_up(crew, condition, woken)
        with condition:
            condition.notify(2)
            time.sleep(SHORT)
            assert woken == []
        for pending in pendings:
            pending.result()
    assert sorted(woken) == [0, 1]


# Time-outs


@pytest.mark.parametrize("timeout", [0, 0.0, -1, -0.5, 0.001, 0.03])
def test_a_wait_gives_up_not_before_its_time(kit: Kit, condition: Any, timeout: float) -> None:
    with condition:
        start = time.monotonic()
        assert condition.wait(timeout) is False
        assert time.monotonic() - start >= timeout
        assert len(condition._waiters) == 0
        assert condition._is_owned()
    assert not condition._is_owned()


def test_one_that_gave_up_does_not_hold_the_line(kit: Kit, condition: Any) -> None:
    with kit.workers(2) as [hasty, patient]:
        given_up = hasty.submit(wait_in, condition, SHORT)
        assert given_up.result() is False
        got = patient.block(wait_in, condition, HANG)
        notify(condition)
        assert got.result() is True


@pytest.mark.parametrize("kind", ["Lock", "RLock"])
def test_a_notify_at_the_time_out_is_not_lost(ours: Kit, kind: str) -> None:
    """It goes to the one whose time is up, which then says so, or to the next.

    Only rthread promises this: a stock waiter is in the line until it has the lock back, and may
    be notified when it no longer listens. So is a condition that a program has looked into, which
    this test must not do.
    """
    for _ in range(60):
        condition = ours.threading.Condition(getattr(ours.threading, kind)())
        timeout = random.uniform(0.0005, 0.004)
        came: list[float] = []

        def come(seconds: float, condition: Any = condition, came: list[float] = came) -> bool:
            with condition:
                came.append(seconds)
                notified: bool = condition.wait(seconds)
                return notified

        with ours.workers(2) as [hasty, patient]:
            first, second = hasty.submit(come, timeout), patient.submit(come, HANG)
            wait_until(lambda: first.is_done() or len(came) == 2)  # noqa: B023
            time.sleep(random.uniform(0, timeout))
            with condition:
                # A thread that has not come yet cannot be woken.
                patient_waits = HANG in came
                condition.notify()
            if first.result() or not patient_waits:
                wait_until(lambda: len(came) == 2)  # noqa: B023
                assert not second.is_done()
                notify(condition)
            assert second.result() is True


def test_waits_with_all_kinds_of_time_outs_in_one_line(kit: Kit, condition: Any) -> None:
    with kit.workers(4) as crew:
        pendings = [
            crew[0].block(wait_in, condition),
            crew[1].block(wait_in, condition, HANG),
            crew[2].block(wait_in, condition, kit.threading.TIMEOUT_MAX),
        ]
        assert crew[3].do(wait_in, condition, SHORT) is False
        notify_all(condition)
        assert [pending.result() for pending in pendings] == [True] * 3


# wait_for


def test_wait_for_gives_what_the_predicate_gave(kit: Kit, condition: Any) -> None:
    with condition:
        assert condition.wait_for(lambda: "yes") == "yes"
        assert condition.wait_for(lambda: "yes", -1) == "yes"
        empty: list[int] = []
        assert condition.wait_for(lambda: empty, SHORT) is empty


@pytest.mark.parametrize("timeout", [0, -1, -0.5])
def test_wait_for_looks_twice_when_there_is_no_time(
    kit: Kit, condition: Any, timeout: float
) -> None:
    looks: list[bool] = []
    with condition:
        assert condition.wait_for(lambda: looks.append(condition._is_owned()), timeout) is None
    assert looks == [True, True]


def test_wait_for_waits_its_whole_time(kit: Kit, condition: Any) -> None:
    """Notifications that change nothing neither end it nor prolong it."""
    stop = False

    def pester() -> None:
        while not stop:
            notify_all(condition)
            time.sleep(0.001)

    with kit.workers(1) as [pest]:
        pestering = pest.submit(pester)
        start = time.monotonic()
        with condition:
            assert condition.wait_for(lambda: False, 0.05) is False
        assert time.monotonic() - start >= 0.05
        stop = True
        pestering.result()


def test_wait_for_ends_with_the_predicate(kit: Kit, condition: Any) -> None:
    state = 0

    def wait() -> Any:
        with condition:
            return condition.wait_for(lambda: state == 4 and "four", HANG)

    with kit.workers(1) as [waiter]:
        pending = waiter.block(wait)
        for _ in range(4):
            assert not pending.is_done()
            with condition:
                state += 1
                condition.notify()
        assert pending.result() == "four"


@pytest.mark.parametrize("look", [1, 2, 3])
def test_a_predicate_that_raises_leaves_nothing_locked(kit: Kit, condition: Any, look: int) -> None:
    looks = 0

    def predicate() -> bool:
        nonlocal looks
        looks += 1
        if looks == look:
            raise ZeroDivisionError
        return False

    def wait() -> None:
        with condition:
            condition.wait_for(predicate, HANG)

    with kit.workers(1) as [waiter]:
        pending = waiter.submit(wait)
        while not pending.is_done():
            notify_all(condition)
            time.sleep(0)
        with pytest.raises(ZeroDivisionError):
            pending.result()
        assert looks == look
    assert len(condition._waiters) == 0
    assert condition.acquire(False)
    condition.release()


def test_a_predicate_with_a_truth_that_raises(kit: Kit, condition: Any) -> None:
    class Vague:
        def __bool__(self) -> bool:
            raise ZeroDivisionError

    with condition:
        with pytest.raises(ZeroDivisionError):
            condition.wait_for(Vague)
        assert condition._is_owned()
    assert condition.acquire(False)
    condition.release()


# Misuse


@pytest.mark.parametrize("method", ["wait", "notify", "notify_all"])
def test_without_the_lock(kit: Kit, condition: Any, method: str) -> None:
    words = "wait on" if method == "wait" else "notify on"
    with pytest.raises(RuntimeError, match=f"cannot {words} un-acquired lock"):
        getattr(condition, method)()
    assert len(condition._waiters) == 0
    assert condition.acquire(False)
    condition.release()


def test_wait_for_without_the_lock(kit: Kit, condition: Any) -> None:
    """The predicate is asked first."""
    assert condition.wait_for(lambda: 1) == 1
    with pytest.raises(RuntimeError, match="cannot wait on un-acquired lock"):
        condition.wait_for(lambda: 0)


def test_an_rlock_of_another_thread_is_not_ours(kit: Kit) -> None:
    condition = kit.threading.Condition()
    with kit.workers(1) as [holder]:
        holder.do(condition.acquire)
        for method in (condition.wait, condition.notify, condition.notify_all):
            with pytest.raises(RuntimeError, match="un-acquired lock"):
                method()
        holder.do(condition.release)


def test_a_lock_of_another_thread_passes_for_ours(kit: Kit) -> None:
    """A plain lock does not know its holder: it is enough that it is held."""
    condition = kit.threading.Condition(kit.threading.Lock())
    with kit.workers(2) as [holder, waiter]:
        pending = waiter.block(wait_in, condition, HANG)
        holder.do(condition.acquire)
        condition.notify()
        assert not pending.is_done()
        condition.release()
        assert pending.result() is True


@pytest.mark.parametrize("timeout", ["1", (), object(), 1j])
def test_a_time_out_of_the_wrong_type(kit: Kit, condition: Any, timeout: Any) -> None:
    with condition:
        with pytest.raises(TypeError):
            condition.wait(timeout)
        assert condition._is_owned()
    assert condition.acquire(False)
    condition.release()


def test_a_time_out_that_is_too_long(kit: Kit, condition: Any) -> None:
    with condition:
        for timeout in (1e300, float("inf"), 2**70, kit.threading.TIMEOUT_MAX * 2):
            with pytest.raises(OverflowError):
                condition.wait(timeout)
            assert condition._is_owned()
            assert len(condition._waiters) == 0
    assert condition.acquire(False)
    condition.release()


def test_notify_all_by_its_old_name(kit: Kit, condition: Any) -> None:
    with kit.workers(1) as [waiter]:
        pending = waiter.block(wait_in, condition, HANG)
        with condition:
            with pytest.warns(DeprecationWarning, match="notifyAll\\(\\) is deprecated") as seen:
                condition.notifyAll()
        assert [warning.filename for warning in seen] == [__file__]
        assert pending.result() is True


# The lock's own methods


def test_acquire_and_release_are_the_locks(kit: Kit) -> None:
    for lock in (kit.threading.Lock(), kit.threading.RLock()):
        condition = kit.threading.Condition(lock)
        assert condition.acquire() is True
        with kit.workers(1) as [other]:
            assert other.do(lock.acquire, False) is False
            assert other.do(condition.acquire, False) is False
            assert other.do(condition.acquire, True, SHORT) is False
            assert other.do(condition.acquire, timeout=SHORT) is False
        assert condition.release() is None
        with condition as entered:
            assert entered is True
            with kit.workers(1) as [other]:
                assert other.do(lock.acquire, False) is False
        with pytest.raises(RuntimeError):
            condition.release()


def test_locked_tells_whether_the_lock_is_held(kit: Kit) -> None:
    condition = kit.threading.Condition(kit.threading.Lock())
    if not SINCE_3_14:
        assert not hasattr(condition, "locked")
        return
    assert condition.locked() is False
    with condition:
        assert condition.locked() is True


def test_the_lock_is_let_go_when_the_body_raises(kit: Kit, condition: Any) -> None:
    with pytest.raises(ZeroDivisionError):
        with condition:
            raise ZeroDivisionError
    assert condition.acquire(False)
    condition.release()


def test_repr(kit: Kit, condition: Any) -> None:
    with kit.workers(1) as [waiter]:
        assert repr(condition) == f"<Condition({condition._lock!r}, 0)>"
        pending = waiter.block(wait_in, condition)
        assert repr(condition) == f"<Condition({condition._lock!r}, 1)>"
        notify_all(condition)
        pending.result()
