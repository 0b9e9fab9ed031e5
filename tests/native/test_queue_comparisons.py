"""PriorityQueue runs the comparisons of its items: those that raise, and those that use it."""

from __future__ import annotations

import collections
import random
import time
from typing import Any

import pytest
from kits import Kit


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
    """Not of what was in before; the new one is in and not counted, as with `heappush`."""
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
    assert (q.qsize(), q.unfinished_tasks) == (9, 8)
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
