"""Event: which waiters are woken, and what wait returns."""

from __future__ import annotations

import random
import time
from typing import Any

import pytest
from kits import SHORT, SINCE_3_11, Kit

from support import HANG, without_addresses


@pytest.fixture
def event(kit: Kit) -> Any:
    return kit.threading.Event()


def test_set_and_clear(event: Any) -> None:
    assert event.is_set() is False
    for _ in range(2):
        assert event.set() is None
        assert event.is_set() is True
        assert event.wait() is True
        assert event.wait(0) is True
    for _ in range(2):
        assert event.clear() is None
        assert event.is_set() is False
        assert event.wait(0) is False


def test_set_wakes_all(kit: Kit, event: Any) -> None:
    with kit.workers(5) as crew:
        ways: list[tuple[Any, ...]] = [(), (None,), (HANG,), (kit.threading.TIMEOUT_MAX,), (1e6,)]
        pendings = [worker.block(event.wait, *way) for worker, way in zip(crew, ways, strict=True)]
        assert not any(pending.is_done() for pending in pendings)
        event.set()
        assert [pending.result() for pending in pendings] == [True] * 5


def test_waiters_are_woken_though_it_is_cleared_at_once(kit: Kit, event: Any) -> None:
    with kit.workers(5) as crew:
        for _ in range(20):
            pendings = [worker.block(event.wait) for worker in crew]
            event.set()
            event.clear()
            assert [pending.result() for pending in pendings] == [True] * 5
            assert event.wait(0) is False


@pytest.mark.parametrize("timeout", [0, 0.0, -1, -0.5, -1e300, 0.001, 0.03])
def test_a_wait_gives_up_not_before_its_time(event: Any, timeout: float) -> None:
    start = time.monotonic()
    assert event.wait(timeout) is False
    assert time.monotonic() - start >= timeout
    event.set()
    assert event.wait(timeout) is True


def test_not_a_number_is_no_time(event: Any) -> None:
    assert event.wait(float("nan")) is False


@pytest.mark.parametrize("timeout", ["1", (), object(), 1j])
def test_a_time_out_of_the_wrong_type(event: Any, timeout: Any) -> None:
    """It is looked at when there is something to wait for."""
    with pytest.raises(TypeError):
        event.wait(timeout)
    event.set()
    assert event.wait(timeout) is True


def test_a_time_out_that_is_too_long(kit: Kit, event: Any) -> None:
    for timeout in (1e300, float("inf"), 2**70, kit.threading.TIMEOUT_MAX * 2):
        with pytest.raises(OverflowError):
            event.wait(timeout)
    event.set()
    assert event.wait(float("inf")) is True


def test_a_set_at_the_time_out(kit: Kit) -> None:
    """Whichever comes first: wait says True or False, and a second wait finds it set."""
    with kit.workers(2) as [waiter, setter]:
        for _ in range(100):
            event = kit.threading.Event()
            timeout = random.uniform(0, 0.002)
            pending = waiter.submit(event.wait, timeout)
            time.sleep(random.uniform(0, 0.002))
            setter.do(event.set)
            assert pending.result() in (True, False)
            assert waiter.do(event.wait, 0) is True


def test_ping_pong(kit: Kit) -> None:
    """A wake-up in both directions in each round; none may be lost."""
    ping, pong = kit.threading.Event(), kit.threading.Event()

    def answer() -> int:
        for _ in range(500):
            assert ping.wait(HANG)
            ping.clear()
            pong.set()
        return 500

    with kit.workers(1) as [other]:
        pending = other.submit(answer)
        for _ in range(500):
            ping.set()
            assert pong.wait(HANG)
            pong.clear()
        assert pending.result() == 500


def test_the_flag_can_be_set_by_hand(kit: Kit, event: Any) -> None:
    """That wakes no waiter, but threads that come next see it."""
    with kit.workers(1) as [waiter]:
        pending = waiter.block(event.wait)
        event._flag = True
        assert event.is_set() is True
        assert event.wait() is True
        assert not pending.is_done()
        event._flag = 0
        assert event.is_set() == 0
        event.set()
        assert pending.result() is True
    assert event._flag is True


def test_is_set_by_its_old_name(event: Any) -> None:
    for expected in (False, True):
        with pytest.warns(DeprecationWarning, match="isSet\\(\\) is deprecated") as seen:
            assert event.isSet() is expected
        assert [warning.filename for warning in seen] == [__file__]
        event.set()


def test_is_set_in_a_subclass(kit: Kit) -> None:
    """wait does not ask it; isSet does."""

    class Child(kit.threading.Event):  # type: ignore[misc, name-defined]
        def is_set(self) -> Any:
            return "overridden"

    event = Child()
    assert event.wait(0) is False
    with pytest.warns(DeprecationWarning, match=r"isSet\(\) is deprecated"):
        assert event.isSet() == "overridden"


def test_repr(kit: Kit, event: Any) -> None:
    name = f"{kit.threading.Event.__module__}.Event"
    if not SINCE_3_11:
        assert without_addresses(repr(event)) == f"<{name} object at 0x…>"
        return
    assert without_addresses(repr(event)) == f"<{name} at 0x…: unset>"
    event.set()
    assert without_addresses(repr(event)) == f"<{name} at 0x…: set>"
    assert f"{id(event):#x}" in repr(event)

    class Child(kit.threading.Event):  # type: ignore[misc, name-defined]
        pass

    assert without_addresses(repr(Child())) == f"<{__name__}.{Child.__qualname__} at 0x…: unset>"


def test_an_event_refuses_wrong_arguments(event: Any) -> None:
    event.set()
    assert event.wait(timeout=1) is True
    for call in (
        lambda: event.wait(1, 2),
        lambda: event.wait(spam=1),
        lambda: event.wait(1, timeout=1),
        lambda: event.set(1),
        lambda: event.clear(1),
        lambda: event.is_set(1),
        lambda: type(event)(1),
        lambda: type(event)(spam=1),
    ):
        with pytest.raises(TypeError):
            call()


def test_an_event_works_after_reinit(kit: Kit, event: Any) -> None:
    """It stays set or not; it has no waiters any more."""
    event._at_fork_reinit()
    assert event.is_set() is False
    event.set()
    event._at_fork_reinit()
    assert event.wait(SHORT) is True
    event.clear()
    with kit.workers(1) as [waiter]:
        pending = waiter.block(event.wait)
        event.set()
        assert pending.result() is True
