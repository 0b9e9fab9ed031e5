"""Nothing is kept that is not needed: cycles are collected, references given back."""

from __future__ import annotations

import gc
import sys
import sysconfig
import weakref
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from kits import CLASSES, QUEUES, Kit, gives_up

from support import HANG, collect_until

pytestmark = pytest.mark.thread_unsafe(reason="looks at all objects of the process")

ORDERED = ("Queue", "LifoQueue", "PriorityQueue")
ROUNDS = 1000
FREE_THREADED = bool(sysconfig.get_config_var("Py_GIL_DISABLED"))


@pytest.fixture(autouse=True)
def _no_leftovers() -> Iterator[None]:
    gc.collect()
    yield
    gc.collect()


class Thing:
    """Something that takes weak references, and is smaller than nothing."""

    def __lt__(self, other: object) -> bool:
        return False


def collected(make: Callable[[], Any]) -> None:
    """What `make` gives, by a reference to it, is gone after a collection."""
    reference = make()
    collect_until(lambda: reference() is None)


# Cycles


@pytest.mark.parametrize("name", [*CLASSES, *ORDERED])
def test_a_cycle_through_an_attribute(kit: Kit, name: str) -> None:
    def make() -> Any:
        found = kit.make(name)
        found.me = found
        return weakref.ref(found)

    collected(make)


@pytest.mark.parametrize("name", [*CLASSES, *ORDERED])
def test_a_cycle_through_an_instance_of_a_subclass(kit: Kit, name: str) -> None:
    def make() -> Any:
        base = getattr(kit.queue if name in QUEUES else kit.threading, name)
        Child = type("Child", (base,), {})
        found: Any = Child(*((2,) if name == "Barrier" else ()))
        Child.instance = found  # type: ignore[attr-defined]
        return weakref.ref(Child)

    collected(make)


def test_a_cycle_through_the_lock_of_a_condition(kit: Kit) -> None:
    class Lock:
        def acquire(self, *args: Any) -> bool:
            return True

        def release(self) -> None:
            pass

        locked = acquire

    def make() -> Any:
        lock = Lock()
        lock.condition = kit.threading.Condition(lock)  # type: ignore[attr-defined]
        return weakref.ref(lock)

    collected(make)


def test_a_cycle_through_the_action_of_a_barrier(kit: Kit) -> None:
    class Owner:
        def __init__(self) -> None:
            self.barrier = kit.threading.Barrier(1, self.act)

        def act(self) -> None:
            pass

    def make() -> Any:
        owner = Owner()
        owner.barrier.wait()
        return weakref.ref(owner)

    collected(make)


@pytest.mark.parametrize("name", QUEUES)
def test_a_cycle_through_an_item(kit: Kit, name: str) -> None:
    def make() -> Any:
        q = kit.make(name)
        for _ in range(3):
            thing = Thing()
            thing.queue = q  # type: ignore[attr-defined]
            q.put(thing)
        return weakref.ref(thing)

    collected(make)


@pytest.mark.parametrize("name", [*CLASSES, *ORDERED])
def test_a_cycle_of_one_that_was_looked_into(kit: Kit, name: str) -> None:
    def make() -> Any:
        found = kit.make(name)
        found.me = found
        _ = found.mutex if name in QUEUES else found._lock if name == "Condition" else found._cond
        return weakref.ref(found)

    collected(make)


# What dies, and when


@pytest.mark.parametrize("name", [*CLASSES, *QUEUES])
def test_dies_at_once(kit: Kit, name: str) -> None:
    """Without the collector: it makes no cycle of its own."""
    gc.disable()
    try:
        for _ in range(100):
            found = kit.make(name)
            reference = weakref.ref(found)
            del found
            assert reference() is None
    finally:
        gc.enable()


def test_a_condition_keeps_its_lock_and_no_longer(kit: Kit) -> None:
    lock = kit.threading.Lock()
    reference = weakref.ref(lock)
    condition = kit.threading.Condition(lock)
    del lock
    gc.collect()
    assert reference() is condition._lock
    acquire = condition.acquire
    del condition
    gc.collect()
    # A method of it is enough.
    assert reference() is not None
    assert acquire(False) is True
    del acquire
    collect_until(lambda: reference() is None)


@pytest.mark.parametrize("name", ["Event", "Semaphore", "Barrier", "Queue", "SimpleQueue"])
def test_one_that_is_waited_for_outlives_its_last_name(kit: Kit, name: str) -> None:
    found = kit.make("Semaphore") if name == "Semaphore" else kit.make(name)
    if name == "Semaphore":
        found.acquire()
    wait, end = {
        "Event": ("wait", "set"),
        "Semaphore": ("acquire", "release"),
        "Barrier": ("wait", "wait"),
    }.get(name, ("get", "put"))
    reference = weakref.ref(found)
    with kit.workers(1) as [waiter]:
        pending = waiter.block(getattr(found, wait))
        del found
        gc.collect()
        found = reference()
        assert found is not None
        getattr(found, end)(*((1,) if end == "put" else ()))
        pending.result()
        del found, pending
        collect_until(lambda: reference() is None)


@pytest.mark.parametrize("name", QUEUES)
def test_a_queue_keeps_an_item_until_it_is_taken(kit: Kit, name: str) -> None:
    q = kit.make(name)
    thing = Thing()
    reference = weakref.ref(thing)
    q.put(thing)
    del thing
    gc.collect()
    assert reference() is not None
    q.get()
    collect_until(lambda: reference() is None)
    q.put(Thing())
    reference = weakref.ref(q.get())
    collect_until(lambda: reference() is None)


@pytest.mark.parametrize("name", QUEUES)
def test_an_item_handed_over_is_let_go(kit: Kit, name: str) -> None:
    """Straight from the putter to a getter that waits."""
    q = kit.make(name)
    with kit.workers(1) as [getter]:
        pending = getter.block(q.get)
        thing = Thing()
        reference = weakref.ref(thing)
        q.put(thing)
        del thing
        assert pending.result() is reference()
        del pending
        collect_until(lambda: reference() is None)


# References given back. A leak of one a round is far more than the slack.

SLACK = 50


def references(probe: object, action: Callable[[], object]) -> int:
    action()
    gc.collect()
    before = sys.getrefcount(probe)
    for _ in range(ROUNDS):
        action()
    gc.collect()
    return sys.getrefcount(probe) - before


@pytest.mark.parametrize("name", QUEUES)
def test_a_queue_keeps_no_reference_to_an_item(kit: Kit, name: str) -> None:
    q = kit.make(name)
    thing = Thing()
    last = {"timeout": 0} if gives_up(kit, type(q)) else {"block": False}

    def action() -> None:
        q.put(thing)
        q.put_nowait(thing)
        q.put(thing, block=True, timeout=None)
        for get in (q.get, q.get_nowait, lambda: q.get(block=False, timeout=None)):
            assert get() is thing
        with pytest.raises(kit.queue.Empty):
            q.get(**last)

    assert references(thing, action) == 0


@pytest.mark.parametrize("name", ORDERED)
def test_items_that_find_no_room(kit: Kit, name: str) -> None:
    q = getattr(kit.queue, name)(1)
    thing = Thing()
    q.put(thing)

    def action() -> None:
        for way in ((False,), (True, 0), (True, 1e-6)):
            with pytest.raises(kit.queue.Full):
                q.put(thing, *way)

    assert references(thing, action) == 0


def test_the_lock_of_a_condition(kit: Kit) -> None:
    for lock in (kit.threading.Lock(), kit.threading.RLock(), kit.threading._PyRLock()):

        def action(lock: Any = lock) -> None:
            condition = kit.threading.Condition(lock)
            with condition:
                condition.notify()
                condition.notify_all()
                condition.wait(0)
                condition.wait_for(lambda: False, 0)
            with pytest.raises(RuntimeError):
                condition.notify()

        assert references(lock, action) == 0


def test_predicates_and_what_they_give(kit: Kit) -> None:
    condition = kit.threading.Condition()
    thing = Thing()

    def predicate() -> Thing:
        return thing

    def action() -> None:
        with condition:
            assert condition.wait_for(predicate) is thing
            assert condition.wait_for(predicate=predicate, timeout=None) is thing

    assert references(thing, action) == 0
    assert references(predicate, action) == 0


def test_the_parts_of_a_barrier(kit: Kit) -> None:
    timeout = 12345.678

    class Action:
        def __call__(self) -> None:
            pass

    act = Action()

    def action() -> None:
        barrier = kit.threading.Barrier(1, act, timeout)
        barrier.wait()
        assert barrier._action is act
        barrier._action = None
        barrier._action = act
        barrier.reset()

    assert references(act, action) == 0
    assert references(timeout, action) == 0


@pytest.mark.parametrize("name", ["Semaphore", "BoundedSemaphore"])
def test_the_value_of_a_semaphore(kit: Kit, name: str) -> None:
    value = 10**6
    one = 321

    def action() -> None:
        semaphore = getattr(kit.threading, name)(value)
        assert semaphore._value == value
        semaphore._value = 0
        semaphore.release(one)
        with semaphore:
            pass
        with pytest.raises(TypeError):
            semaphore.release(())

    assert references(value, action) == 0
    assert references(one, action) == 0


@pytest.mark.parametrize("name", [*CLASSES, *QUEUES])
def test_objects_and_their_classes(kit: Kit, name: str) -> None:
    """As many objects of the collector's as before, and no reference to the class."""
    cls = type(kit.make(name))

    def action() -> None:
        found = kit.make(name)
        repr(found)
        if name not in QUEUES:
            found.extra = found

    gc.collect()
    before = len(gc.get_objects())
    held = references(cls, action)
    # Without the GIL each thread counts references to classes by itself, and not all are seen.
    if not FREE_THREADED:
        assert abs(held) <= SLACK
    gc.collect()
    assert len(gc.get_objects()) - before < SLACK


@pytest.mark.parametrize("name", ["Event", "Condition", "Semaphore", "Queue"])
def test_waits_that_time_out(kit: Kit, name: str) -> None:
    found = kit.threading.Semaphore(0) if name == "Semaphore" else kit.make(name)

    def action() -> None:
        if name == "Queue":
            with pytest.raises(kit.queue.Empty):
                found.get(timeout=1e-6)
        elif name == "Condition":
            with found:
                found.wait(1e-6)
        elif name == "Event":
            found.wait(1e-6)
        else:
            found.acquire(timeout=1e-6)

    gc.collect()
    before = len(gc.get_objects())
    assert references(found, action) == 0
    assert len(gc.get_objects()) - before < SLACK


def test_hand_overs_between_threads(kit: Kit) -> None:
    there, back = kit.threading.Event(), kit.queue.Queue()
    thing = Thing()

    def answer() -> None:
        while there.wait(HANG):
            there.clear()
            item = back.get(timeout=HANG)
            done.put(item)
            if item is None:
                return
            del item

    done = kit.queue.SimpleQueue()
    with kit.workers(1) as [other]:
        pending = other.submit(answer)
        before = sys.getrefcount(thing)
        for _ in range(200):
            back.put(thing)
            there.set()
            assert done.get(timeout=HANG) is thing
        back.put(None)
        there.set()
        pending.result()
    collect_until(lambda: sys.getrefcount(thing) == before)
