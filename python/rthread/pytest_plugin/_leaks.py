"""Tells of tests that end with a lock held or with threads alive.

A test is its setup, its call and its teardown. What fixtures of a wider scope start or take is not
the test's, even if the test is the first one that uses them.
"""

from __future__ import annotations

import fnmatch
import gc
import sys
import weakref
from time import sleep

import pytest

from _rthread_pytest import LEAKS
from rthread import _rthread
from rthread._install import own
from rthread.debug import _graph, _look, _names, _text
from rthread.pytest_plugin._sections import add_section

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator
    from typing import Any

    from rthread.debug._snapshot import LockRecord, Snapshot, ThreadRecord

    # Weak references; None where there is no object, or one that cannot be referred to.
    References = dict[int, Callable[[], Any] | None]

__all__ = ["Leaks", "PytestRThreadLeakWarning"]

_held_locks = vars(_rthread)["__held_locks__"]
_records = vars(_rthread)["__threads__"]

# A thread that is about to end when its test does gets a quarter of a second for it.
_LOOKS = 25
_SECONDS_BETWEEN_LOOKS = 0.01

_MOST_FRAMES = 12


class PytestRThreadLeakWarning(pytest.PytestWarning):
    """A test has left locks held or threads alive."""

    __module__ = "rthread.pytest_plugin"


class Leaks:
    """The plugin that looks before and after each test.

    Args:
        mode: one of `LEAKS`, for tests without a marker.
        ignored: patterns for the names of threads that may outlive a test.
    """

    def __init__(self, mode: str, ignored: tuple[str, ...]) -> None:
        self._mode = mode
        self._ignored = ignored
        # What is not the test's; None while no test is watched.
        self._before: _Present | None = None
        self._is_in_fixture = False

    # The outermost one: other plugins start threads of their own around a test before this, and
    # take care of them afterwards.
    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_setup(self, item: pytest.Item) -> Generator[None, object, object]:
        if self._mode_of(item) != "off":
            self._before = _Present.now()
        return (yield)

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_fixture_setup(
        self, fixturedef: pytest.FixtureDef[Any]
    ) -> Generator[None, object, object]:
        known = self._before
        if known is None or fixturedef.scope == "function" or self._is_in_fixture:
            return (yield)
        before = _Present.now()
        self._is_in_fixture = True
        try:
            return (yield)
        finally:
            self._is_in_fixture = False
            known.add_new(before)

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_teardown(self, item: pytest.Item) -> Generator[None, object, object]:
        try:
            result = yield
        except BaseException:
            text = self._find(item)
            if text:
                add_section(item, "rthread: what the test has left", text)
            raise
        text = self._find(item)
        if text and self._mode_of(item) == "error":
            pytest.fail(text, pytrace=False)
        if text:
            item.warn(PytestRThreadLeakWarning(text))
        return result

    def _mode_of(self, item: pytest.Item) -> str:
        marker = item.get_closest_marker("rthread_leaks")
        if marker is None:
            return self._mode
        mode = marker.args[0] if marker.args else None
        if mode not in LEAKS:
            listed = ", ".join(map(repr, LEAKS))
            raise pytest.UsageError(f"{item.nodeid}: rthread_leaks takes one of {listed}")
        return str(mode)

    def _find(self, item: pytest.Item) -> str:
        """The text about all that a test has left; empty if it is nothing."""
        before, self._before = self._before, None
        if before is None:
            return ""
        ident: int = own["get_ident"]()
        for _ in range(_LOOKS):
            threads = before.new_threads(self._ignored)
            if not threads:
                break
            sleep(_SECONDS_BETWEEN_LOOKS)
        has_locks = before.has_left_locks(ident)
        if not threads and not has_locks:
            return ""
        if has_locks:
            # A lock that nothing refers to any more hurts no other test.
            gc.collect()
        snapshot = _look.take().snapshot
        found = _Found(
            snapshot,
            [record for record in snapshot.threads if record.ident in threads],
            [lock for lock in snapshot.locks if before.is_new_lock(lock.object)],
            ident,
        )
        found.look_for_names(getattr(item, "module", None))
        return found.text()


class _Present:
    """The threads and held locks at one moment. Nothing here keeps an object alive."""

    def __init__(self, threads: References, locks: References) -> None:
        # By ident, a reference to the Thread object if there is one.
        self._threads = threads
        # By id, a reference to the lock.
        self._locks = locks

    @classmethod
    def now(cls) -> _Present:
        locks: References = {}
        for lock, *_ in _held_locks():
            locks[id(lock)] = _reference(lock)
        return cls({ident: _reference(thread) for ident, thread in _threads()}, locks)

    def add_new(self, before: _Present) -> None:
        """Add what is there now and was not there before."""
        for ident, thread in _threads():
            if not before._is_known_thread(ident, thread):
                self._threads[ident] = _reference(thread)
        for lock, *_ in _held_locks():
            if before.is_new_lock(lock):
                self._locks[id(lock)] = _reference(lock)

    def new_threads(self, ignored: tuple[str, ...]) -> set[int]:
        """The idents of the threads that were not there."""
        return {
            ident
            for ident, thread in _threads()
            if not self._is_known_thread(ident, thread) and not _is_ignored(thread, ignored)
        }

    def has_left_locks(self, ident: int) -> bool:
        """Whether there may be new locks of the thread of the test, or of one that has ended."""
        numbers = {number for number, *_ in _records()}
        return any(
            (owner == ident or number not in numbers) and self.is_new_lock(lock)
            for lock, number, owner, *_ in _held_locks()
        )

    def _is_known_thread(self, ident: int, thread: object) -> bool:
        return ident in self._threads and _refers_to(self._threads[ident], thread)

    def is_new_lock(self, lock: object) -> bool:
        return id(lock) not in self._locks or not _refers_to(self._locks[id(lock)], lock)


def _threads() -> Iterator[tuple[int, Any]]:
    """The idents of all threads that run, each with its Thread object or None."""
    known = _look.known_threads().by_ident
    idents = {*sys._current_frames()}
    # A thread that runs a function of C's has no frame, but it waits for something. If that is
    # nothing of this interpreter's, the thread is not either.
    idents.update(entry[1] for entry in _records() if entry[5] is not None)
    for ident in idents:
        yield ident, known.get(ident)


def _reference(value: object) -> Callable[[], Any] | None:
    try:
        return None if value is None else weakref.ref(value)
    except TypeError:
        return None


def _refers_to(reference: Callable[[], Any] | None, value: object) -> bool:
    # The id of what cannot be referred to has to do.
    return reference is None or reference() is value


def _is_ignored(thread: object, patterns: tuple[str, ...]) -> bool:
    name = getattr(thread, "name", "")
    return any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns)


class _Found:
    """What a test has left."""

    def __init__(
        self,
        snapshot: Snapshot,
        threads: list[ThreadRecord],
        locks: list[LockRecord],
        ident: int,
    ) -> None:
        self._snapshot = snapshot
        self._threads = threads
        self._locks = [lock for lock in locks if self._is_left(lock, ident)]

    def _is_left(self, lock: LockRecord, ident: int) -> bool:
        """Whether the thread of the test holds a lock, or one that has ended."""
        if not lock.owner_number and not lock.owner_ident:
            return False
        owner = self._snapshot.thread(lock.owner_number, lock.owner_ident)
        return owner is None or owner.ident == ident

    def look_for_names(self, module: Any) -> None:
        """Look for names of locks in the module of the test, of which no frame is left."""
        addresses = {lock.address for lock in self._locks}
        addresses |= {record.address for record in self._threads if record.address}
        unnamed = addresses - set(self._snapshot.names)
        if unnamed and module is not None:
            self._snapshot.names.update(_names.find(unnamed, [vars(module)], ()))

    def text(self) -> str:
        if not self._threads and not self._locks:
            return ""
        lines = [f"The test has left {self._headline()}."]
        for record in self._threads:
            lines += self._lines_of_thread(record)
        lines += [
            f"{_text.held(self._snapshot, lock)}: {self._owner(lock)}" for lock in self._locks
        ]
        return "\n".join(lines)

    def _headline(self) -> str:
        parts = []
        if self._threads:
            labels = ", ".join(map(self._snapshot.label, self._threads))
            parts.append(f"{_count(len(self._threads), 'thread')} alive ({labels})")
        if self._locks:
            labels = ", ".join(map(self._label, self._locks))
            parts.append(f"{_count(len(self._locks), 'lock')} held ({labels})")
        return " and ".join(parts)

    def _label(self, lock: LockRecord) -> str:
        name = self._snapshot.names.get(lock.address)
        return name or self._snapshot.class_name(lock.address, lock.kind)

    def _lines_of_thread(self, record: ThreadRecord) -> Iterator[str]:
        snapshot = self._snapshot
        daemon = ", daemon" if record.daemon else ""
        yield f"{snapshot.label(record)}{daemon}: {_text.state(snapshot, record)}"
        for lock in snapshot.held(record):
            yield f"  holds {_text.held(snapshot, lock)}"
        stack = _text.stack(record)
        yield from (f"  {line}" for line in stack[:_MOST_FRAMES])
        if len(stack) > _MOST_FRAMES:
            yield f"  and {_count(len(stack) - _MOST_FRAMES, 'frame')} more"

    def _owner(self, lock: LockRecord) -> str:
        owner = self._snapshot.thread(lock.owner_number, lock.owner_ident)
        if owner is not None:
            return f"held by {self._snapshot.label(owner)}, the thread of the test"
        return f"held by a thread that {_graph.fate_of_owner(self._snapshot, lock.owner_number)}"


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
