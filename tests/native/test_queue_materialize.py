"""Queues that are looked into, initialised again or interrupted while threads wait in them."""

from __future__ import annotations

import collections
import contextlib
import random
import sysconfig
import threading
import time
from typing import Any

import pytest
from kits import SHORT, Kit, check_on

from support import HANG, wait_until


@pytest.fixture(params=["Queue", "LifoQueue", "PriorityQueue"])
def make(kit: Kit, request: pytest.FixtureRequest) -> Any:
    return getattr(kit.queue, request.param)


def done(pendings: list[Any]) -> list[bool]:
    return [pending.is_done() for pending in pendings]


# The order of those that wait


def test_getters_are_served_in_the_order_in_which_they_came(kit: Kit, make: Any) -> None:
    q = make()
    with kit.workers(4) as crew:
        getters = [worker.block(q.get) for worker in crew[:3]]
        assert len(q.not_empty._waiters) == 3
        getters.append(crew[3].block(q.get))
        for served, getter in enumerate(getters):
            q.put(served)
            assert getter.result() == served
            assert done(getters) == [True] * (served + 1) + [False] * (3 - served)


def test_putters_are_let_in_in_the_order_in_which_they_came(kit: Kit, make: Any) -> None:
    q = make(1)
    q.put(0)
    with kit.workers(3) as crew:
        putters = [worker.block(q.put, number) for number, worker in enumerate(crew, 1)]
        assert len(q.not_full._waiters) == 3
        for served, putter in enumerate(putters):
            assert q.get() == served
            putter.result()
            assert done(putters) == [True] * (served + 1) + [False] * (2 - served)
    assert q.get() == 3
    assert q.unfinished_tasks == 4


def test_all_joins_go_on_at_the_end_of_the_work(kit: Kit, make: Any) -> None:
    q = make()
    q.put(1)
    with kit.workers(3) as crew:
        joiners = [worker.block(q.join) for worker in crew]
        assert len(q.all_tasks_done._waiters) == 3
        q.task_done()
        assert [joiner.result() for joiner in joiners] == [None] * 3


def test_a_getter_is_not_moved_by_a_poll(kit: Kit, make: Any) -> None:
    q = make()
    with kit.workers(2) as crew:
        getters = [worker.block(q.get) for worker in crew]
        for _ in range(3):
            with pytest.raises(kit.queue.Empty):
                q.get_nowait()
        for served, getter in enumerate(getters):
            q.put(served)
            assert getter.result() == served


def test_a_putter_is_not_moved_by_a_poll(kit: Kit, make: Any) -> None:
    q = make(1)
    q.put(0)
    with kit.workers(2) as crew:
        putters = [worker.block(q.put, number) for number, worker in enumerate(crew, 1)]
        for _ in range(3):
            with pytest.raises(kit.queue.Full):
                q.put_nowait(9)
        for served, putter in enumerate(putters):
            assert q.get() == served
            putter.result()


# Looks and re-initialisation at any moment


@pytest.mark.parametrize("look", ["vars", "mutex", "queue", "unfinished_tasks"])
def test_looks_at_any_moment_lose_nothing(kit: Kit, make: Any, look: str) -> None:
    """Every item comes out once, and every thread comes to its end."""

    def peep(q: Any) -> None:
        if look == "unfinished_tasks":
            with q.all_tasks_done:
                q.unfinished_tasks += 0
        elif look == "vars":
            vars(q)
        else:
            getattr(q, look)

    chance = random.Random(f"{make.__name__}{look}")
    for _ in range(30):
        q = make(chance.choice((0, 1, 3)))
        got: list[int] = []

        def put(first: int, q: Any = q) -> None:
            for number in range(first, first + 10):
                q.put(number, timeout=HANG)

        def get(q: Any = q, got: list[int] = got) -> None:
            for _ in range(10):
                got.append(q.get(timeout=HANG))
                q.task_done()

        with kit.workers(5) as crew:
            pendings = [crew[0].submit(put, 0), crew[1].submit(put, 10)]
            pendings += [crew[2].submit(get), crew[3].submit(get)]
            time.sleep(chance.random() / 2000)
            pendings.append(crew[4].submit(peep, q))
            for pending in pendings:
                pending.result()
        q.join()
        assert sorted(got) == list(range(20))
        assert q.empty()


def test_a_second_init_while_others_wait(kit: Kit, make: Any) -> None:
    """They go on waiting in the old one, as if it had not been initialised again.

    A thread that has come so late that it does not wait yet may take the old condition and wait for
    the new one, and get a RuntimeError for that, as on stock.
    """
    undisturbed = 0
    for _ in range(20):
        q = make()
        said: collections.Counter[str] = collections.Counter()

        def get(q: Any = q, said: Any = said) -> None:
            try:
                q.get(timeout=5 * SHORT)
            except kit.queue.Empty:
                said["Empty"] += 1
            except RuntimeError as error:
                said[str(error)] += 1

        with kit.workers(3) as crew:
            pendings = [crew[0].block(get), crew[1].block(get)]
            crew[2].do(q.__init__, 5)
            for pending in pendings:
                pending.result()
        assert said["Empty"] + said["cannot wait on un-acquired lock"] == 2
        undisturbed += said["Empty"] == 2
        assert q.maxsize == 5
        q.put(1)
        assert q.get() == 1
    assert undisturbed


def test_inits_at_once(kit: Kit, make: Any) -> None:
    for _ in range(20):
        q = make()
        with kit.workers(3) as crew:
            begin = threading.Barrier(3)

            def initialise(q: Any = q, begin: Any = begin) -> None:
                begin.wait(HANG)
                q.__init__(2)

            for pending in [worker.submit(initialise) for worker in crew]:
                pending.result()
        if sysconfig.get_config_var("Py_GIL_DISABLED"):
            # Without a GIL the parts may be of several calls, on stock too: it only must not hang.
            with contextlib.suppress(RuntimeError):
                q.put(1, timeout=HANG)
            continue
        q.put(1, timeout=HANG)
        q.put(2, timeout=HANG)
        assert q.full()
        assert {q.get(timeout=HANG), q.get(timeout=HANG)} == {1, 2}


def test_a_queue_that_is_looked_into_by_a_comparison(kit: Kit) -> None:
    """The item of the put that compares is in afterwards, and in its place."""

    class Curious:
        def __init__(self, rank: int, q: Any) -> None:
            self.rank, self.q = rank, q

        def __lt__(self, other: Any) -> bool:
            assert isinstance(self.q.queue, list)
            return self.rank < other.rank

    q = kit.queue.PriorityQueue()
    for rank in (3, 1, 2, 0):
        q.put(Curious(rank, q))
    assert q.unfinished_tasks == 4
    assert [q.get().rank for _ in range(4)] == [0, 1, 2, 3]


# Shut down and looked into


def test_looks_at_one_that_is_shut_down(shut_kit: Kit) -> None:
    for name in ("Queue", "LifoQueue", "PriorityQueue"):
        q = getattr(shut_kit.queue, name)(2)
        q.put(1)
        q.shutdown()
        assert vars(q)["is_shutdown"] is True
        with pytest.raises(shut_kit.queue.ShutDown):
            q.put(2)
        assert q.get() == 1
        with pytest.raises(shut_kit.queue.ShutDown):
            q.get()


def test_waiters_of_one_that_was_looked_into_hear_of_its_end(shut_kit: Kit) -> None:
    for name in ("Queue", "LifoQueue", "PriorityQueue"):
        q = getattr(shut_kit.queue, name)()
        with shut_kit.workers(2) as crew:
            getters = [worker.block(q.get) for worker in crew]
            vars(q)
            q.shutdown()
            for getter in getters:
                with pytest.raises(shut_kit.queue.ShutDown):
                    getter.result()


# The end of a wait


@pytest.mark.parametrize("name", ["Queue", "LifoQueue", "PriorityQueue"])
def test_an_item_that_comes_with_an_interrupt_is_not_lost(kit: Kit, name: str) -> None:
    if kit.is_stock:
        pytest.skip("stock may be interrupted before it has its lock back")
    check_on(
        kit,
        """
        import _thread
        sys.setswitchinterval(100)
        for attempt in range(50):
            q = getattr(queue, sys.argv[2])()
            def serve():
                while not seen:
                    time.sleep(0.0005)
                time.sleep(0.0005)
                # In this order: without a GIL the main thread may have the item at once, and be
                # interrupted between the end of the call and the next line.
                _thread.interrupt_main()
                q.put("item")
            seen = []
            thread = threading.Thread(target=serve)
            got = []
            try:
                thread.start()
                try:
                    seen.append(True)
                    got.append(q.get())
                    while True:
                        time.sleep(0.001)
                except KeyboardInterrupt:
                    pass
            finally:
                thread.join()
            if not got:
                got.append(q.get_nowait())
            assert got == ["item"] and q.empty(), got
        print("fine")
        """,
        name,
    )


def test_an_interrupt_comes_out_of_the_call(kit: Kit) -> None:
    check_on(
        kit,
        """
        import _thread
        full = queue.Queue(1)
        full.put(1)
        busy = queue.Queue()
        busy.put(1)
        priority = queue.PriorityQueue(1)
        priority.put(1)
        waits = [
            lambda: queue.Queue().get(timeout=0.3),
            lambda: queue.PriorityQueue().get(timeout=0.3),
            lambda: full.put(2, timeout=0.3),
            lambda: priority.put(2, timeout=0.3),
        ]
        if sys.argv[1] == "rthread":
            waits.append(lambda: busy.join(0.3))
        for wait in waits:
            threading.Timer(0.05, _thread.interrupt_main).start()
            try:
                wait()
            except KeyboardInterrupt:
                continue
            raise AssertionError
        print("fine")
        """,
    )


@pytest.mark.parametrize("name", ["Queue", "LifoQueue", "SimpleQueue"])
def test_an_item_given_to_a_thread_that_never_comes(kit: Kit, name: str) -> None:
    """At exit a daemon thread waits that cannot attach any more."""
    if kit.is_stock and name == "SimpleQueue":
        pytest.skip("without a GIL the stock one hands the item to that thread")
    check_on(
        kit,
        """
        q = getattr(queue, sys.argv[2])()
        threading.Thread(target=q.get, daemon=True).start()
        time.sleep(0.2)
        class Late:
            def __del__(self, q=q, write=os.write):
                q.put(1)
                write(1, b"fine\\n" if q.get_nowait() == 1 else b"another\\n")
        # Among the last things to be dropped.
        sys.late = Late()
        """,
        name,
    )


def test_what_waits_for_time_in_a_queue_that_is_looked_into(kit: Kit, make: Any) -> None:
    full = make(1)
    full.put(1)
    with kit.workers(1) as [putter]:
        pending = putter.submit(full.put, 2, True, 5 * SHORT)
        wait_until(lambda: pending.is_done() or len(full.not_full._waiters) == 1)
        with pytest.raises(kit.queue.Full):
            pending.result()
    assert len(full.not_full._waiters) == 0
