"""Locks between threads: exclusion, hand-off, release by others, time-outs."""

from __future__ import annotations

import contextlib
import gc
import threading
import time
import weakref
from collections.abc import Iterator
from typing import Any

import pytest

from support import HANG, Worker, collect_until, wait_until, workers

ROUNDS = 2000


def kinds(api: Any) -> dict[str, Any]:
    return {"lock": api.allocate_lock, "RLock": api.RLock}


@pytest.fixture(params=["lock", "RLock"])
def make_lock(api: Any, request: pytest.FixtureRequest) -> Any:
    return kinds(api)[request.param]


@pytest.mark.parametrize("count", [2, 4, 8])
def test_one_at_a_time(api: Any, make_lock: Any, count: int) -> None:
    """The counter's read and write are apart, so that two holders at once would lose a step."""
    lock = make_lock()
    counter = 0

    def add() -> None:
        nonlocal counter
        for _ in range(ROUNDS // count):
            with lock:
                seen = counter
                if seen % 50 == 0:
                    time.sleep(0)
                counter = seen + 1

    with workers(api, count) as crew:
        for pending in [worker.submit(add) for worker in crew]:
            pending.result()
    assert counter == ROUNDS // count * count
    assert lock.acquire(False)


def test_one_at_a_time_by_timed_and_polled_acquires(api: Any, make_lock: Any) -> None:
    """The ways in that can give up and start anew keep others out too."""
    lock = make_lock()
    inside = counter = 0

    def add(*way: Any) -> None:
        nonlocal inside, counter
        for _ in range(200):
            while not lock.acquire(*way):
                time.sleep(0)
            inside += 1
            assert inside == 1
            time.sleep(0)
            counter += 1
            inside -= 1
            lock.release()

    with workers(api, 4) as crew:
        ways: list[tuple[Any, ...]] = [(), (True, 0.001), (False,), (True, 1e-6)]
        pendings = [worker.submit(add, *way) for worker, way in zip(crew, ways, strict=True)]
        for pending in pendings:
            pending.result()
    assert counter == 800


def test_release_lets_a_waiter_in(api: Any, make_lock: Any) -> None:
    lock = make_lock()
    with workers(api, 1) as [waiter]:
        lock.acquire()
        pending = waiter.block(lock.acquire)
        assert not pending.is_done()
        lock.release()
        assert pending.result() is True
        assert not lock.acquire(False)
        waiter.do(lock.release)
        assert lock.acquire(False)


def test_every_waiter_gets_in(api: Any, make_lock: Any) -> None:
    lock = make_lock()
    entered: list[int] = []

    def enter(number: int) -> None:
        with lock:
            entered.append(number)

    with workers(api, 8) as crew:
        lock.acquire()
        pendings = [worker.block(enter, number) for number, worker in enumerate(crew)]
        assert entered == []
        lock.release()
        for pending in pendings:
            pending.result()
    assert sorted(entered) == list(range(8))


def test_any_thread_may_release_a_plain_lock(api: Any) -> None:
    lock = api.allocate_lock()
    with workers(api, 2) as [holder, releaser]:
        assert holder.do(lock.acquire) is True
        assert releaser.do(lock.release) is None
        assert not lock.locked()
        holder.do(lock.acquire)
        waiting = holder.block(lock.acquire)
        releaser.do(lock.release)
        assert waiting.result() is True
        assert lock.locked()


def test_release_of_a_free_lock_changes_nothing(api: Any) -> None:
    lock = api.allocate_lock()
    for _ in range(3):
        with pytest.raises(RuntimeError, match="release unlocked lock"):
            lock.release()
    assert lock.acquire(False)
    assert not lock.acquire(False)


def test_timed_acquire_gives_up_not_before_its_time(api: Any, make_lock: Any) -> None:
    lock = make_lock()
    with workers(api, 1) as [holder]:
        holder.do(lock.acquire)
        for timeout in (0.0, 0.001, 0.03, 0.1):
            start = time.monotonic()
            assert lock.acquire(True, timeout) is False
            assert time.monotonic() - start >= timeout
        holder.do(lock.release)


def test_timed_acquire_gets_a_lock_that_comes_free(api: Any, make_lock: Any) -> None:
    lock = make_lock()
    with workers(api, 1) as [waiter]:
        lock.acquire()
        pending = waiter.block(lock.acquire, True, HANG)
        lock.release()
        assert pending.result() is True
        waiter.do(lock.release)


@pytest.mark.parametrize("timeout", ["largest", -1, -1.0])
def test_longest_waits(api: Any, make_lock: Any, timeout: Any) -> None:
    """TIMEOUT_MAX does not wrap round to a moment, nor to for ever."""
    lock = make_lock()
    with workers(api, 1) as [waiter]:
        lock.acquire()
        pending = waiter.block(
            lock.acquire, True, api.TIMEOUT_MAX if timeout == "largest" else timeout
        )
        assert not pending.is_done()
        lock.release()
        assert pending.result() is True
        waiter.do(lock.release)


def test_a_waiter_that_gave_up_does_not_swallow_the_wake_up(api: Any, make_lock: Any) -> None:
    """Of two waiters the first times out, at about the time of the release: the other gets in."""
    for round_number in range(30):
        lock = make_lock()
        with workers(api, 2) as [hasty, patient]:
            lock.acquire()
            given_up = hasty.submit(lock.acquire, True, 0.0005 * (round_number % 5))
            got = patient.submit(lock.acquire)
            lock.release()
            if given_up.result():
                hasty.do(lock.release)
            assert got.result() is True
            patient.do(lock.release)


def test_locks_taken_crosswise_by_turns(api: Any) -> None:
    """Ping-pong: each round needs a wake-up in both directions, none may be lost."""
    ping, pong = api.allocate_lock(), api.allocate_lock()
    ping.acquire()
    pong.acquire()

    def answer() -> int:
        for _ in range(ROUNDS):
            ping.acquire()
            pong.release()
        return ROUNDS

    with workers(api, 1) as [other]:
        pending = other.submit(answer)
        for _ in range(ROUNDS):
            ping.release()
            assert pong.acquire(True, HANG)
        assert pending.result() == ROUNDS


@contextlib.contextmanager
def hammering(crew: list[Worker], lock: Any, hold: float) -> Iterator[list[int]]:
    """Threads that take the lock again as soon as they have freed it; the counts of their turns."""
    stop = False
    turns = [0] * len(crew)

    def hammer(number: int) -> None:
        while not stop:
            lock.acquire()
            if hold:
                time.sleep(hold)
            turns[number] += 1
            lock.release()

    pendings = [worker.submit(hammer, number) for number, worker in enumerate(crew)]
    try:
        wait_until(lambda: all(turns))
        yield turns
    finally:
        stop = True
        for pending in pendings:
            pending.result()


@pytest.mark.parametrize("kind", ["lock", "RLock"])
@pytest.mark.parametrize("hold", [0.0, 0.002])
def test_a_waiter_is_not_starved(ours: Any, kind: str, hold: float) -> None:
    """Others free the lock and take it at once, and hold it whenever the interpreter switches.

    Only ours promises this: the stock lock leaves it to luck which thread comes next.
    """
    lock = kinds(ours)[kind]()
    with workers(ours, 2) as crew, hammering(crew, lock, hold) as turns:
        for _ in range(20):
            before = sum(turns)
            assert lock.acquire(True, HANG)
            passed_by = sum(turns) - before
            lock.release()
            if hold:
                # It asks for its turn within a millisecond: half a turn of theirs.
                assert passed_by < 50


@pytest.mark.parametrize("kind", ["lock", "RLock"])
def test_all_of_many_get_their_turns(ours: Any, kind: str) -> None:
    lock = kinds(ours)[kind]()
    with workers(ours, 6) as crew, hammering(crew, lock, 0.0) as turns:
        wait_until(lambda: min(turns) >= 20)


def test_a_lock_waited_for_outlives_its_last_name(api: Any, make_lock: Any) -> None:
    """The waiter's own call keeps it, through a collection, and it dies afterwards."""
    lock = make_lock()
    lock.acquire()
    reference = weakref.ref(lock)
    with workers(api, 1) as [waiter]:
        pending = waiter.block(lock.acquire, True, HANG)
        release = lock.release
        del lock
        gc.collect()
        assert reference() is not None
        release()
        del release
        assert pending.result() is True
        del pending
        collect_until(lambda: reference() is None)


def test_a_held_lock_may_die(api: Any, make_lock: Any) -> None:
    for _ in range(10):
        lock = make_lock()
        lock.acquire()
        reference = weakref.ref(lock)
        del lock
        gc.collect()
        assert reference() is None


def test_reinit_frees_a_held_lock(api: Any, make_lock: Any) -> None:
    lock = make_lock()
    with workers(api, 1) as [holder]:
        holder.do(lock.acquire)
        assert not lock.acquire(False)
        lock._at_fork_reinit()
        assert lock.acquire(False)
        lock.release()


def test_waiting_leaves_the_interpreter_to_others(api: Any, make_lock: Any) -> None:
    """A thread that blocked attached would hold up every other one, and every collection."""
    lock = make_lock()
    lock.acquire()
    with workers(api, 2) as [waiter, other]:
        pending = waiter.block(lock.acquire)
        assert other.do(lambda: sum(range(1000))) == 499500
        assert other.do(gc.collect) >= 0
        lock.release()
        assert pending.result() is True
        waiter.do(lock.release)


def test_stock_primitives_over_our_locks(api: Any, make_lock: Any) -> None:
    """`threading.Condition` takes any lock: it relies on what the lock says of itself."""
    condition = threading.Condition(make_lock())
    seen: list[int] = []

    def consume() -> None:
        with condition:
            assert condition.wait_for(lambda: seen, HANG)
            seen.append(2)

    with workers(api, 1) as [consumer]:
        pending = consumer.block(consume)
        with condition:
            seen.append(1)
            condition.notify()
        pending.result()
    assert seen == [1, 2]
