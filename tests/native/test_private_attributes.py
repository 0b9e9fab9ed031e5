"""The private parts that programs reach for, with threads waiting at that moment or not."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import pytest
from kits import CLASSES, SHORT, Kit, check_on

from support import HANG, wait_until

SEMAPHORES = ["Semaphore", "BoundedSemaphore"]


# Looks that change nothing


def test_private_attributes_have_the_values_of_stock(kit: Kit) -> None:
    threading = kit.threading
    event = threading.Event()
    assert event._flag is False
    event.set()
    assert event._flag is True
    assert threading.Semaphore(7)._value == 7
    bounded = threading.BoundedSemaphore(3)
    bounded.acquire()
    assert (bounded._value, bounded._initial_value) == (2, 3)
    barrier = threading.Barrier(2, print, 1.5)
    assert (barrier._parties, barrier._action, barrier._timeout) == (2, print, 1.5)
    assert (barrier._state, barrier._count) == (0, 0)
    barrier.abort()
    assert barrier._state == -2


def test_the_lock_of_a_condition(kit: Kit) -> None:
    for lock in (kit.threading.Lock(), kit.threading.RLock()):
        condition = kit.threading.Condition(lock)
        assert condition._lock is lock
        condition.acquire()
        assert condition._is_owned()
        lock.release()
        assert not condition._is_owned()
    assert type(kit.threading.Condition()._lock) is type(kit.threading.RLock())


def test_the_count_in_a_barrier(kit: Kit) -> None:
    barrier = kit.threading.Barrier(3)
    with kit.workers(2) as crew:
        pendings = []
        for number, worker in enumerate(crew):
            pendings.append(worker.block(barrier.wait))
            assert barrier._count == number + 1
        barrier.wait()
        for pending in pendings:
            pending.result()
    assert (barrier._state, barrier._count) == (0, 0)


# The condition under an Event


@pytest.mark.parametrize("materialized", ["before", "during"])
def test_the_condition_of_an_event(kit: Kit, materialized: str) -> None:
    event = kit.threading.Event()
    if materialized == "before":
        assert event._cond is event._cond
    with kit.workers(4) as crew:
        pendings = [crew[0].block(event.wait), crew[1].block(event.wait, HANG)]
        condition = event._cond
        assert isinstance(condition, kit.threading.Condition)
        # Threads that waited already move over in their own time.
        wait_until(lambda: len(condition._waiters) == 2)
        pendings.append(crew[2].block(event.wait))
        assert len(condition._waiters) == 3
        # A plain lock, which is free.
        with condition:
            assert not condition.acquire(False)
            setter = crew[3].block(event.set)
            assert not event.is_set()
        setter.result()
        assert [pending.result() for pending in pendings] == [True] * 3
        assert event._flag is True


def test_an_event_notified_through_its_condition(kit: Kit) -> None:
    """wait says what the condition's wait says, whatever the flag is."""
    event = kit.threading.Event()
    with kit.workers(2) as crew:
        pendings = [worker.block(event.wait, HANG) for worker in crew]
        wait_until(lambda: len(event._cond._waiters) == 2)
        with event._cond:
            event._cond.notify_all()
        assert [pending.result() for pending in pendings] == [True, True]
        assert event.is_set() is False


def test_a_timed_wait_that_is_looked_at_ends_in_its_time(kit: Kit) -> None:
    event = kit.threading.Event()
    with kit.workers(1) as [waiter]:
        pending = waiter.submit(event.wait, 5 * SHORT)
        assert event._cond is not None
        assert pending.result() is False
    assert len(event._cond._waiters) == 0


def test_an_events_condition_may_be_replaced(kit: Kit) -> None:
    event = kit.threading.Event()
    condition = event._cond = kit.threading.Condition(kit.threading.Lock())
    with kit.workers(1) as [waiter]:
        pending = waiter.block(event.wait)
        assert len(condition._waiters) == 1
        event.set()
        assert pending.result() is True


# Under a semaphore


@pytest.mark.parametrize("name", SEMAPHORES)
@pytest.mark.parametrize("materialized", ["before", "during"])
def test_the_condition_of_a_semaphore(kit: Kit, name: str, materialized: str) -> None:
    semaphore = getattr(kit.threading, name)(4)
    for _ in range(4):
        semaphore.acquire()
    if materialized == "before":
        assert semaphore._cond is semaphore._cond
    with kit.workers(4) as crew:
        pendings = [
            crew[0].block(semaphore.acquire),
            crew[1].block(semaphore.acquire, True, HANG),
        ]
        condition = semaphore._cond
        wait_until(lambda: len(condition._waiters) == 2)
        pendings.append(crew[2].block(semaphore.acquire))
        with condition:
            releaser = crew[3].block(semaphore.release, 2)
            assert semaphore._value == 0
        releaser.result()
        # The two that came first, in whatever order.
        assert [pending.result() for pending in pendings[:2]] == [True, True]
        assert not pendings[2].is_done()
        with condition:
            semaphore._value += 1
            condition.notify()
        assert pendings[2].result() is True
    assert semaphore._value == 0
    if name == "BoundedSemaphore":
        semaphore.release(4)
        with pytest.raises(ValueError, match="released too many times"):
            semaphore.release()


@pytest.mark.parametrize("name", SEMAPHORES)
def test_acquire_many_under_the_condition(kit: Kit, name: str) -> None:
    """A recipe that is often copied: take n at once."""
    semaphore = getattr(kit.threading, name)(3)

    def acquire_many(count: int) -> None:
        with semaphore._cond:
            while semaphore._value < count:
                semaphore._cond.wait(HANG)
            semaphore._value -= count

    acquire_many(2)
    with kit.workers(1) as [waiter]:
        pending = waiter.block(acquire_many, 2)
        semaphore.release()
        assert pending.result() is None
    assert semaphore._value == 0


# Under a barrier


@pytest.mark.parametrize("materialized", ["before", "during"])
def test_the_condition_of_a_barrier(kit: Kit, materialized: str) -> None:
    barrier = kit.threading.Barrier(3)
    if materialized == "before":
        assert barrier._cond is barrier._cond
    with kit.workers(2) as crew:
        for _ in range(3):
            pendings = [crew[0].block(barrier.wait), crew[1].block(barrier.wait, HANG)]
            wait_until(lambda: len(barrier._cond._waiters) == 2)
            assert barrier.wait() == 2
            # Threads that move over are counted again as they come.
            assert sorted(pending.result() for pending in pendings) == [0, 1]
        pendings = [worker.block(barrier.wait) for worker in crew]
        with barrier._cond:
            barrier._break()
        for pending in pendings:
            with pytest.raises(kit.threading.BrokenBarrierError):
                pending.result()
        assert barrier.broken is True


def test_a_barrier_that_never_calls_init(kit: Kit) -> None:
    """As multiprocessing's does: the parts are set one by one, two of them kept elsewhere."""

    class Child(kit.threading.Barrier):  # type: ignore[misc, name-defined]
        def __init__(self, parties: int) -> None:
            self.cells = [0, 0]
            self._parties, self._action, self._timeout = parties, None, None
            self._cond = kit.threading.Condition()
            self._state = 0
            self._count = 0

        @property
        def _state(self) -> int:
            return self.cells[0]

        @_state.setter
        def _state(self, value: int) -> None:
            self.cells[0] = value

        @property
        def _count(self) -> int:
            return self.cells[1]

        @_count.setter
        def _count(self, value: int) -> None:
            self.cells[1] = value

    barrier = Child(2)
    assert (barrier.parties, barrier.n_waiting, barrier.broken) == (2, 0, False)
    with kit.workers(1) as [other]:
        for _ in range(3):
            pending = other.block(barrier.wait)
            assert barrier.cells == [0, 1]
            assert barrier.n_waiting == 1
            assert (barrier.wait(), pending.result()) == (1, 0)
        assert barrier.cells == [0, 0]
        pending = other.block(barrier.wait)
        barrier.abort()
        with pytest.raises(kit.threading.BrokenBarrierError):
            pending.result()
    assert barrier.cells == [-2, 0]
    barrier.reset()
    assert barrier.cells == [0, 0]
    with pytest.raises(kit.threading.BrokenBarrierError):
        barrier.wait(SHORT)


# The waiters of a condition


@pytest.mark.parametrize("kind", ["Lock", "RLock"])
def test_the_waiters_of_a_condition(kit: Kit, kind: str) -> None:
    """How many there are, which is what programs look at."""
    condition = kit.threading.Condition(getattr(kit.threading, kind)())

    def wait() -> Any:
        with condition:
            return condition.wait(HANG)

    assert not condition._waiters
    with kit.workers(3) as crew:
        pendings = []
        for number, worker in enumerate(crew):
            pendings.append(worker.block(wait))
            wait_until(lambda: len(condition._waiters) == number + 1)  # noqa: B023
        for left in (2, 1, 0):
            with condition:
                condition.notify()
            wait_until(lambda: len(condition._waiters) == left)  # noqa: B023
        assert [pending.result() for pending in pendings] == [True] * 3
    assert not condition._waiters


# Objects that are not made the usual way


@pytest.mark.parametrize("name", ["Condition", "Barrier"])
def test_without_init(kit: Kit, name: str) -> None:
    """The class alone gives an object that misses its parts. The others have all they need."""
    cls = getattr(kit.threading, name)
    empty = cls.__new__(cls)
    method = {"Condition": "notify", "Barrier": "wait"}[name]
    missing = {"Condition": "_lock", "Barrier": "_timeout"}[name]
    with pytest.raises(AttributeError, match=f"'{name}' object has no attribute '{missing}'"):
        getattr(empty, method)()
    cls.__init__(empty, *((2,) if name == "Barrier" else ()))
    assert isinstance(empty, cls)


@pytest.mark.parametrize("name", [name for name in CLASSES if name != "Condition"])
def test_init_again(kit: Kit, name: str) -> None:
    """It is new again."""
    found = kit.make(name)
    arguments: tuple[Any, ...] = {"Barrier": (1,), "Condition": ()}.get(name, ())
    if name == "Event":
        found.set()
    elif name != "Condition":
        (found.abort if name == "Barrier" else found.acquire)()
    found.__init__(*arguments)
    if name == "Event":
        assert found.is_set() is False
    elif name == "Barrier":
        assert (found.broken, found.parties) == (False, 1)
        assert found.wait() == 0
    elif name == "Condition":
        with found:
            found.notify()
    else:
        assert found._value == 1


@pytest.mark.parametrize("name", [*CLASSES, "Queue", "LifoQueue", "PriorityQueue", "SimpleQueue"])
def test_not_pickled(kit: Kit, name: str) -> None:
    # A native class that is not installed cannot be found under its name either.
    words = r"cannot pickle '.+' object|it's not the same object as"
    with pytest.raises((TypeError, pickle.PicklingError), match=words):
        pickle.dumps(kit.make(name))
    with pytest.raises(TypeError, match=r"cannot pickle '.+' object"):
        copy.deepcopy(kit.make(name))


@pytest.mark.parametrize("name", ["Event", "Semaphore", "BoundedSemaphore"])
def test_a_copy_shares_the_condition(kit: Kit, name: str) -> None:
    """A copy has a value of its own and shares the condition under it."""
    found = kit.make(name)
    twin = copy.copy(found)
    assert type(twin) is type(found)
    assert twin._cond is found._cond
    if name == "Event":
        twin.set()
        assert (twin.is_set(), found.is_set()) == (True, False)
    else:
        twin.acquire()
        assert (twin._value, found._value) == (0, 1)


def test_barrier_copied(kit: Kit) -> None:
    found = kit.threading.Barrier(1)
    twin = copy.copy(found)
    assert type(twin) is type(found)
    assert twin._cond is found._cond
    twin.abort()
    assert (twin.broken, found.broken) == (True, False)


@pytest.mark.parametrize("name", ["Queue", "LifoQueue", "PriorityQueue"])
def test_queue_copied(kit: Kit, name: str) -> None:
    """A copy has counts of its own and shares the items."""
    found = kit.make(name)
    found.put(1)
    twin = copy.copy(found)
    assert type(twin) is type(found)
    assert (twin.mutex, twin.queue) == (found.mutex, found.queue)
    twin.put(2)
    assert (twin.unfinished_tasks, found.unfinished_tasks) == (2, 1)
    assert {found.get(), found.get()} == {1, 2}
    assert twin.empty()


# The object, the name of a part that is looked for late, what materializes the object, and what
# goes meanwhile.
@pytest.mark.parametrize(
    "case",
    [
        "threading.Event(), '_flag', '_cond', '_cond'",
        "threading.Semaphore(), '_value', '_cond', '_cond'",
        "threading.BoundedSemaphore(), '_initial_value', '_cond', '_cond'",
        "threading.Barrier(2), '_count', '_cond', '_cond'",
        "queue.Queue(), 'maxsize', 'mutex', 'queue'",
        "queue.LifoQueue(), 'is_shutdown', 'mutex', 'queue'",
        "queue.PriorityQueue(), 'not_full', 'mutex', 'mutex'",
    ],
)
def test_a_part_that_goes_during_materialization_is_not_used(ours: Kit, case: str) -> None:
    """A part that is taken out of the dict during materialization is not used after it."""
    source = f"""
        class Name(str):
            __hash__ = str.__hash__

            def __eq__(self, other):
                for dict_ in gc.get_referents(found):
                    if opens and type(dict_) is dict:
                        dict_.pop(gone, None)
                return False

        found, name, part, gone = {case}
        opens = False
        setattr(found, Name(name), 1)
        opens = True
        try:
            getattr(found, part)
        except AttributeError:
            pass
        print("fine")
    """
    # Memory that was freed does not look as before.
    check_on(ours, source, env={"PYTHONMALLOC": "debug"})
