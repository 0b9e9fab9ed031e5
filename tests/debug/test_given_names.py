"""`name`: names that a program gives to its locks, and what it refuses."""

from __future__ import annotations

import gc
import io
from typing import Any

import planted
import pytest

import support
from rthread import debug
from rthread.debug import _given


def _report() -> str:
    file = io.StringIO()
    assert debug.dump(file)
    return file.getvalue()


@pytest.mark.parametrize("kind", ["allocate_lock", "RLock"])
def test_a_report_calls_a_lock_by_its_given_name(ours: Any, kind: str) -> None:
    lock = debug.name(getattr(ours, kind)(), "the accounts")
    with lock:
        assert "the accounts" in _report()
        assert debug.name(lock, "the books") is lock
        text = _report()
        assert "the books" in text
        assert "the accounts" not in text
    assert "the books" not in _report()


def test_a_given_name_goes_before_the_name_of_a_variable() -> None:
    code = planted.program(
        planted.TWO_LOCKS,
        """
        until(debug.find_deadlocks)
        import io
        file = io.StringIO()
        found = [lock for thread in threading.enumerate() for lock in debug.held_by(thread)]
        assert len(found) == 2, found
        for number, lock in enumerate(found):
            debug.name(lock, f"given {number}")
        debug.dump(file)
        print(file.getvalue())
        """,
    )
    threads, _, deadlocks = support.check_snippet(code).rpartition("Deadlock")
    for name in ("given 0", "given 1"):
        assert name in threads
        assert name in deadlocks


def test_several_locks_may_have_one_name(ours: Any) -> None:
    locks = [debug.name(ours.allocate_lock(), "shelf") for _ in range(3)]
    names = _given.given(map(id, locks))
    assert names == {id(lock): "shelf" for lock in locks}


def test_a_name_ends_with_its_lock(ours: Any) -> None:
    lock = debug.name(ours.RLock(), "short")
    debug.name(lock, "shorter")
    address = id(lock)
    assert _given.given([address]) == {address: "shorter"}
    del lock
    gc.collect()
    assert _given.given([address]) == {}


def test_a_class_derived_from_rlock_is_not_asked_for_equality(ours: Any) -> None:
    class Odd(ours.RLock):  # type: ignore[misc]
        def __eq__(self, other: object) -> bool:
            raise AssertionError

        __hash__ = None  # type: ignore[assignment]

    lock = debug.name(Odd(), "odd")
    assert _given.given([id(lock)]) == {id(lock): "odd"}


@pytest.mark.parametrize("value", [3, None, "lock", object()])
def test_other_objects_are_refused(value: object) -> None:
    with pytest.raises(TypeError, match=r"name\(\) takes a lock or an RLock of rthread, not "):
        debug.name(value, "x")


def test_stock_locks_are_refused() -> None:
    with pytest.raises(TypeError, match="the interpreter's own"):
        debug.name(_stock_lock(), "x")


CONDITIONS = """
import gc, threading
from rthread import debug
from rthread.debug import _given

class Derived(threading.Condition):
    def __init__(self, lock):
        super().__init__(lock)
        self.other = threading.Lock()

for kind in (threading.Condition, Derived):
    for lock in (threading.Lock(), threading.RLock()):
        condition = kind(lock)
        assert debug.name(condition, "full") is condition
        assert _given.given([id(lock)]) == {id(lock): "full"}
        if kind is Derived:
            assert _given.given([id(condition.other)]) == {}
        with condition:
            condition.notify()
        assert condition._lock is lock
        debug.name(condition, "empty")
        assert _given.given([id(lock)]) == {id(lock): "empty"}
condition = debug.name(threading.Condition(), "its own")
assert _given.given([id(condition._lock)]) == {id(condition._lock): "its own"}
"""


@pytest.mark.parametrize("native", ["True", "False"])
def test_a_condition_gives_the_name_to_its_lock(native: str) -> None:
    support.check_snippet(f"import rthread\nrthread.install(native={native})\n{CONDITIONS}")


def _stock_lock() -> object:
    from rthread._install import stock_thread

    return stock_thread().allocate_lock()


@pytest.mark.parametrize("value", [3, None, b"x"])
def test_a_name_is_a_str(ours: Any, value: Any) -> None:
    lock = ours.allocate_lock()
    with pytest.raises(TypeError, match="the name of a lock must be a str, not "):
        debug.name(lock, value)
    assert _given.given([id(lock)]) == {}


@pytest.mark.parametrize("value", ["", "two\nlines", "\x1b[31m", "\ud800"])
def test_a_name_can_be_printed(ours: Any, value: str) -> None:
    lock = debug.name(ours.allocate_lock(), "before")
    with pytest.raises(ValueError, match="the name of a lock must have only characters to print"):
        debug.name(lock, value)
    assert _given.given([id(lock)]) == {id(lock): "before"}
