"""A queue used by what runs in the midst of its own put or get: finalizers, callbacks, handlers.

Stock promises this of SimpleQueue alone. The others deadlock there, so only rthread's are tried.
"""

from __future__ import annotations

import collections
import random
import time
from typing import Any

import pytest
from kits import Kit, check_on

ORDERED = ["Queue", "LifoQueue", "PriorityQueue"]
every = pytest.mark.parametrize("name", [*ORDERED, "SimpleQueue"])

# Each snippet gives `make`, the class to try; a re-entry is counted so that there are some.
SNIPPET = """
import sysconfig
# Without a GIL every collection is a whole one.
ROUNDS = 100 if sysconfig.get_config_var("Py_GIL_DISABLED") else 3000
make = getattr(queue, sys.argv[2])
reentered = 0
inside = False
q = make()

def use():
    # What runs in the midst of something else: put and get, and what only looks.
    global reentered
    reentered += inside
    q.put(0)
    q.qsize(), q.empty()
    try:
        q.get_nowait()
    except queue.Empty:
        pass

def work(rounds):
    global inside
    for number in range(rounds):
        inside = True
        q.put(number)
        q.get()
        inside = False
        yield number
"""


def run(kit: Kit, name: str, source: str, **options: Any) -> None:
    assert kit.queue is not None
    check_on(kit, SNIPPET + source, name, **options)


def kit_for(kit: Kit, name: str) -> Kit:
    if kit.is_stock and name != "SimpleQueue":
        pytest.skip("the stock class may deadlock: only rthread promises this")
    return kit


@every
def test_from_a_finalizer_of_a_cycle(kit: Kit, name: str) -> None:
    """The collector runs at any allocation, the queue's own included."""
    run(
        kit_for(kit, name),
        name,
        """
finalized = 0
class Cycle:
    def __init__(self):
        self.me = self
    def __del__(self):
        global finalized
        finalized += 1
        use()
gc.set_threshold(1, 1, 1)
for number in work(ROUNDS):
    Cycle()
    gc.collect(0)
gc.collect()
assert finalized >= ROUNDS * 2 // 3, finalized
print("fine")
""",
    )


@every
def test_from_a_weakref_callback(kit: Kit, name: str) -> None:
    run(
        kit_for(kit, name),
        name,
        """
import weakref
called = 0
def callback(reference):
    global called
    called += 1
    use()
class Thing: pass
gc.set_threshold(1, 1, 1)
references = []
for number in work(ROUNDS):
    thing = Thing()
    thing.me = thing
    references.append(weakref.ref(thing, callback))
    del thing
    gc.collect(0)
gc.collect()
assert called >= ROUNDS * 2 // 3, called
print("fine")
""",
    )


@every
def test_from_a_gc_callback(kit: Kit, name: str) -> None:
    run(
        kit_for(kit, name),
        name,
        """
called = 0
def callback(phase, info):
    global called
    called += 1
    use()
gc.callbacks.append(callback)
gc.set_threshold(1, 1, 1)
for number in work(ROUNDS):
    [[]]
    gc.collect(0)
gc.callbacks.clear()
assert called >= ROUNDS // 3, called
print("fine")
""",
    )


@every
def test_from_a_signal_handler(kit: Kit, name: str) -> None:
    """Between any two steps of put and get."""
    run(
        kit_for(kit, name),
        name,
        """
called = 0
def handler(number, frame):
    global called
    called += 1
    use()
signal.signal(signal.SIGALRM, handler)
signal.setitimer(signal.ITIMER_REAL, 0.0002, 0.0002)
for number in work(1000000):
    if called >= 500:
        break
signal.setitimer(signal.ITIMER_REAL, 0)
assert called >= 500
while not q.empty():
    q.get()
print("fine")
""",
    )


@every
def test_from_the_finalizer_of_an_item(kit: Kit, name: str) -> None:
    """Dropped by its getter, by a queue that dies, and by a put that finds no room."""
    run(
        kit_for(kit, name),
        name,
        """
finalized = 0
class Item:
    def __lt__(self, other):
        return False
    def __del__(self):
        global finalized
        finalized += 1
        other.put(1)
        if self.queue is not None:
            self.queue.put(2)
            self.queue.qsize()
other = make()
for number in range(100):
    q = make() if make is queue.SimpleQueue else make(1)
    item = Item()
    item.queue = q
    q.put(item)
    del item
    # Dropped with nothing else holding it.
    q.get()
    assert q.get() == 2
for number in range(100):
    q = make()
    for _ in range(3):
        item = Item()
        item.queue = None
        q.put(item)
    del item
    del q
gc.collect()
assert finalized == 400 == other.qsize(), finalized
print("fine")
""",
    )


@pytest.mark.parametrize("name", ORDERED)
def test_from_the_finalizer_of_an_item_that_shutdown_drops(ours: Kit, name: str) -> None:
    run(
        ours,
        name,
        """
seen = []
class Item:
    def __lt__(self, other):
        return False
    def __del__(self):
        try:
            q.put(1)
        except queue.ShutDown:
            seen.append(q.qsize())
for _ in range(5):
    q.put(Item())
q.shutdown(immediate=True)
assert len(seen) == 5, seen
assert q.qsize() == q.unfinished_tasks == 0
print("fine")
""",
    )


# Comparisons: PriorityQueue runs the user's


class Rank:
    """An item whose comparison does something first."""

    def __init__(self, rank: int, act: Any = None) -> None:
        self.rank = rank
        self.act = act

    def __lt__(self, other: Rank) -> bool:
        if self.act is not None:
            self.act()
        return self.rank < other.rank


def drain(q: Any) -> list[Any]:
    return [q.get_nowait() for _ in range(q.qsize())]


@pytest.mark.parametrize("error", [ZeroDivisionError, KeyboardInterrupt])
def test_a_comparison_that_raises_locks_nothing(kit: Kit, error: Any) -> None:
    q = kit.queue.PriorityQueue()
    ill = False

    def act() -> None:
        if ill:
            raise error

    for rank in (1, 2, 3, 4):
        q.put(Rank(rank, act))
    ill = True
    with pytest.raises(error):
        q.put(Rank(0, act))
    with pytest.raises(error):
        q.get()
    ill = False
    with kit.workers(1) as [other]:
        assert other.do(q.put, Rank(9)) is None
        assert isinstance(other.do(q.get), Rank)
    assert not q.mutex.locked()


def test_a_get_that_raises_loses_nothing(ours: Kit) -> None:
    """Stock takes the item off before it compares the rest, and loses it."""
    q = ours.queue.PriorityQueue()
    ill = False

    def act() -> None:
        if ill:
            raise ZeroDivisionError

    ranks = [Rank(rank, act) for rank in range(8)]
    for rank in ranks:
        q.put(rank)
    for _ in range(3):
        ill = True
        with pytest.raises(ZeroDivisionError):
            q.get()
        ill = False
        assert q.qsize() == q.unfinished_tasks == 8
    assert collections.Counter(drain(q)) == collections.Counter(ranks)


def test_a_put_that_raises_loses_nothing(ours: Kit) -> None:
    """Not of what was in before; the new one is either in and counted, or not in."""
    q = ours.queue.PriorityQueue()
    ill = False

    def act() -> None:
        if ill:
            raise ZeroDivisionError

    ranks = [Rank(rank, act) for rank in range(8)]
    for rank in ranks:
        q.put(rank)
    ill = True
    with pytest.raises(ZeroDivisionError):
        q.put(Rank(-1, act))
    ill = False
    assert q.qsize() == q.unfinished_tasks
    assert set(ranks) <= set(drain(q))


@pytest.mark.parametrize("seed", range(5))
def test_comparisons_that_put_into_the_same_queue(ours: Kit, seed: int) -> None:
    rng = random.Random(seed)
    q = ours.queue.PriorityQueue()
    busy = False
    put = 0

    def act() -> None:
        nonlocal busy, put
        # One level deep: each of those puts compares too.
        if not busy:
            busy = True
            q.put(Rank(rng.randrange(100)))
            put += 1
            busy = False

    for _ in range(50):
        q.put(Rank(rng.randrange(100), act))
        put += 1
    assert put > 60
    assert q.qsize() == q.unfinished_tasks == put
    busy = True
    got = 0
    while not q.empty():
        q.get()
        got += 1
    assert got == put


@pytest.mark.parametrize("seed", range(5))
def test_comparisons_that_get_from_the_same_queue(ours: Kit, seed: int) -> None:
    rng = random.Random(seed)
    q = ours.queue.PriorityQueue()
    busy = False
    taken: list[Any] = []

    def act() -> None:
        nonlocal busy
        if not busy and rng.random() < 0.2:
            busy = True
            try:
                taken.append(q.get_nowait())
            except ours.queue.Empty:
                pass
            busy = False

    ranks = [Rank(rng.randrange(100), act) for _ in range(100)]
    for rank in ranks:
        q.put(rank)
    assert taken
    while not q.empty():
        taken.append(q.get())
    # Each once.
    assert collections.Counter(taken) == collections.Counter(ranks)
    assert q.unfinished_tasks == 100


@pytest.mark.parametrize("yielding", [True, False])
def test_comparisons_in_several_threads(kit: Kit, yielding: bool) -> None:
    """Each item comes out once; what is in at the end comes out in order."""
    q = kit.queue.PriorityQueue()
    act = (lambda: time.sleep(0)) if yielding else None

    def work(number: int) -> list[Any]:
        rng = random.Random(number)
        got = []
        for turn in range(100):
            q.put(Rank(rng.randrange(1000), act))
            if turn % 3 == 0:
                got.append(q.get())
        return got

    with kit.workers(4) as crew:
        pendings = [worker.submit(work, number) for number, worker in enumerate(crew)]
        got = [item for pending in pendings for item in pending.result()]
    rest = drain(q)
    assert [item.rank for item in rest] == sorted(item.rank for item in rest)
    assert len(set(got)) == len(got) == 4 * 34
    assert len({*got, *rest}) == 400


def test_comparisons_of_others_do_not_hold_up_the_rest(ours: Kit) -> None:
    """While one thread compares, others can look, and put and get.

    On stock the whole queue is locked meanwhile.
    """
    q = ours.queue.PriorityQueue()
    comparing, go_on = ours.threading.Event(), ours.threading.Event()
    looked: list[int] = []

    def act() -> None:
        comparing.set()
        assert go_on.wait(60)

    q.put(Rank(1))
    with ours.workers(2) as [slow, other]:
        pending = slow.submit(q.put, Rank(0, act))
        assert comparing.wait(60)
        try:
            looked.append(other.do(q.qsize))
        finally:
            go_on.set()
        pending.result()
    assert looked[0] in (1, 2)
    assert q.qsize() == 2
