"""What is left of everything in the child of a fork, where only the forking thread exists."""

from __future__ import annotations

import pytest

from behaviour.fork_with_threads import both, check
from fork_snippets import needs_fork
from support import check_snippet

pytestmark = needs_fork


@both
@pytest.mark.parametrize("kind", ["allocate_lock", "RLock"])
def test_free_lock(module: str, kind: str) -> None:
    check(
        module,
        f"""
lock = api.{kind}()
assert in_child(lambda: use(lock)) == 0
use(lock)
print("fine")
""",
    )


@both
@pytest.mark.parametrize("kind", ["allocate_lock", "RLock"])
def test_lock_held_by_the_forking_thread(module: str, kind: str) -> None:
    """It is still its own, in the child and in the parent."""
    check(
        module,
        f"""
lock = api.{kind}()
lock.acquire()
def child():
    if hasattr(lock, "_is_owned"):
        assert lock._is_owned()
    lock.release()
    use(lock)
assert in_child(child) == 0
lock.release()
use(lock)
print("fine")
""",
    )


@both
@pytest.mark.parametrize("kind", ["allocate_lock", "RLock"])
def test_lock_held_by_another_thread(module: str, kind: str) -> None:
    """It stays held, by no thread; `_at_fork_reinit` makes it new."""
    check(
        module,
        f"""
lock = api.{kind}()
holder(lock)
def child():
    assert not lock.acquire(False)
    assert not lock.acquire(True, 0.01)
    lock._at_fork_reinit()
    use(lock)
assert in_child(child) == 0
assert not lock.acquire(False)
print("fine")
""",
    )


@both
@pytest.mark.parametrize("kind", ["allocate_lock", "RLock"])
@pytest.mark.parametrize("wait", ["", "True, 60"])
@pytest.mark.parametrize("reinit", [False, True])
def test_lock_with_waiters(module: str, kind: str, wait: str, reinit: bool) -> None:
    """They are gone in the child: a release there must not hand the lock to one of them."""
    check(
        module,
        f"""
lock = api.{kind}()
lock.acquire()
for _ in range(3):
    waiter(lock, {wait})
def child():
    if {reinit}:
        lock._at_fork_reinit()
    else:
        lock.release()
    use(lock)
assert in_child(child) == 0
lock.release()
use(lock)
print("fine")
""",
    )


@pytest.mark.parametrize("kind", ["allocate_lock", "RLock"])
def test_lock_that_is_being_handed_over(kind: str) -> None:
    """To a thread that has waited for long, and has not come to take it before the fork.

    Ours only: of a stock lock it is not known whether that thread has it already.
    """
    check(
        "rthread",
        f"""
lock = api.{kind}()
def child():
    # RLock.locked() is new in 3.14.
    if repr(lock).startswith("<unlocked "):
        assert lock.acquire(False)
        lock.release()
        use(lock)
for _ in range(5):
    lock.acquire()
    waiter(lock)
    # Longer than a newcomer may be faster.
    time.sleep(0.01)
    # With a GIL, so that the waiter does not get it meanwhile.
    sys.setswitchinterval(100)
    lock.release()
    status = in_child(child)
    sys.setswitchinterval(0.005)
    assert status == 0
    lock.acquire()
    lock.release()
print("fine")
""",
    )


@pytest.mark.parametrize("start", ["threading.Thread", "shim.Thread"])
def test_hook_that_waits_for_a_new_thread(start: str) -> None:
    """Before a fork: without a GIL the start of a thread may wait for the fork."""
    check_snippet(f"""
        import os, sys, threading, warnings

        # The system may not have done with the thread that is over.
        warnings.simplefilter("ignore", DeprecationWarning)
        started = []
        def begin():
            if not started:
                from rthread import threading as shim
                started.append({start}(target=os.getpid))
                started[0].start()
                started[0].join()

        os.register_at_fork(before=begin)
        import rthread.threading
        if (pid := os.fork()) == 0:
            os._exit(7)
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 7
        assert started and not started[0].is_alive()
    """)


@both
def test_lock_between_hammering_threads(module: str) -> None:
    """Forked at any moment, a lock that threads fight for is new after `_at_fork_reinit`."""
    check(
        module,
        """
locks = [api.allocate_lock(), api.RLock()]
stop = False
def hammer():
    while not stop:
        for lock in locks:
            with lock:
                pass
for _ in range(3):
    thread(hammer)
def child():
    global stop
    stop = True
    for lock in locks:
        lock._at_fork_reinit()
        use(lock)
    thread(lambda: None)
for _ in range(15):
    assert in_child(child) == 0
stop = True
print("fine")
""",
    )


@both
def test_the_forking_thread_keeps_its_local_values(module: str) -> None:
    """The forking thread keeps its values; those of the others are dropped or out of sight."""
    check(
        module,
        """
class Value:
    pass
local = api._local()
local.name = "forking"
local.value = Value()
def fill():
    local.name = "other"
    stay.acquire()
stay = api.allocate_lock()
stay.acquire()
thread(fill)
def child():
    assert local.name == "forking"
    assert type(local.value) is Value
    seen = []
    thread(lambda: seen.append(hasattr(local, "name")))
    while not seen:
        time.sleep(0.001)
    assert seen == [False]
    local.name = "child"
    reference = weakref.ref(local.value)
    del local.value
    gc.collect()
    assert reference() is None
assert in_child(child) == 0
assert local.name == "forking"
print("fine")
""",
    )


@both
def test_local_of_a_forking_thread(module: str) -> None:
    """Not the main one: it is the main one in the child."""
    check(
        module,
        """
local = api._local()
local.name = "main"
statuses = []
def fork():
    local.name = "forking"
    def child():
        assert local.name == "forking"
        use(api.allocate_lock())
    statuses.append(in_child(child))
thread(fork)
while not statuses:
    time.sleep(0.001)
assert statuses == [0]
print("fine")
""",
    )


@both
def test_the_forking_thread_keeps_its_tss_value(module: str) -> None:
    """Of rthread, with threads of both modules around."""
    check(
        module,
        """
class Value:
    pass
key = rthread.TSS()
key.create()
key.set("forking")
stay = api.allocate_lock()
stay.acquire()
def fill():
    key.set(Value())
    stay.acquire()
thread(fill)
def child():
    assert key.get() == "forking"
    seen = []
    # One item when it is done with the key, which is deleted next.
    thread(lambda: seen.append((key.get(), key.set(1))))
    while not seen:
        time.sleep(0.001)
    assert seen == [(None, None)]
    key.set("child")
    key.delete()
    key.create()
    assert key.get() is None
assert in_child(child) == 0
assert key.get() == "forking"
print("fine")
""",
    )


@both
def test_the_sentinel_of_the_forking_thread_stays_held(module: str) -> None:
    """That of the forking thread stays held; those of the others can be made new."""
    check(
        module,
        """
sentinels = []
def stay_on():
    sentinels.append(rthread._set_sentinel())
    sentinels[0].acquire()
    stay.acquire()
stay = api.allocate_lock()
stay.acquire()
own = rthread._set_sentinel()
own.acquire()
thread(stay_on)
while not sentinels or not sentinels[0].locked():
    time.sleep(0.001)
def child():
    assert own.locked()
    sentinels[0]._at_fork_reinit()
    assert sentinels[0].acquire(False)
    ended = []
    def run():
        ended.append(rthread._set_sentinel())
        ended[0].acquire()
        ended.append(None)
    thread(run)
    while len(ended) < 2:
        time.sleep(0.001)
    assert ended[0].acquire(True, 30)
    assert own.locked()
assert in_child(child) == 0
stay.release()
assert sentinels[0].acquire(True, 30)
print("fine")
""",
    )


@both
def test_child_forks_again(module: str) -> None:
    check(
        module,
        """
lock = api.allocate_lock()
lock.acquire()
waiter(lock)
def grandchild():
    lock.release()
    use(lock)
def child():
    waiter(lock)
    assert in_child(grandchild) == 0
    lock.release()
    use(lock)
assert in_child(child) == 0
print("fine")
""",
    )


@both
def test_whole_interpreter_ends_well_in_the_child(module: str) -> None:
    """Through the normal exit, with what the other threads left behind."""
    check(
        module,
        """
local = api._local()
stay = api.allocate_lock()
stay.acquire()
def fill():
    local.x = [local]
    rthread._set_sentinel().acquire()
    stay.acquire()
thread(fill)
pid = os.fork()
if pid == 0:
    signal.alarm(60)
    sys.exit(7)
assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 7
print("fine")
""",
    )
