"""Where locks are taken and made: `__record_sites__`, `__taken_at__`, `__made_at__`."""

from __future__ import annotations

import pytest

from support import check_snippet

PRELUDE = """
import sys, threading, time
import rthread
rthread.install()
from rthread import _rthread

def line_of(text):
    # The number of the line of this snippet that ends with a comment.
    lines = SOURCE.split("\\n")
    return next(number for number, line in enumerate(lines, 1) if line.endswith("# " + text))

def taken(lock):
    found = _rthread.__taken_at__(lock)
    return None if found is None else found[:3]
"""


def check(source: str) -> None:
    text = PRELUDE + source
    output = check_snippet(f"SOURCE = {text!r}\nexec(compile(SOURCE, 'snippet.py', 'exec'))")
    assert output == "fine\n"


def test_where_a_lock_was_taken() -> None:
    """By `with`, by `acquire`, again, by another thread, and after a wait for it."""
    check(
        """
assert _rthread.__record_sites__(True) is False
assert _rthread.__record_sites__(True) is True
lock = threading.Lock()  # made
rlock = threading.RLock()  # made too
name = "f" if sys.version_info < (3, 11) else "f"

def f():
    with lock:  # with
        assert taken(lock) == ("snippet.py", line_of("with"), "f"), taken(lock)
    assert taken(lock) is None
    lock.acquire()  # acquire
    assert taken(lock) == ("snippet.py", line_of("acquire"), "f")
    lock.release()
    with rlock:  # first
        with rlock:
            assert taken(rlock) == ("snippet.py", line_of("first"), "f")
        assert taken(rlock) == ("snippet.py", line_of("first"), "f")
    assert taken(rlock) is None

f()
assert _rthread.__made_at__(lock) == ("snippet.py", line_of("made"), "<module>")
assert _rthread.__made_at__(rlock) == ("snippet.py", line_of("made too"), "<module>")

def waits():
    with lock:  # after a wait
        seen.append(taken(lock))

for _ in range(3):
    seen = []
    lock.acquire()
    thread = threading.Thread(target=waits)
    thread.start()
    while not any(entry[5] is lock for entry in _rthread.__threads__()):
        time.sleep(0.001)
    before = time.monotonic_ns()
    lock.release()
    thread.join()
    assert seen == [("snippet.py", line_of("after a wait"), "waits")], seen
with lock:
    assert before <= _rthread.__taken_at__(lock)[3] <= time.monotonic_ns()
print("fine")
"""
    )


def test_a_condition_keeps_the_place() -> None:
    """A wait gives the lock back and takes it again: it is still held by the same `with`."""
    check(
        """
_rthread.__record_sites__(True)
for make in threading.Lock, threading.RLock:
    condition = threading.Condition(make())
    with condition:  # with
        condition.wait(0.01)
        assert taken(condition._lock)[1] == line_of("with"), taken(condition._lock)
        assert _rthread.__owner__(condition._lock)[1] == threading.get_ident()
print("fine")
"""
    )


def test_only_what_was_recorded_is_told() -> None:
    """Locks taken before, after, and while it is switched on by another thread."""
    check(
        """
before = threading.Lock()
before.acquire()
_rthread.__record_sites__(True)
assert taken(before) is None and _rthread.__made_at__(before) is None
during = threading.Lock()
during.acquire()
assert taken(during) is not None
assert _rthread.__record_sites__(False) is True
assert _rthread.__made_at__(during) is None
# It is still held by the same hold.
assert taken(during) is not None
during.release()
during.acquire()
assert taken(during) is None

# Threads that run already, and threads that start later.
places = []
go, stop = threading.Event(), threading.Event()
def run():
    go.wait()
    lock = threading.Lock()
    with lock:
        places.append(taken(lock) is not None)
early = threading.Thread(target=run)
early.start()
_rthread.__record_sites__(True)
late = threading.Thread(target=run)
late.start()
go.set()
early.join()
late.join()
assert places == [True, True], places
print("fine")
"""
    )


def test_many_locks_at_once() -> None:
    """More than a table has room for: each site that is told is the right one."""
    check(
        """
_rthread.__record_sites__(True)
locks = [threading.Lock() for _ in range(1000)]
for lock in locks:
    lock.acquire()  # here
told = [taken(lock) for lock in locks]
assert set(told) <= {None, ("snippet.py", line_of("here"), "<module>")}, set(told)
assert sum(place is not None for place in told) >= 64
for lock in locks:
    lock.release()
assert all(taken(lock) is None for lock in locks)
print("fine")
"""
    )


def test_threads_that_come_and_go() -> None:
    """While it is switched on and off; a thread may end in the middle of that."""
    check(
        """
stop = threading.Event()
lock = threading.Lock()
def use():
    for _ in range(50):
        with lock:
            pass
def start():
    while not stop.is_set():
        threads = [threading.Thread(target=use) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
starter = threading.Thread(target=start)
starter.start()
for number in range(400):
    _rthread.__record_sites__(number % 2 == 0)
    time.sleep(0.001)
_rthread.__record_sites__(False)
stop.set()
starter.join()
assert lock.acquire(timeout=30)
assert _rthread.__owner__(lock)[1] == threading.get_ident()
print("fine")
"""
    )


@pytest.mark.parametrize("name", ["__taken_at__", "__made_at__", "__owner__"])
def test_other_objects_are_refused(name: str) -> None:
    check(
        f"""
import _thread
for other in 3, None, object(), rthread.stock("_thread", "allocate_lock")(), threading.Event():
    try:
        getattr(_rthread, "{name}")(other)
    except TypeError as error:
        assert "lock of rthread" in str(error), error
    else:
        raise AssertionError(other)
print("fine")
"""
    )


def test_a_lock_of_a_generator_is_no_certain_deadlock() -> None:
    """Another thread may resume the generator, which releases the lock then."""
    check(
        """
from rthread import debug
debug.set_deadlock_policy("raise")
a, b = threading.Lock(), threading.Lock()
def generator():
    with a:
        yield
made = generator()
next(made)
waits = threading.Event()
def other():
    with b:
        waits.set()
        with a:
            pass
thread = threading.Thread(target=other)
thread.start()
waits.wait()
while not any(entry[5] is a for entry in _rthread.__threads__()):
    time.sleep(0.001)
def resume():
    while not any(entry[5] is b for entry in _rthread.__threads__()):
        time.sleep(0.001)
    next(made, None)
third = threading.Thread(target=resume)
third.start()
with b:
    pass
thread.join()
third.join()
print("fine")
"""
    )
