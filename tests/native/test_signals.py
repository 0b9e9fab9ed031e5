"""Signal handlers during each wait of the main thread: those that raise, and those that help."""

from __future__ import annotations

import signal
from collections.abc import Callable
from typing import Any

import kits
import pytest
from kits import Interrupted, Kit, during, handling, interrupt

from support import HANG, collect_until, wait_until

pytestmark = [
    pytest.mark.skipif(not hasattr(signal, "pthread_kill"), reason="the OS cannot signal a thread"),
    pytest.mark.thread_unsafe(reason="signal handlers run in the main thread"),
]

# With and without a time-out: two ways to wait.
timeouts = pytest.mark.parametrize("timeout", [None, HANG], ids=["forever", "timed"])


def is_free(lock: Any) -> bool:
    if not lock.acquire(False):
        return False
    lock.release()
    return True


# Handlers that raise


@timeouts
def test_a_handler_that_raises_ends_a_wait_for_an_event(kit: Kit, timeout: float | None) -> None:
    event = kit.threading.Event()
    for _ in range(3):
        with pytest.raises(Interrupted):
            during(lambda: event.wait(timeout), interrupt)
        assert event.is_set() is False
        assert event.wait(0) is False
    with kit.workers(1) as [waiter]:
        pending = waiter.block(event.wait, HANG)
        event.set()
        assert pending.result() is True
        assert event.wait() is True


@timeouts
@pytest.mark.parametrize("kind", ["Lock", "RLock"])
def test_a_handler_that_raises_ends_a_wait_for_a_condition(
    kit: Kit, timeout: float | None, kind: str
) -> None:
    condition = kit.threading.Condition(getattr(kit.threading, kind)())
    for _ in range(3):
        with condition:
            with pytest.raises(Interrupted):
                during(lambda: condition.wait(timeout), interrupt)
            # The lock is ours again, and no thread waits.
            assert condition._is_owned()
            assert len(condition._waiters) == 0
        assert is_free(condition)


@timeouts
def test_a_handler_that_raises_ends_wait_for(kit: Kit, timeout: float | None) -> None:
    condition = kit.threading.Condition()
    with condition, condition:
        with pytest.raises(Interrupted):
            during(lambda: condition.wait_for(lambda: False, timeout), interrupt)
        assert condition._release_save()[0] == 2
        condition._lock._acquire_restore((2, kit.threading.get_ident()))
    assert is_free(condition)


def test_the_one_that_was_interrupted_takes_no_notify(kit: Kit) -> None:
    condition = kit.threading.Condition()

    def wait() -> Any:
        with condition:
            return condition.wait(HANG)

    with kit.workers(1) as [waiter]:
        with condition:
            with pytest.raises(Interrupted):
                during(condition.wait, interrupt)
        pending = waiter.block(wait)
        with condition:
            condition.notify()
        assert pending.result() is True


@pytest.mark.parametrize("kind", ["RLock", "Lock"])
def test_the_lock_is_taken_back_in_spite_of_the_handler(kit: Kit, kind: str) -> None:
    """Another thread holds it when the wait ends: that wait cannot be interrupted (gh-118433)."""
    if kit.is_stock and kind == "Lock":
        pytest.skip("stock gives up the lock of a condition over a plain Lock here")
    condition = kit.threading.Condition(getattr(kit.threading, kind)())
    holding = kit.threading.Event()
    calls: list[int] = []

    def handler(number: int, frame: object) -> None:
        calls.append(number)
        raise Interrupted

    def hold() -> None:
        with condition:
            condition.notify()
            holding.set()
            # The main thread is notified and wants the lock back.
            kits.support.wait_until_blocked(main)
            signal.pthread_kill(ident, signal.SIGUSR1)
            kits.support.wait_until_blocked(main)

    main, ident = kit.threading.get_native_id(), kit.threading.get_ident()
    with kit.workers(1) as [holder], kits.handling(signal.SIGUSR1, handler):
        condition.acquire()
        pending = holder.submit(hold)
        try:
            condition.wait(HANG)
            # It may also be raised as soon as the wait is over.
            wait_until(lambda: calls)
        except Interrupted:
            pass
        assert condition._is_owned()
        assert holding.is_set()
        condition.release()
        pending.result()
    assert calls == [signal.SIGUSR1]


@timeouts
@pytest.mark.parametrize("name", ["Semaphore", "BoundedSemaphore"])
def test_a_handler_that_raises_ends_an_acquire_of_a_semaphore(
    kit: Kit, timeout: float | None, name: str
) -> None:
    semaphore = getattr(kit.threading, name)(1)
    semaphore.acquire()
    for _ in range(3):
        with pytest.raises(Interrupted):
            during(lambda: semaphore.acquire(True, timeout), interrupt)
        assert semaphore._value == 0
    with kit.workers(1) as [waiter]:
        pending = waiter.block(semaphore.acquire)
        semaphore.release()
        assert pending.result() is True
    semaphore.release()
    assert semaphore._value == 1
    with semaphore:
        with pytest.raises(Interrupted):
            during(semaphore.__enter__, interrupt)
    assert semaphore._value == 1


@timeouts
def test_a_handler_that_raises_ends_a_wait_at_a_barrier(kit: Kit, timeout: float | None) -> None:
    """A thread that leaves by an exception leaves it unbroken, and one short."""
    barrier = kit.threading.Barrier(2)
    for _ in range(3):
        with pytest.raises(Interrupted):
            during(lambda: barrier.wait(timeout), interrupt)
        assert barrier.n_waiting == 0
        assert barrier.broken is False
    with kit.workers(1) as [other]:
        pending = other.block(barrier.wait)
        assert barrier.wait() == 1
        assert pending.result() == 0


@timeouts
@pytest.mark.parametrize("name", kits.QUEUES)
def test_a_handler_that_raises_ends_a_get_of_a_queue(
    kit: Kit, timeout: float | None, name: str
) -> None:
    q = getattr(kit.queue, name)()
    for _ in range(3):
        with pytest.raises(Interrupted):
            during(lambda: q.get(True, timeout), interrupt)
        assert q.qsize() == 0
    with kit.workers(1) as [getter]:
        pending = getter.block(q.get)
        q.put(1)
        assert pending.result() == 1


@timeouts
@pytest.mark.parametrize("name", ["Queue", "LifoQueue", "PriorityQueue"])
def test_queue_put_and_join(kit: Kit, timeout: float | None, name: str) -> None:
    q = getattr(kit.queue, name)(1)
    q.put(1)
    for _ in range(3):
        with pytest.raises(Interrupted):
            during(lambda: q.put(2, True, timeout), interrupt)
        with pytest.raises(Interrupted):
            during(q.join, interrupt)
        assert q.qsize() == q.unfinished_tasks == 1
    with kit.workers(1) as [putter]:
        pending = putter.block(q.put, 2)
        assert q.get() == 1
        pending.result()
    assert q.get() == 2


def test_an_item_is_not_kept_by_a_put_that_was_interrupted(kit: Kit) -> None:
    import weakref

    class Item:
        pass

    q = kit.queue.Queue(1)
    q.put(None)

    def put() -> None:
        q.put(items[0])

    items = [Item()]
    reference = weakref.ref(items[0])
    try:
        during(put, interrupt)
    except Interrupted as error:
        # Its frames may have the item.
        error.__traceback__ = None
    else:
        raise AssertionError("the put was not interrupted")
    items.clear()
    collect_until(lambda: reference() is None)


# Handlers that do not raise


HELP: dict[str, Callable[[Any], tuple[Any, Callable[[], Any], Callable[[], Any], Any]]] = {}


def helps(function: Any) -> Any:
    HELP[function.__name__] = function
    return function


# Each gives the object, how to wait for it, how a handler ends the wait, and what the wait gives.


@helps
def event(kit: Kit) -> Any:
    it = kit.threading.Event()
    return it, it.wait, it.set, True


@helps
def condition(kit: Kit) -> Any:
    it = kit.threading.Condition()

    def help_() -> None:
        with it:
            it.notify()

    return it, lambda: it.acquire() and (it.wait(HANG), it.release())[0], help_, True


@helps
def semaphore(kit: Kit) -> Any:
    it = kit.threading.Semaphore(0)
    return it, it.acquire, it.release, True


@helps
def queue_get(kit: Kit) -> Any:
    it = kit.queue.Queue()
    return it, it.get, lambda: it.put("item"), "item"


@helps
def priority_queue_get(kit: Kit) -> Any:
    it = kit.queue.PriorityQueue()
    return it, it.get, lambda: it.put("item"), "item"


@helps
def simple_queue_get(kit: Kit) -> Any:
    it = kit.queue.SimpleQueue()
    return it, it.get, lambda: it.put("item"), "item"


@helps
def queue_put(kit: Kit) -> Any:
    it = kit.queue.Queue(1)
    it.put("first")
    return it, lambda: it.put("second"), it.get, None


@helps
def queue_join(kit: Kit) -> Any:
    it = kit.queue.Queue()
    it.put(1)
    return it, it.join, it.task_done, None


@pytest.mark.parametrize("name", HELP)
def test_a_handler_that_ends_the_wait(kit: Kit, name: str) -> None:
    calls: list[int] = []
    _, wait, help_, expected = HELP[name](kit)

    def handler(number: int, frame: object) -> None:
        calls.append(number)
        help_()

    assert during(wait, handler) == expected
    assert calls == [signal.SIGUSR1]


def test_a_handler_that_aborts_the_barrier(kit: Kit) -> None:
    barrier = kit.threading.Barrier(2)
    with pytest.raises(kit.threading.BrokenBarrierError):
        during(barrier.wait, lambda *_: barrier.abort())
    barrier.reset()
    with pytest.raises(kit.threading.BrokenBarrierError):
        during(barrier.wait, lambda *_: barrier.reset())
    assert barrier.broken is False


@pytest.mark.parametrize("name", HELP)
def test_a_signal_at_any_moment(ours: Kit, name: str) -> None:
    """Before the wait, during a look before its first sleep, in the sleep: the handler ends it.

    Not on stock, whose classes written in Python may lose their lock by it.
    """
    _, wait, _, _ = HELP[name](ours)

    def wait_for_a_signal(microseconds: int) -> None:
        # Again until it is noticed: as on stock, one that comes between the last look for signals
        # and the system call is not.
        signal.setitimer(signal.ITIMER_REAL, microseconds * 1e-6, 0.01)
        wait()

    def handler(number: int, frame: object) -> None:
        signal.setitimer(signal.ITIMER_REAL, 0)
        raise Interrupted

    with handling(signal.SIGALRM, handler):
        for moment in range(300):
            with pytest.raises(Interrupted):
                wait_for_a_signal(1 + moment % 100)


@pytest.mark.parametrize("name", HELP)
def test_a_handler_that_takes_what_is_waited_for(kit: Kit, name: str) -> None:
    """It looks at the object and waits for it in turn, without effect; the wait goes on."""
    it, wait, help_, expected = HELP[name](kit)
    looked: list[str] = []

    def handler(number: int, frame: object) -> None:
        repr(it)
        looked.append("once")
        if name == "event":
            assert it.wait(0.001) is False
        elif name == "semaphore":
            assert it.acquire(timeout=0.001) is False
        elif name.endswith("_get"):
            with pytest.raises(kit.queue.Empty):
                it.get(timeout=0.001)
        elif name == "queue_put":
            with pytest.raises(kit.queue.Full):
                it.put(3, timeout=0.001)
        # Now another thread ends it, from outside.
        other.submit(help_)

    with kit.workers(1) as [other]:
        assert during(wait, handler) == expected
    assert looked == ["once"]
