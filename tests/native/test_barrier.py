"""Barrier: rounds, actions, time-outs, abort and reset."""

from __future__ import annotations

import threading as stock_threading
import time
from collections.abc import Callable
from typing import Any

import pytest
from kits import SHORT, SINCE_3_11, SINCE_3_13, Kit

from support import HANG, Pending, Worker, wait_until, without_addresses


@pytest.fixture
def make(kit: Kit) -> Any:
    return kit.threading.Barrier


@pytest.fixture
def broken_error(kit: Kit) -> Any:
    return kit.threading.BrokenBarrierError


def all_wait(crew: list[Worker], barrier: Any) -> list[Pending]:
    """Have all of them wait, for one more than there are; return when they do."""
    before = barrier.n_waiting
    pendings = [worker.block(barrier.wait) for worker in crew]
    wait_until(lambda: barrier.n_waiting == before + len(crew))
    return pendings


def all_break(pendings: list[Pending], error: Any) -> None:
    for pending in pendings:
        with pytest.raises(error) as caught:
            pending.result()
        assert caught.type is error


@pytest.mark.parametrize("parties", [1, 2, 3, 6])
def test_each_thread_gets_an_index_of_its_own(kit: Kit, make: Any, parties: int) -> None:
    barrier = make(parties)
    assert barrier.parties == parties
    with kit.workers(parties) as crew:
        for _ in range(30):
            pendings = [worker.submit(barrier.wait) for worker in crew]
            assert sorted(pending.result() for pending in pendings) == list(range(parties))
    assert barrier.n_waiting == 0
    assert barrier.broken is False


def test_indexes_are_in_order_of_arrival(kit: Kit, make: Any) -> None:
    barrier = make(4)
    with kit.workers(3) as crew:
        pendings = []
        for number, worker in enumerate(crew):
            assert barrier.n_waiting == number
            pendings += all_wait([worker], barrier)
        assert not any(pending.is_done() for pending in pendings)
        assert barrier.wait() == 3
        assert [pending.result() for pending in pendings] == [0, 1, 2]
        assert barrier.n_waiting == 0


def test_no_thread_laps_the_others(kit: Kit, make: Any) -> None:
    parties, rounds = 4, 100
    barrier = make(parties)
    at: list[int] = [0] * parties

    def run(number: int) -> None:
        for turn in range(rounds):
            at[number] = turn
            barrier.wait(HANG)
            assert min(at) >= turn
            barrier.wait(HANG)
            assert max(at) <= turn + 1

    with kit.workers(parties) as crew:
        for pending in [worker.submit(run, number) for number, worker in enumerate(crew)]:
            pending.result()
    assert barrier.n_waiting == 0


def test_one_party_does_not_wait(make: Any) -> None:
    calls: list[int] = []
    barrier = make(1, lambda: calls.append(1))
    assert [barrier.wait(), barrier.wait(0), barrier.wait(timeout=-1)] == [0, 0, 0]
    assert calls == [1, 1, 1]


@pytest.mark.parametrize("parties", [0, -1, -(2**70), 0.5])
def test_fewer_than_one(make: Any, broken_error: Any, parties: float) -> None:
    if not SINCE_3_13:
        # No thread is ever the last.
        barrier = make(parties)
        assert barrier.parties == parties
        with pytest.raises(broken_error):
            barrier.wait(SHORT)
        return
    words = []
    for cls in (make, stock_threading.Barrier):
        with pytest.raises(ValueError, match=r"^parties must be >") as caught:
            cls(parties)
        words.append(str(caught.value))
    assert words[0] == words[1]


@pytest.mark.parametrize("parties", ["1", None, (), 1j])
def test_parties_that_are_no_number(make: Any, parties: Any) -> None:
    if SINCE_3_13:
        with pytest.raises(TypeError, match="'<' not supported between instances of "):
            make(parties)
    else:
        assert make(parties).parties is parties


def test_a_barrier_checks_its_arguments(make: Any) -> None:
    barrier = make(parties=2, action=None, timeout=SHORT)
    assert (barrier._parties, barrier._action, barrier._timeout) == (2, None, SHORT)
    for call in (make, lambda: make(1, None, None, None), lambda: make(1, spam=1)):
        with pytest.raises(TypeError):
            call()
    for name in ("parties", "n_waiting", "broken"):
        with pytest.raises(AttributeError):
            setattr(barrier, name, 1)


# Actions


def test_the_last_one_runs_the_action(kit: Kit, make: Any) -> None:
    """Once a round, before any thread leaves."""
    idents: list[int] = []
    left: list[int] = []

    def action() -> None:
        assert left == []
        assert barrier.n_waiting == 3
        idents.append(kit.threading.get_ident())

    def wait() -> None:
        barrier.wait()
        left.append(1)

    barrier = make(3, action=action)
    with kit.workers(2) as crew:
        for _ in range(5):
            pendings = [worker.block(wait) for worker in crew]
            assert barrier.wait() == 2
            for pending in pendings:
                pending.result()
            assert idents == [kit.threading.get_ident()]
            idents.clear()
            left.clear()


@pytest.mark.parametrize("error", [ZeroDivisionError, SystemExit, KeyboardInterrupt])
def test_an_action_that_raises_breaks_the_barrier(
    kit: Kit, make: Any, broken_error: Any, error: Any
) -> None:
    def action() -> None:
        raise error("from the action")

    barrier = make(3, action)
    with kit.workers(2) as crew:
        pendings = all_wait(crew, barrier)
        with pytest.raises(error, match="from the action"):
            barrier.wait()
        all_break(pendings, broken_error)
    assert barrier.broken is True
    assert barrier.n_waiting == 0
    with pytest.raises(broken_error):
        barrier.wait()
    barrier.reset()
    assert barrier.broken is False


def test_an_action_that_is_false_is_none(make: Any) -> None:
    class Off:
        def __bool__(self) -> bool:
            return False

    assert make(1, Off()).wait() == 0
    assert make(1, 0).wait() == 0


def test_an_action_that_cannot_be_called(make: Any, broken_error: Any) -> None:
    barrier = make(1, 5)
    with pytest.raises(TypeError, match="'int' object is not callable"):
        barrier.wait()
    with pytest.raises(broken_error):
        barrier.wait()


def test_the_action_may_be_changed(make: Any) -> None:
    calls: list[int] = []
    barrier = make(1)
    barrier.wait()
    barrier._action = lambda: calls.append(1)
    barrier.wait()
    assert calls == [1]


def test_an_action_of_a_barrier_that_can_be_used_again(kit: Kit, make: Any) -> None:
    """Raises in every other round, and each break is mended by a reset."""
    rounds = 0

    def action() -> None:
        nonlocal rounds
        rounds += 1
        if rounds % 2:
            raise ZeroDivisionError

    barrier = make(2, action)
    with kit.workers(1) as [other]:
        for turn in range(10):
            pending = all_wait([other], barrier)[0]
            if turn % 2 == 0:
                with pytest.raises(ZeroDivisionError):
                    barrier.wait()
                all_break([pending], kit.threading.BrokenBarrierError)
                barrier.reset()
            else:
                assert (barrier.wait(), pending.result()) == (1, 0)


# Time-outs


@pytest.mark.parametrize("timeout", [0, -1, 0.001, 0.03])
@pytest.mark.parametrize("default", [True, False])
def test_a_time_out_breaks_it_for_all(
    kit: Kit, make: Any, broken_error: Any, timeout: float, default: bool
) -> None:
    barrier = make(3, None, timeout if default else HANG)
    with kit.workers(1) as [other]:
        pending = other.block(barrier.wait, HANG)
        start = time.monotonic()
        with pytest.raises(broken_error):
            barrier.wait(*(() if default else (timeout,)))
        assert time.monotonic() - start >= timeout
        all_break([pending], broken_error)
    assert barrier.broken is True
    assert barrier.n_waiting == 0
    with pytest.raises(broken_error):
        barrier.wait()


def test_the_waits_own_time_out_wins(kit: Kit, make: Any) -> None:
    barrier = make(2, timeout=SHORT)
    with kit.workers(1) as [other]:
        pending = other.block(barrier.wait, HANG)
        time.sleep(2 * SHORT)
        assert not pending.is_done()
        assert barrier.wait(-1) == 1
        assert pending.result() == 0


@pytest.mark.parametrize("timeout", ["1", (), object()])
def test_a_time_out_of_the_wrong_type(make: Any, timeout: Any) -> None:
    """The last one does not look at it; for others it is an error that breaks nothing."""
    assert make(1).wait(timeout) == 0
    barrier = make(2)
    with pytest.raises(TypeError):
        barrier.wait(timeout)
    assert barrier.broken is False
    assert barrier.n_waiting == 0


# abort and reset


def test_abort_breaks_the_barrier_for_all(kit: Kit, make: Any, broken_error: Any) -> None:
    barrier = make(4)
    with kit.workers(3) as crew:
        pendings = all_wait(crew, barrier)
        assert barrier.abort() is None
        all_break(pendings, broken_error)
        assert barrier.broken is True
        for _ in range(2):
            with pytest.raises(broken_error):
                barrier.wait()
        barrier.abort()
        assert barrier.broken is True


def test_reset_turns_waiters_away(kit: Kit, make: Any, broken_error: Any) -> None:
    barrier = make(4)
    with kit.workers(4) as crew:
        pendings = all_wait(crew[:3], barrier)
        assert barrier.reset() is None
        assert barrier.n_waiting == 0
        assert barrier.broken is False
        all_break(pendings, broken_error)
        again = [worker.submit(barrier.wait) for worker in crew]
        assert sorted(pending.result() for pending in again) == [0, 1, 2, 3]


def test_reset_without_waiters(make: Any) -> None:
    barrier = make(1)
    barrier.reset()
    assert barrier.wait() == 0
    barrier.abort()
    barrier.reset()
    assert barrier.broken is False
    assert barrier.wait() == 0


@pytest.mark.parametrize("end", ["abort", "reset"])
def test_broken_and_mended_at_random(kit: Kit, make: Any, broken_error: Any, end: str) -> None:
    """Whatever the moment, no thread stays behind and the barrier works again afterwards."""
    barrier = make(3)
    stop = False

    def run() -> int:
        passed = 0
        while not stop:
            try:
                barrier.wait(HANG)
                passed += 1
            except broken_error:
                time.sleep(0)
        return passed

    with kit.workers(3) as crew:
        pendings = [worker.submit(run) for worker in crew]
        for _ in range(100):
            getattr(barrier, end)()
            time.sleep(0)
            barrier.reset()
            time.sleep(0.0005)
        stop = True
        while not all(pending.is_done() for pending in pendings):
            barrier.reset()
            time.sleep(0)
        for pending in pendings:
            assert pending.result() >= 0
        wait_until(lambda: barrier._count == 0)
        barrier.reset()
        again = [worker.submit(barrier.wait) for worker in crew]
        assert sorted(pending.result() for pending in again) == [0, 1, 2]


def test_the_error(kit: Kit) -> None:
    error = kit.threading.BrokenBarrierError
    assert error.__bases__ == (RuntimeError,)
    barrier = kit.threading.Barrier(2)
    barrier.abort()
    with pytest.raises(error) as caught:
        barrier.wait()
    assert caught.value.args == ()


# Subclasses and shape


@pytest.mark.parametrize("hook", ["_enter", "_release", "_wait", "_exit", "_break"])
def test_a_hook_that_a_subclass_overrides_is_called(kit: Kit, make: Any, hook: str) -> None:
    calls: list[str] = []

    def override(self: Any, *args: Any) -> Any:
        calls.append(hook)
        return getattr(super(Child, self), hook)(*args)

    Child = type("Child", (make,), {hook: override})
    barrier: Any = Child(2)
    do: dict[str, Callable[[Any], Any]] = {
        "_break": lambda barrier: barrier.abort(),
    }
    with kit.workers(1) as [other]:
        pending = other.block(barrier.wait)
        if hook in do:
            do[hook](barrier)
            all_break([pending], kit.threading.BrokenBarrierError)
        else:
            assert (barrier.wait(), pending.result()) == (1, 0)
    assert calls.count(hook) == {"_enter": 2, "_exit": 2}.get(hook, 1)


def test_repr(kit: Kit, make: Any) -> None:
    shown = f"{make.__module__}.Barrier"
    barrier = make(3)
    if not SINCE_3_11:
        assert without_addresses(repr(barrier)) == f"<{shown} object at 0x…>"
        return
    with kit.workers(2) as crew:
        assert without_addresses(repr(barrier)) == f"<{shown} at 0x…: waiters=0/3>"
        pendings = all_wait(crew, barrier)
        assert without_addresses(repr(barrier)) == f"<{shown} at 0x…: waiters=2/3>"
        barrier.abort()
        assert without_addresses(repr(barrier)) == f"<{shown} at 0x…: broken>"
        all_break(pendings, kit.threading.BrokenBarrierError)
