"""`owner`, `waiters` and `held_by`, with what they take and what they refuse."""

from __future__ import annotations

import queue
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import planted
import pytest

import support
from rthread import debug


@pytest.fixture
def worker(ours: Any) -> Iterator[support.Worker]:
    with support.workers(ours, 1) as (worker,):
        yield worker


# owner


def test_a_free_lock_has_no_owner(ours: Any) -> None:
    assert debug.owner(ours.allocate_lock()) is None
    assert debug.owner(ours.RLock()) is None


@pytest.mark.parametrize("kind", ["allocate_lock", "RLock"])
def test_the_owner_is_the_thread_that_has_taken_the_lock(ours: Any, kind: str) -> None:
    lock = getattr(ours, kind)()
    lock.acquire()
    owner = debug.owner(lock)
    assert owner is not None
    assert owner.thread is threading.current_thread()
    assert owner.ident == threading.get_ident()
    assert owner.native_id == threading.get_native_id()
    assert not owner.by_with
    assert not owner.has_ended
    lock.release()
    assert debug.owner(lock) is None


def test_a_lock_taken_by_with_says_so(ours: Any) -> None:
    lock = ours.allocate_lock()
    with lock:
        owner = debug.owner(lock)
        assert owner is not None
        assert owner.by_with
        assert repr(owner).startswith("<rthread.debug.Owner: ")
        assert repr(owner).endswith(", by with>")


def test_the_owner_may_be_a_thread_that_threading_does_not_know(
    ours: Any, worker: support.Worker
) -> None:
    lock = ours.allocate_lock()
    worker.do(lock.acquire)
    owner = debug.owner(lock)
    assert owner is not None
    assert owner.thread is None
    assert (owner.ident, owner.native_id) == (worker.ident, worker.native_id)
    assert f"thread {worker.ident}, native id {worker.native_id}" in repr(owner)


@pytest.mark.parametrize("kind", ["allocate_lock", "RLock"])
def test_the_owner_may_have_ended(ours: Any, kind: str) -> None:
    lock = getattr(ours, kind)()
    with support.workers(ours, 1) as (worker,):
        worker.do(lock.acquire)
    support.wait_until(lambda: _has_ended(lock), "the owner to end")
    owner = debug.owner(lock)
    assert owner is not None
    assert owner.thread is None
    assert owner.native_id == 0
    assert "a thread that has ended" in repr(owner)


def _has_ended(lock: object) -> bool:
    owner = debug.owner(lock)
    return owner is not None and owner.has_ended


@pytest.mark.parametrize(
    ("value", "name"), [(3, "int"), (None, "NoneType"), ("lock", "str"), (object, "type")]
)
def test_owner_names_the_type_of_what_it_does_not_take(value: object, name: str) -> None:
    with pytest.raises(TypeError, match=rf"takes a lock or an RLock of rthread, not {name}$"):
        debug.owner(value)


@pytest.mark.parametrize("kind", ["allocate_lock", "RLock"])
def test_owner_says_of_a_stock_lock_that_it_is_the_interpreter_s_own(kind: str) -> None:
    lock = getattr(support.stock(), kind)()
    with pytest.raises(TypeError, match="is the interpreter's own, and rthread does not see its"):
        debug.owner(lock)
    with pytest.raises(TypeError, match="is the interpreter's own"):
        debug.waiters(lock)


# waiters

# Expressions for an object, for a wait for it, for the kind of that, and for its end.
WAITS = [
    ("threading.Lock()", "obj.acquire()", "lock", "obj.release()"),
    ("threading.RLock()", "obj.acquire()", "RLock", "obj.release()"),
    ("threading.Condition()", "wait(obj)", "condition", "notify(obj)"),
    ("threading.Event()", "obj.wait()", "event", "obj.set()"),
    ("threading.Semaphore(0)", "obj.acquire()", "semaphore", "obj.release()"),
    ("threading.BoundedSemaphore(1)", "obj.acquire()", "semaphore", "obj.release()"),
    ("threading.Barrier(2)", "obj.wait()", "barrier", "obj.wait()"),
    ("queue.Queue()", "obj.get()", "queue.get", "obj.put(1)"),
    ("queue.SimpleQueue()", "obj.get()", "queue.get", "obj.put(1)"),
    ("full(queue.Queue(1))", "obj.put(1)", "queue.put", "obj.get()"),
    ("full(queue.LifoQueue(1))", "obj.join()", "queue.join", "obj.task_done()"),
    ("start('sleeper', ended.wait)", "obj.join()", "join", "ended.set()"),
]

HELPERS = """
import queue, sys
ended = threading.Event()

def wait(condition):
    with condition:
        condition.wait()

def notify(condition):
    with condition:
        condition.notify()

def full(q):
    q.put(0)
    return q
"""


@pytest.mark.parametrize("mode", ["native=True, queue=True", "", "native=False"])
@pytest.mark.parametrize(("make", "wait", "kind", "end"), WAITS)
def test_waiters(make: str, wait: str, kind: str, end: str, mode: str) -> None:
    if "SimpleQueue" in make and "queue" not in mode:
        pytest.skip("the interpreter's own SimpleQueue does not consist of locks that we see")
    if kind == "join" and sys.version_info < (3, 13):
        kind = "sentinel"
    take = "obj.acquire()" if make in ("threading.Lock()", "threading.RLock()") else ""
    if "BoundedSemaphore" in make:
        take = "obj.acquire()"
    support.check_snippet(
        planted.program(
            HELPERS,
            f"""
            obj = {make}
            {take}
            assert debug.waiters(obj) == []
            before = time.monotonic()
            threads = [start("one", lambda: {wait})]
            until(lambda: debug.waiters(obj))
            (wait,) = debug.waiters(obj)
            assert wait.thread is threads[0]
            assert (wait.ident, wait.native_id) == (threads[0].ident, threads[0].native_id)
            # Without a GIL the frames of a thread that may go on are not read.
            sees_all = getattr(sys, "_is_gil_enabled", lambda: True)()
            assert wait.kind == {kind!r}, wait
            assert before <= wait.since <= time.monotonic()
            assert 0 <= wait.for_seconds < 60
            assert not wait.has_timeout
            assert wait.object is obj or {kind!r} in ("join", "sentinel") or not sees_all, wait
            assert repr(wait).startswith("<rthread.debug.Wait: one is waiting for "), wait
            {end}
            threads[0].join()
            assert debug.waiters(obj) == []
            """,
        ).replace("rthread.install()", f"rthread.install({mode})")
    )


def test_waiters_come_in_the_order_in_which_they_have_begun() -> None:
    support.check_snippet(
        planted.program(
            """
            lock = threading.Lock()
            lock.acquire()
            for number in range(5):
                start(f"number {number}", lambda: lock.acquire(timeout=60))
                until(lambda: len(debug.waiters(lock)) == number + 1)
            waits = debug.waiters(lock)
            assert [wait.thread.name for wait in waits] == [f"number {n}" for n in range(5)]
            assert all(wait.has_timeout for wait in waits)
            for _ in range(5):
                lock.release()
                until(lambda: debug.owner(lock))
            """,
        )
    )


@pytest.mark.parametrize(
    ("value", "name"), [(3, "int"), (None, "NoneType"), ([], "list"), (time.sleep, "builtin")]
)
def test_waiters_names_the_type_of_what_it_does_not_take(value: object, name: str) -> None:
    with pytest.raises(TypeError, match=rf"queue or thread of rthread, not {name}"):
        debug.waiters(value)


@pytest.mark.parametrize(
    "make",
    [threading.Event, threading.Condition, threading.Barrier, queue.Queue, queue.SimpleQueue],
)
def test_waiters_says_of_stock_objects_that_they_are_the_interpreter_s_own(
    make: Callable[..., object],
) -> None:
    value = make(1) if make is threading.Barrier else make()
    with pytest.raises(TypeError, match="own locks, and rthread does not see its waiters"):
        debug.waiters(value)


# held_by


def test_held_by_lists_the_locks_of_a_thread(ours: Any, worker: support.Worker) -> None:
    plain, recursive, other = ours.allocate_lock(), ours.RLock(), ours.allocate_lock()
    other.acquire()
    worker.do(plain.acquire)
    worker.do(recursive.acquire)
    worker.do(recursive.acquire)
    assert set(map(id, debug.held_by(worker.ident))) == {id(plain), id(recursive)}
    assert other in debug.held_by(threading.current_thread())
    assert plain not in debug.held_by(threading.get_ident())
    worker.do(recursive.release)
    assert recursive in debug.held_by(worker.ident)
    worker.do(recursive.release)
    plain.release()
    assert debug.held_by(worker.ident) == []


def test_threads_that_do_not_run_hold_nothing() -> None:
    thread = threading.Thread(target=int)
    assert debug.held_by(thread) == []
    thread.start()
    thread.join()
    assert debug.held_by(thread) == []
    assert debug.held_by(1) == []
    assert debug.held_by(-1) == []


def test_what_threading_holds_to_wait_is_not_listed() -> None:
    support.check_snippet(
        planted.program(
            """
            condition = threading.Condition()

            def wait():
                with condition:
                    condition.wait()

            thread = start("one", wait)
            until(lambda: debug.waiters(condition))
            assert debug.held_by(thread) == []
            assert debug.held_by(threading.main_thread()) == []
            assert debug.find_deadlocks() == []
            assert debug.find_stuck() == []
            """,
        ).replace("rthread.install()", "rthread.install(native=False)")
    )


@pytest.mark.parametrize(
    ("value", "name"), [("MainThread", "str"), (None, "NoneType"), (True, "bool"), (1.0, "float")]
)
def test_held_by_names_the_type_of_what_it_does_not_take(value: Any, name: str) -> None:
    with pytest.raises(TypeError, match=f"takes a Thread or the ident of one, not {name}$"):
        debug.held_by(value)


# Results


def test_results_cannot_be_changed_or_pickled(ours: Any) -> None:
    import pickle

    lock = ours.allocate_lock()
    lock.acquire()
    owner: Any = debug.owner(lock)
    with pytest.raises(AttributeError, match="Owner objects cannot be changed"):
        owner.ident = 1
    with pytest.raises(AttributeError, match="Owner objects cannot be changed"):
        del owner.ident
    with pytest.raises(AttributeError):
        owner.anything = 1
    with pytest.raises(TypeError, match="cannot be pickled"):
        pickle.dumps(owner)


def test_no_code_of_the_program_runs() -> None:
    support.check_snippet(
        planted.program(
            """
            class Hostile(threading.Thread):
                @property
                def name(self): raise SystemError("name")
                @name.setter
                def name(self, value): raise SystemError("name")
                def __repr__(self): raise SystemError("repr")
                def __eq__(self, other): raise SystemError("eq")
                def __hash__(self): return 1
                def __getattribute__(self, name):
                    if armed: raise SystemError(name)
                    return super().__getattribute__(name)
                def run(self):
                    with a:
                        self_made.wait_for_lock()

            class Meta(type):
                def __eq__(self, other): raise SystemError("meta eq")
                def __hash__(self): raise SystemError("meta hash")
                __mro__ = property(lambda self: 1 / 0)

            class Owner(metaclass=Meta):
                __class__ = property(lambda self: 1 / 0)
                __dict__ = property(lambda self: 1 / 0)
                def __init__(self): self_dict = None
                def __getattribute__(self, name):
                    if name == "wait_for_lock": return super().__getattribute__(name)
                    raise SystemError(name)
                def wait_for_lock(self):
                    with b:
                        pass

            armed = False
            a, b = threading.Lock(), threading.Lock()
            b.acquire()
            self_made = Owner()
            thread = Hostile(daemon=True)
            thread.start()
            import io
            until(lambda: debug.waiters(b))
            armed = True
            file = io.StringIO()
            assert debug.dump(file) and debug.dump(file, format="json")
            assert "__main__.b" in file.getvalue()
            debug.find_deadlocks()
            debug.find_stuck()
            armed = False
            assert debug.held_by(thread) == [a]
            """
        )
    )
