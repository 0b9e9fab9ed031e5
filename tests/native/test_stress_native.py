"""Several threads, all of the classes at once, time-outs at random: the counts have to add up."""

from __future__ import annotations

import random
import time
from typing import Any

import pytest
from kits import Kit

from support import HANG

ORDERED = ["Queue", "LifoQueue", "PriorityQueue"]


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("name", [*ORDERED, "SimpleQueue"])
def test_each_item_comes_out_once(kit: Kit, name: str, seed: int) -> None:
    """Each item that went in comes out once, by any way to wait."""
    cls = getattr(kit.queue, name)
    q = cls() if name == "SimpleQueue" else cls(3)
    producers = 3

    def produce(number: int) -> list[Any]:
        rng = random.Random(seed * 10 + number)
        put = []
        for turn in range(300):
            way: tuple[Any, ...] = rng.choice([(), (False,), (True, 0), (True, 0.0005)])
            try:
                q.put((number, turn), *way)
            except kit.queue.Full:
                continue
            put.append((number, turn))
        return put

    def consume(number: int) -> list[Any]:
        rng = random.Random(seed * 10 + number + 5)
        got = []
        while True:
            way: tuple[Any, ...] = rng.choice([(), (False,), (True, 0), (True, 0.0005)])
            try:
                item = q.get(*way)
            except kit.queue.Empty:
                continue
            if name != "SimpleQueue":
                q.task_done()
            # Larger than all others.
            if item[0] == 99:
                return got
            got.append(item)

    with kit.workers(producers + 3) as crew:
        producing = [crew[n].submit(produce, n) for n in range(producers)]
        consuming = [crew[producers + n].submit(consume, n) for n in range(3)]
        put = [item for pending in producing for item in pending.result()]
        if name == "LifoQueue":
            q.join()
        for n in range(3):
            q.put((99, n))
        got = [item for pending in consuming for item in pending.result()]
    while not q.empty():
        got.append(q.get_nowait())
    assert sorted(got) == sorted(put)
    # At least those that were put without a time-out.
    assert len(put) > 100


@pytest.mark.parametrize("kind", ["Lock", "RLock"])
def test_a_pool_of_tokens(kit: Kit, kind: str) -> None:
    """Built on a condition: takers and givers, time-outs and notifications of all sizes."""
    condition = kit.threading.Condition(getattr(kit.threading, kind)())
    tokens = 0
    stop = False

    def take(number: int) -> int:
        nonlocal tokens
        rng = random.Random(number)
        taken = 0

        def is_over() -> bool:
            return tokens > 0 or stop

        while not stop:
            with condition:
                timeout = rng.choice([0, 0.0002, 0.001, HANG])
                if condition.wait_for(is_over, timeout) and tokens > 0:
                    tokens -= 1
                    taken += 1
        return taken

    def give(number: int) -> int:
        nonlocal tokens
        rng = random.Random(number)
        given = 0
        for _ in range(300):
            count = rng.randrange(4)
            with condition:
                tokens += count
                given += count
                if rng.random() < 0.5:
                    condition.notify(count)
                else:
                    condition.notify_all()
            if rng.random() < 0.1:
                time.sleep(0)
        return given

    with kit.workers(6) as crew:
        takers = [crew[n].submit(take, n) for n in range(4)]
        givers = [crew[4 + n].submit(give, n) for n in range(2)]
        given = sum(pending.result() for pending in givers)
        with condition:
            stop = True
            condition.notify_all()
        taken = sum(pending.result() for pending in takers)
    assert taken + tokens == given
    assert len(condition._waiters) == 0


def test_all_at_once(kit: Kit) -> None:
    """A pipeline that meets at a barrier after each round, some threads short of permits."""
    count, rounds = 4, 40
    results = []
    q = kit.queue.Queue(2)
    semaphore = kit.threading.BoundedSemaphore(2)
    go = [kit.threading.Event() for _ in range(rounds)]
    ended: list[int] = []
    barrier = kit.threading.Barrier(count + 1, lambda: ended.append(len(ended)))

    def work(number: int) -> int:
        rng = random.Random(number)
        items = 0
        for event in go:
            while not event.wait(rng.choice([0.0005, HANG])):
                pass
            while True:
                item = q.get(timeout=HANG)
                while not semaphore.acquire(timeout=rng.choice([0.0005, HANG])):
                    pass
                try:
                    if item is None:
                        break
                    items += 1
                    results.append(item)
                finally:
                    semaphore.release()
                    q.task_done()
            barrier.wait(HANG)
        return items

    with kit.workers(count) as crew:
        pendings = [worker.submit(work, number) for number, worker in enumerate(crew)]
        for turn, event in enumerate(go):
            event.set()
            for number in range(20):
                q.put((turn, number), timeout=HANG)
            for _ in range(count):
                q.put(None, timeout=HANG)
            q.join()
            barrier.wait(HANG)
            assert len(ended) == turn + 1
            assert len(results) == 20 * (turn + 1)
        assert sum(pending.result() for pending in pendings) == 20 * rounds
    assert sorted(results) == [(turn, number) for turn in range(rounds) for number in range(20)]
    assert semaphore._value == 2
    assert barrier.n_waiting == 0
    assert q.unfinished_tasks == q.qsize() == 0


@pytest.mark.parametrize("name", ["Event", "Semaphore", "Condition", "Barrier", "Queue"])
def test_looked_into_while_all_are_at_work(kit: Kit, name: str) -> None:
    """A thread reads private attributes at a random moment; no other notices."""
    threading = kit.threading
    for turn in range(15):
        rng = random.Random(turn)
        found = {
            "Event": threading.Event,
            "Semaphore": lambda: threading.Semaphore(2),
            "Condition": threading.Condition,
            "Barrier": lambda: threading.Barrier(3),
            "Queue": lambda: kit.queue.Queue(2),
        }[name]()
        counted = [0, 0, 0]

        def work(
            number: int, found: Any = found, counted: list[int] = counted, seed: int = turn
        ) -> None:
            rng = random.Random(seed * 3 + number)
            for _ in range(60):
                if name == "Event":
                    found.set() if number else found.wait(HANG)
                elif name == "Semaphore":
                    with found:
                        time.sleep(0)
                elif name == "Condition":
                    with found:
                        found.wait(rng.choice([0, 0.0002]))
                        found.notify()
                elif name == "Barrier":
                    found.wait(HANG)
                elif number == 0:
                    assert found.get(timeout=HANG) in (1, 2)
                else:
                    found.put(number, timeout=HANG)
                counted[number] += 1

        def drink(found: Any = found) -> int:
            for _ in range(60):
                assert found.get(timeout=HANG) in (1, 2)
            return 60

        with kit.workers(4) as crew:
            pendings = [crew[n].submit(work, n) for n in range(3)]
            time.sleep(rng.random() * 0.002)
            part = {"Condition": "_waiters", "Queue": "mutex"}.get(name, "_cond")
            assert getattr(found, part) is not None
            if name == "Queue":
                assert crew[3].do(drink) == 60
            for pending in pendings:
                pending.result()
        assert counted == [60] * 3
        if name == "Semaphore":
            assert found._value == 2
        elif name == "Barrier":
            assert found.n_waiting == 0
        elif name == "Queue":
            assert found.qsize() == 0
            assert found.unfinished_tasks == 120
        elif name == "Condition":
            assert len(found._waiters) == 0
