"""What is left of each object in the child of a fork, where only the forking thread exists."""

from __future__ import annotations

import pytest
from kits import Kit, check_on

from fork_snippets import IN_CHILD, needs_fork

pytestmark = needs_fork

PRELUDE = """
import _thread

def blocked_in(function, *args):
    # A daemon thread that calls it; return when it is blocked in there.
    ids = []
    def run():
        ids.append(threading.get_native_id())
        function(*args)
    threading.Thread(target=run, daemon=True).start()
    while not ids:
        time.sleep(0.001)
    blocked(ids[0])

def called(function, *args):
    # What a thread of this process gets of it.
    results = []
    thread = threading.Thread(target=lambda: results.append(function(*args)))
    thread.start()
    thread.join(60)
    return results[0]

def wait_in(condition, *args):
    with condition:
        return condition.wait(*args)
"""


def check(kit: Kit, source: str) -> None:
    check_on(kit, IN_CHILD + PRELUDE + source, flags=("-W", "ignore::DeprecationWarning"))


@pytest.mark.parametrize("is_set", [True, False])
def test_an_event_works_in_the_child(kit: Kit, is_set: bool) -> None:
    check(
        kit,
        f"""
event = threading.Event()
if {is_set}:
    # Without waiters: one that is being woken may hold stock's lock at the fork.
    event.set()
else:
    for _ in range(3):
        blocked_in(event.wait)
def child():
    assert event.is_set() is {is_set}
    assert event.wait(0) is {is_set}
    event.clear()
    assert event.wait(0.01) is False
    blocked_in(event.wait)
    event.set()
    assert event.wait(30) and called(event.wait, 30)
    event._at_fork_reinit()
    assert event.is_set()
assert in_child(child) == 0
assert event.is_set() is {is_set}
event.set()
assert called(event.wait, 30)
print("fine")
""",
    )


def test_an_event_wakes_a_waiter_of_the_child(kit: Kit) -> None:
    check(
        kit,
        """
event = threading.Event()
blocked_in(event.wait)
def child():
    results = []
    thread = threading.Thread(target=lambda: results.append(event.wait(30)))
    thread.start()
    time.sleep(0.01)
    event.set()
    thread.join(30)
    assert results == [True]
assert in_child(child) == 0
print("fine")
""",
    )


@pytest.mark.parametrize("kind", ["Lock", "RLock"])
def test_a_condition_works_in_the_child(kit: Kit, kind: str) -> None:
    check(
        kit,
        f"""
condition = threading.Condition(threading.{kind}())
for _ in range(3):
    blocked_in(wait_in, condition)
def child():
    with condition:
        assert condition.wait(0.01) is False
        condition.notify_all()
    results = []
    thread = threading.Thread(target=lambda: results.append(wait_in(condition, 30)))
    thread.start()
    while thread.is_alive():
        with condition:
            condition.notify()
        time.sleep(0.001)
    assert results == [True]
    condition._at_fork_reinit()
    assert len(condition._waiters) == 0
    assert condition.acquire(False)
assert in_child(child) == 0
assert len(condition._waiters) == 3
with condition:
    condition.notify_all()
print("fine")
""",
    )


@pytest.mark.parametrize("kind", ["Lock", "RLock"])
def test_a_condition_held_by_another_thread(kit: Kit, kind: str) -> None:
    """`_at_fork_reinit` makes it new, as it does for those of the interpreter itself."""
    check(
        kit,
        f"""
condition = threading.Condition(threading.{kind}())
blocked_in(wait_in, condition)
def hold():
    with condition:
        threading.Event().wait()
blocked_in(hold)
def child():
    assert not condition.acquire(False)
    condition._at_fork_reinit()
    assert len(condition._waiters) == 0
    with condition:
        assert condition.wait(0.01) is False
        condition.notify()
    assert called(condition.acquire, False)
assert in_child(child) == 0
assert not condition.acquire(False)
print("fine")
""",
    )


@pytest.mark.parametrize("kind", ["Lock", "RLock"])
def test_a_condition_held_by_the_forking_thread(kit: Kit, kind: str) -> None:
    check(
        kit,
        f"""
condition = threading.Condition(threading.{kind}())
blocked_in(wait_in, condition)
condition.acquire()
def child():
    assert condition._is_owned()
    assert condition.wait(0.01) is False
    condition.notify_all()
    condition.release()
    assert condition.acquire(False)
assert in_child(child) == 0
assert condition._is_owned()
condition.notify_all()
condition.release()
print("fine")
""",
    )


@pytest.mark.parametrize("name", ["Semaphore", "BoundedSemaphore"])
def test_a_semaphore_works_in_the_child(kit: Kit, name: str) -> None:
    check(
        kit,
        f"""
semaphore = threading.{name}(2)
semaphore.acquire(), semaphore.acquire()
for _ in range(3):
    blocked_in(semaphore.acquire)
def child():
    assert semaphore._value == 0
    assert semaphore.acquire(False) is False
    assert semaphore.acquire(timeout=0.01) is False
    semaphore.release()
    # Not for one of those that are no more.
    assert semaphore.acquire(timeout=30)
    semaphore.release(2)
    assert called(semaphore.acquire, True, 30)
    assert semaphore._value == 1
assert in_child(child) == 0
assert semaphore._value == 0
print("fine")
""",
    )


@pytest.mark.parametrize("name", ["Semaphore", "BoundedSemaphore"])
def test_a_release_is_not_for_the_dead(ours: Kit, name: str) -> None:
    """A thread that waits in the child is first in line there.

    On stock the threads of the parent are still ahead, and swallow one release each.
    """
    check(
        ours,
        f"""
semaphore = threading.{name}(3)
for _ in range(3):
    semaphore.acquire()
for _ in range(2):
    blocked_in(semaphore.acquire)
def child():
    blocked_in(lambda: (semaphore.acquire(), got.append(1)))
    semaphore.release()
    while not got:
        time.sleep(0.001)
got = []
assert in_child(child) == 0
print("fine")
""",
    )


def test_a_barrier_works_in_the_child(kit: Kit) -> None:
    check(
        kit,
        """
barrier = threading.Barrier(2)
for _ in range(2):
    results = []
    threads = [threading.Thread(target=lambda: results.append(barrier.wait(30))) for _ in "12"]
    [thread.start() for thread in threads]
    [thread.join() for thread in threads]
    assert sorted(results) == [0, 1]
def child():
    for _ in range(2):
        results = []
        other = threading.Thread(target=lambda: results.append(barrier.wait(30)))
        other.start()
        results.append(barrier.wait(30))
        other.join()
        assert sorted(results) == [0, 1]
    barrier.abort()
    assert barrier.broken
assert in_child(child) == 0
assert not barrier.broken
print("fine")
""",
    )


def test_a_barrier_that_others_waited_at(kit: Kit) -> None:
    """They still count in the child: one more, and it is full."""
    check(
        kit,
        """
barrier = threading.Barrier(2)
blocked_in(barrier.wait)
def child():
    assert barrier.n_waiting == 1
    assert barrier.wait(30) == 1
assert in_child(child) == 0
assert barrier.n_waiting == 1
assert barrier.wait() == 1
print("fine")
""",
    )


@pytest.mark.parametrize("name", ["Queue", "LifoQueue", "PriorityQueue", "SimpleQueue"])
def test_a_queue_works_in_the_child(kit: Kit, name: str) -> None:
    check(
        kit,
        f"""
q = queue.{name}()
full = q if {name == "SimpleQueue"} else queue.{name}(1)
if full is not q:
    full.put(0)
for _ in range(2):
    blocked_in(q.get)
    if full is not q:
        blocked_in(full.put, 1)
        blocked_in(full.join)
def child():
    while not q.empty():
        q.get()
    q.put("for the child")
    assert q.get(timeout=30) == "for the child"
    try:
        q.get(timeout=0.01)
    except queue.Empty:
        pass
    if full is not q:
        assert full.qsize() == 1 == full.unfinished_tasks
        assert full.get() == 0
        full.put(3)
        assert full.full()
        full.task_done(), full.task_done()
        full.join()
assert in_child(child) == 0
print("fine")
""",
    )


def test_a_priority_queue_that_is_comparing(ours: Kit) -> None:
    """A comparison that has not ended by the fork never does; the items are what they were before.

    On stock the queue is locked for good.
    """
    check(
        ours,
        """
q = queue.PriorityQueue()
asked, never = threading.Event(), threading.Event()
class Item:
    def __init__(self, number):
        self.number = number
    def __lt__(self, other):
        if blocks and threading.current_thread() is not threading.main_thread():
            asked.set()
            never.wait()
        return self.number < other.number
blocks = True
q.put(Item(2))
threading.Thread(target=q.put, args=(Item(1),), daemon=True).start()
asked.wait()
blocked_in(q.get)
def child():
    global blocks
    blocks = False
    assert q.qsize() == 1
    q.put(Item(3))
    got = [called(q.get).number, q.get().number]
    assert got == [2, 3], got
    assert q.empty() and q.unfinished_tasks == 2
    blocked_in(q.get)
    q.put(Item(4))
def mine():
    # The forking thread goes on with its own turn, and the others wait for that.
    global blocks
    blocks = False
    class Forks(Item):
        def __lt__(self, other):
            if self.number == 6:
                self.number = 7
                statuses.append(in_child(child_of_comparison))
            return self.number < other.number
    def child_of_comparison():
        ended = []
        thread = threading.Thread(target=lambda: ended.append(p.put(Item(1))))
        thread.start()
        thread.join(0.05)
        assert not ended
    statuses = []
    p = queue.PriorityQueue()
    p.put(Item(8))
    p.put(Forks(6))
    assert statuses == [0]
    assert [p.get().number, p.get().number] == [7, 8]
assert in_child(child) == 0
mine()
print("fine")
""",
    )


def test_a_queue_hands_its_item_to_the_child(ours: Kit) -> None:
    """Stock gives the wake-up to a thread that is no more."""
    for name in ("Queue", "SimpleQueue"):
        check(
            ours,
            f"""
q = queue.{name}()
for _ in range(2):
    blocked_in(q.get)
def child():
    got = []
    blocked_in(lambda: got.append(q.get()))
    q.put(1)
    while not got:
        time.sleep(0.001)
assert in_child(child) == 0
print("fine")
""",
        )


def test_a_fork_while_all_are_in_use(kit: Kit) -> None:
    """Threads of the parent are at work on them; those the child makes new are as good as new."""
    check(
        kit,
        """
event, condition = threading.Event(), threading.Condition()
stop = False
def work():
    while not stop:
        event.set()
        event.clear()
        with condition:
            condition.notify()
            condition.wait(0.0001)
threads = [threading.Thread(target=work, daemon=True) for _ in range(3)]
[thread.start() for thread in threads]
def child():
    event._at_fork_reinit()
    condition._at_fork_reinit()
    event.set()
    assert event.wait(30)
    with condition:
        assert condition.wait(0.001) is False
        condition.notify_all()
    new = threading.Event()
    thread = threading.Thread(target=new.set)
    thread.start()
    assert new.wait(30)
    thread.join()
for _ in range(20):
    assert in_child(child) == 0
stop = True
[thread.join() for thread in threads]
print("fine")
""",
    )
