"""Semaphore and BoundedSemaphore: counts, limits, and which threads get in."""

from __future__ import annotations

import time
from typing import Any

import pytest
from kits import SHORT, SINCE_3_11, Kit

from support import HANG, wait_until, without_addresses

SEMAPHORES = ["Semaphore", "BoundedSemaphore"]
both = pytest.mark.parametrize("name", SEMAPHORES)


@pytest.fixture(params=SEMAPHORES)
def make(kit: Kit, request: pytest.FixtureRequest) -> Any:
    return getattr(kit.threading, request.param)


def empty(make: Any, value: int) -> Any:
    """One that `value` releases are allowed on, and that is used up."""
    semaphore = make(value)
    for _ in range(value):
        assert semaphore.acquire(False)
    return semaphore


def test_counts_down_and_up(make: Any) -> None:
    semaphore = make(3)
    for left in (2, 1, 0):
        assert semaphore.acquire() is True
        assert semaphore._value == left
    assert semaphore.acquire(False) is False
    assert semaphore.acquire(blocking=False) is False
    assert semaphore._value == 0
    for free in (1, 2, 3):
        assert semaphore.release() is None
        assert semaphore._value == free


def test_starts_with_one(make: Any) -> None:
    semaphore = make()
    assert semaphore._value == 1
    assert semaphore.acquire() is True
    assert semaphore.acquire(False) is False


def test_starts_with_none(make: Any) -> None:
    semaphore = make(0)
    assert semaphore.acquire(False) is False
    assert semaphore.acquire(timeout=SHORT) is False


@pytest.mark.parametrize("value", [-1, -100, -(2**70), -0.5, float("-inf")])
def test_does_not_start_below_none(make: Any, value: float) -> None:
    with pytest.raises(ValueError, match=r"^semaphore initial value must be >= 0$"):
        make(value)


@pytest.mark.parametrize("value", ["1", None, (), 1j, object()])
def test_starts_with_a_number(make: Any, value: Any) -> None:
    with pytest.raises(TypeError, match="'<' not supported between instances of "):
        make(value)


def test_with_acquires_and_releases(make: Any) -> None:
    semaphore = make(2)
    with semaphore as entered:
        assert entered is True
        assert semaphore._value == 1
        with semaphore:
            assert semaphore.acquire(False) is False
    assert semaphore._value == 2
    with pytest.raises(ZeroDivisionError):
        with semaphore:
            raise ZeroDivisionError
    assert semaphore._value == 2


def test_release_many(make: Any) -> None:
    semaphore = empty(make, 10)
    semaphore.release(4)
    assert semaphore._value == 4
    semaphore.release(n=6)
    assert semaphore._value == 10
    for n in (0, -1, False, -0.5):
        with pytest.raises(ValueError, match=r"^n must be one or more$"):
            semaphore.release(n)
    for wrong in ("1", None, ()):
        with pytest.raises(TypeError, match="'<' not supported between instances of "):
            semaphore.release(wrong)
    assert semaphore._value == 10


@pytest.mark.parametrize("count", [1, 3, 5])
def test_release_lets_in_as_many(kit: Kit, make: Any, count: int) -> None:
    semaphore = empty(make, 5)
    with kit.workers(5) as crew:
        pendings = [worker.block(semaphore.acquire) for worker in crew]
        semaphore.release(count)
        wait_until(lambda: sum(pending.is_done() for pending in pendings) == count)
        assert semaphore._value == 0
        if count < 5:
            semaphore.release(5 - count)
        assert [pending.result() for pending in pendings] == [True] * 5
        assert semaphore._value == 0


def test_bounded_has_a_limit(kit: Kit) -> None:
    semaphore = kit.threading.BoundedSemaphore(2)
    words = "^Semaphore released too many times$"
    with pytest.raises(ValueError, match=words):
        semaphore.release()
    semaphore.acquire()
    with pytest.raises(ValueError, match=words):
        semaphore.release(2)
    assert semaphore._value == 1
    semaphore.release()
    with pytest.raises(ValueError, match=words):
        semaphore.release()
    assert semaphore._value == semaphore._initial_value == 2


def test_the_limit_can_be_moved_by_hand(kit: Kit) -> None:
    semaphore = kit.threading.BoundedSemaphore(1)
    semaphore._initial_value = 3
    semaphore.release(2)
    assert semaphore._value == 3
    with pytest.raises(ValueError, match="released too many times"):
        semaphore.release()


def test_unbounded_has_none(kit: Kit) -> None:
    semaphore = kit.threading.Semaphore(1)
    for _ in range(100):
        semaphore.release()
    assert semaphore._value == 101
    assert not hasattr(semaphore, "_initial_value")


def test_the_value_can_be_set_by_hand(kit: Kit, make: Any) -> None:
    """That wakes no waiter; threads that come next see it."""
    semaphore = make(1)
    semaphore._value = 0
    assert semaphore.acquire(False) is False
    with kit.workers(1) as [waiter]:
        pending = waiter.block(semaphore.acquire)
        semaphore._value = 5
        assert semaphore.acquire(False) is True
        assert not pending.is_done()
        semaphore._value = 0
        semaphore.release()
        assert pending.result() is True
    assert semaphore._value == 0


# Time-outs


@pytest.mark.parametrize("timeout", [0, 0.0, -1, -0.5, 0.001, 0.03])
def test_gives_up_not_before_its_time(make: Any, timeout: float) -> None:
    semaphore = make(0)
    start = time.monotonic()
    assert semaphore.acquire(timeout=timeout) is False
    assert semaphore.acquire(True, timeout) is False
    assert time.monotonic() - start >= 2 * timeout
    assert semaphore._value == 0


def test_gets_what_comes_in_time(kit: Kit, make: Any) -> None:
    semaphore = empty(make, 1)
    with kit.workers(1) as [waiter]:
        for timeout in (None, HANG, 1e6, kit.threading.TIMEOUT_MAX):
            pending = waiter.block(semaphore.acquire, True, timeout)
            semaphore.release()
            assert pending.result() is True


@pytest.mark.parametrize("blocking", [False, 0, "", None])
@pytest.mark.parametrize("timeout", [0, 1, -1, 1.0, "1"])
def test_a_time_out_without_waiting(make: Any, blocking: Any, timeout: Any) -> None:
    words = "^can't specify timeout for non-blocking acquire$"
    for value in (0, 1):
        semaphore = make(value)
        with pytest.raises(ValueError, match=words):
            semaphore.acquire(blocking, timeout)
        assert semaphore._value == value


@pytest.mark.parametrize("timeout", ["1", (), object()])
def test_a_time_out_of_the_wrong_type(make: Any, timeout: Any) -> None:
    """It is looked at when there is something to wait for."""
    assert make(1).acquire(True, timeout) is True
    semaphore = make(0)
    with pytest.raises(TypeError, match="unsupported operand type"):
        semaphore.acquire(True, timeout)
    semaphore._value = 1
    assert semaphore.acquire(False) is True


def test_a_time_out_that_is_too_long(kit: Kit, make: Any) -> None:
    semaphore = make(0)
    for timeout in (1e300, float("inf"), 2**70, kit.threading.TIMEOUT_MAX * 2):
        with pytest.raises(OverflowError):
            semaphore.acquire(timeout=timeout)
    semaphore._value = 1
    assert semaphore.acquire(timeout=float("inf")) is True


def test_one_that_gave_up_does_not_swallow_a_release(kit: Kit, make: Any) -> None:
    for round_number in range(40):
        semaphore = empty(make, 1)
        with kit.workers(2) as [hasty, patient]:
            first = hasty.submit(semaphore.acquire, True, 0.0005 * (round_number % 5))
            second = patient.submit(semaphore.acquire, True, HANG)
            semaphore.release()
            if first.result():
                semaphore.release()
            assert second.result() is True
        assert semaphore._value == 0


# Many threads


def test_never_more_inside_than_allowed(kit: Kit, make: Any) -> None:
    semaphore = make(3)
    guard = kit.threading.Lock()
    inside = most = entered = 0

    def work() -> None:
        nonlocal inside, most, entered
        for turn in range(100):
            with semaphore:
                with guard:
                    inside += 1
                    entered += 1
                    most = max(most, inside)
                if turn % 10 == 0:
                    time.sleep(0)
                with guard:
                    inside -= 1

    with kit.workers(6) as crew:
        for pending in [worker.submit(work) for worker in crew]:
            pending.result()
    assert entered == 600
    assert most <= 3
    assert semaphore._value == 3


def test_as_many_get_in_as_were_let_in(kit: Kit) -> None:
    """By every way to acquire; what is left over is in the count."""
    semaphore = kit.threading.Semaphore(0)
    stop = False

    def take(*way: Any) -> int:
        count = 0
        while not stop:
            if semaphore.acquire(*way):
                count += 1
        return count

    def give() -> int:
        for n in range(1, 300):
            semaphore.release(n % 3 + 1)
        return sum(n % 3 + 1 for n in range(1, 300))

    with kit.workers(5) as crew:
        ways: list[tuple[Any, ...]] = [(False,), (True, 0.001), (True, 0), (True, 1e-6)]
        takers = [worker.submit(take, *way) for worker, way in zip(crew, ways, strict=False)]
        given = crew[4].submit(give).result()
        stop = True
        taken = sum(taker.result() for taker in takers)
    assert taken + semaphore._value == given


@both
def test_all_of_many_get_their_turns(ours: Kit, name: str) -> None:
    """Only rthread promises this: on stock, with the GIL, four of the six get none."""
    semaphore = getattr(ours.threading, name)(2)
    stop = False
    turns = [0] * 6

    def work(number: int) -> None:
        while not stop:
            with semaphore:
                turns[number] += 1
                time.sleep(0)

    with ours.workers(6) as crew:
        pendings = [worker.submit(work, number) for number, worker in enumerate(crew)]
        try:
            wait_until(lambda: min(turns) >= 20)
        finally:
            stop = True
        for pending in pendings:
            pending.result()
    assert semaphore._value == 2


# Subclasses and shape


def test_with_in_a_subclass(kit: Kit, make: Any) -> None:
    """`__enter__` is acquire itself, not a call of it by name; `__exit__` calls release."""
    calls: list[str] = []

    class Child(make):  # type: ignore[misc]
        def acquire(self, *args: Any) -> Any:
            calls.append("acquire")
            return super().acquire(*args)

        def release(self, *args: Any) -> None:
            calls.append("release")
            super().release(*args)

    semaphore = Child()
    with semaphore:
        assert calls == []
    assert calls == ["release"]
    assert semaphore._value == 1


def test_enter_takes_the_arguments_of_acquire(make: Any) -> None:
    semaphore = make(0)
    assert semaphore.__enter__(False) is False
    assert semaphore.__enter__(timeout=SHORT) is False


def test_bounded_is_a_semaphore(kit: Kit) -> None:
    assert issubclass(kit.threading.BoundedSemaphore, kit.threading.Semaphore)
    assert isinstance(kit.threading.BoundedSemaphore(), kit.threading.Semaphore)
    assert kit.threading.BoundedSemaphore.__bases__ == (kit.threading.Semaphore,)


@both
def test_repr(kit: Kit, name: str) -> None:
    cls = getattr(kit.threading, name)
    shown = f"{cls.__module__}.{name}"
    semaphore = cls(3)
    semaphore.acquire()
    if not SINCE_3_11:
        assert without_addresses(repr(semaphore)) == f"<{shown} object at 0x…>"
        return
    value = "2/3" if name == "BoundedSemaphore" else "2"
    assert without_addresses(repr(semaphore)) == f"<{shown} at 0x…: value={value}>"
    assert f"{id(semaphore):#x}" in repr(semaphore)


def test_other_numbers(make: Any) -> None:
    """What counts by itself is no int: it may be worth no more than it says."""
    semaphore = make(True)
    assert semaphore._value is True
    assert semaphore.acquire(False) is True
    assert semaphore.acquire(False) is False
    semaphore.release()
    assert semaphore._value == 1

    semaphore = make(1.5)
    assert semaphore._value == 1.5
    assert semaphore.acquire(False) is True
    # It is never exactly 0, so it never runs out.
    assert semaphore.acquire(False) is True
    assert semaphore._value == -0.5

    semaphore = make(2**70)
    assert semaphore.acquire(False) is True
    assert semaphore._value == 2**70 - 1
    semaphore.release()
    assert semaphore._value == 2**70
