"""What is run in a sub-interpreter: each object once, from several threads where it may have them.

Runs after the lines `MODE = …` (how it comes to its threads), `THREADS = …` (whether it may start
them), `LINGER = …` (whether threads may outlive it) and `SAY = …` (where to tell what was done: a
file descriptor, as the interpreters share nothing else).
"""
# ruff: noqa: F821, I001
# mypy: ignore-errors

import gc
import os
import weakref


def tell(what):
    os.write(SAY, what)


if MODE in ("install", "command"):
    import rthread

    rthread.install()
if MODE == "shim":
    from rthread import queue, threading
    import rthread as low_level
else:
    import _thread as low_level
    import queue
    import threading

if MODE != "stock":
    import rthread

    assert low_level.allocate_lock is rthread._rthread.allocate_lock
    assert type(threading.Lock()) is rthread.LockType
    assert rthread.is_installed() == (MODE != "shim")


class Thing:
    """Can be weakly referenced."""


def run_threads(*functions):
    if not THREADS:
        # In stock's own words.
        try:
            low_level.start_new_thread(print, ())
        except RuntimeError as error:
            said = str(error)
        assert said == "thread is not supported for isolated subinterpreters"
        return False
    errors = []

    def guarded(function):
        try:
            function()
        except BaseException as error:
            errors.append(error)
            raise

    threads = [threading.Thread(target=guarded, args=(function,)) for function in functions]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
        assert not thread.is_alive()
    assert not errors, errors
    return True


def use_locks():
    lock, rlock = threading.Lock(), threading.RLock()
    with lock:
        assert lock.locked()
        assert not lock.acquire(timeout=0.001)
    with rlock, rlock:
        pass
    count = 0

    def add():
        nonlocal count
        for _ in range(50):
            with lock, rlock, rlock:
                count += 1

    if run_threads(add, add):
        assert count == 100


def use_what_waits():
    condition, event = threading.Condition(), threading.Event()
    semaphore, barrier = threading.Semaphore(0), threading.Barrier(2)
    order = []

    def wait():
        barrier.wait()
        event.wait()
        with condition:
            condition.wait_for(lambda: order)
        semaphore.release()

    def wake():
        barrier.wait()
        event.set()
        with condition:
            order.append(1)
            condition.notify_all()
        semaphore.acquire()

    run_threads(wait, wake)
    assert not threading.Semaphore(0).acquire(blocking=False)
    assert not threading.Event().wait(0.001)


def use_queues():
    for kind in ("Queue", "LifoQueue", "PriorityQueue", "SimpleQueue"):
        items = getattr(queue, kind)()
        items.put(1)
        assert items.get() == 1

        def put(items=items):
            for number in range(10):
                items.put(number)

        if run_threads(put, items.get):
            assert items.qsize() == 9
    with_rest.put(Thing())


def use_thread_locals():
    local = threading.local()
    local.x = "main"
    gone = []

    def set_own():
        assert not hasattr(local, "x")
        local.x = Thing()
        gone.append(weakref.ref(local.x))

    if run_threads(set_own, set_own):
        gc.collect()
        assert [reference() for reference in gone] == [None, None]
    assert local.x == "main"
    if MODE == "stock":
        return
    key = rthread.TSS()
    key.create()
    key.set("main")
    run_threads(lambda: key.set("other"))
    assert key.get() == "main"
    left_set.create()
    left_set.set(Thing())


def use_sentinels_and_handles():
    if MODE == "stock":
        return
    sentinels = queue.Queue()

    def take():
        sentinel = rthread._set_sentinel()
        sentinel.acquire()
        sentinels.put(sentinel)

    if THREADS:
        # Not a Thread: up to 3.12 that has one already.
        rthread.start_new_thread(take, ())
        assert sentinels.get().acquire(timeout=60)
    if hasattr(rthread, "start_joinable_thread") and THREADS:
        done = []
        handle = rthread.start_joinable_thread(lambda: done.append(1), daemon=False)
        handle.join()
        assert done == [1]
        assert handle.is_done()
    assert rthread._count() == 0


def leave_waiting_threads():
    """They run when the interpreter comes to its end, which has to wait for them."""
    go, left = threading.Event(), queue.Queue()

    def wait():
        left.put(left.get() + 1)
        go.wait()
        tell(b"t")

    def wake():
        left.put(1)
        go.set()
        tell(b"t")

    for function in (wait, wake):
        # From 3.13 on the thread that runs this may count as a daemon, and be taken after.
        threading.Thread(target=function, daemon=False).start()


# What is still there at the end of the interpreter.
with_rest = queue.Queue()
held = threading.Lock()
held.acquire()
left = threading.local()
left.x = Thing()
if MODE != "stock":
    left_set = rthread.TSS()
    # The thread that runs this is another one's, or the main one.
    sentinel = rthread._set_sentinel()
    sentinel.acquire()

for use in (
    use_locks,
    use_what_waits,
    use_queues,
    use_thread_locals,
    use_sentinels_and_handles,
):
    use()
if MODE == "install":
    rthread.uninstall()
    assert type(threading.Lock()) is not rthread.LockType
    rthread.install()
    use_locks()
if THREADS and LINGER:
    leave_waiting_threads()
tell(b"u")
