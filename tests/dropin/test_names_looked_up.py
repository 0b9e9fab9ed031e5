"""Names that `threading` and `queue` look up in their own modules each time they use them.

Tools put their own `Lock`, `Condition` or `Empty` there, and what is made or raised afterwards is
theirs. A tool that puts the old one back has it used again.
"""

# ruff: noqa: B023
from __future__ import annotations

import collections
import queue
import threading
import time
from unittest import mock

from case_support import attempt, case, outcome, tell, until, waiting, within


def test_the_same_as_on_stock(compare):
    compare()


def spied(module, name, seen):
    """A function in the place of `module.name` that notes its calls; it is not put back."""
    real = getattr(module, name)

    def spy(*args, **kwargs):
        seen.append(name)
        return real(*args, **kwargs)

    setattr(module, name, spy)
    return real


MAKERS = {
    "Condition": lambda: threading.Condition(),
    "Condition(Lock)": lambda: threading.Condition(threading.Lock()),
    "Event": lambda: threading.Event(),
    "Semaphore": lambda: threading.Semaphore(2),
    "BoundedSemaphore": lambda: threading.BoundedSemaphore(2),
    "Barrier": lambda: threading.Barrier(1),
    "Timer": lambda: threading.Timer(0, print),
    "Queue": lambda: queue.Queue(),
    "LifoQueue": lambda: queue.LifoQueue(),
    "PriorityQueue": lambda: queue.PriorityQueue(),
}


def exercised(made):
    """Call a few methods of an object of any of these classes."""
    if isinstance(made, queue.Queue):
        made.put(1)
        return made.get(), made.qsize(), made.task_done()
    if hasattr(made, "release") and not hasattr(made, "notify"):
        return made.acquire(), made.release(), made.acquire(timeout=0.01)
    if hasattr(made, "set"):
        return made.wait(0.001), made.set(), made.wait(1), made.is_set()
    if hasattr(made, "notify"):
        with made:
            return made.wait(0.001), made.notify(), made.notify_all()
    if hasattr(made, "reset"):
        return made.wait(), made.reset()
    return None


def makers_with(name):
    for label, make in MAKERS.items():
        seen = []
        real = spied(threading, name, seen)
        attempt(label, lambda make=make: exercised(make()))
        tell(sorted(collections.Counter(seen).items()))
        setattr(threading, name, real)


@case
def lock_replaced():
    makers_with("Lock")


@case
def rlock_replaced():
    makers_with("RLock")


@case
def allocate_lock_replaced():
    makers_with("_allocate_lock")


@case
def condition_replaced():
    makers_with("Condition")


@case
def event_replaced():
    makers_with("Event")


@case
def deque_replaced():
    makers_with("_deque")


@case
def semaphore_replaced():
    makers_with("Semaphore")


@case
def a_replaced_lock_is_the_one_that_is_held():
    class Lock:
        def __init__(self):
            self.held = False
            self.said = []

        def __enter__(self):
            self.held = True
            self.said.append("enter")

        def __exit__(self, *args):
            self.held = False
            self.said.append("exit")

        def locked(self):
            return self.held

        def acquire(self, *args):
            self.said.append(f"acquire{args}")
            took, self.held = not self.held, True
            return took

        def release(self):
            self.held = False
            self.said.append("release")

    with mock.patch.object(threading, "Lock", Lock):
        event = threading.Event()
        semaphore = threading.Semaphore()
        barrier = threading.Barrier(2)
        line = queue.Queue()
    event.set()
    event.clear()
    semaphore.release()
    attempt("reset", barrier.reset)
    tell(type(event._cond._lock).__name__, event._cond._lock.said)
    tell(type(semaphore._cond._lock).__name__, semaphore._cond._lock.said)
    tell(type(barrier._cond._lock).__name__, barrier._cond._lock.said)
    attempt("put", line.put, 1)
    tell(type(line.mutex).__name__, line.mutex.said)


@case
def a_replaced_lock_that_raises():
    for name in ("Lock", "RLock", "Condition", "_allocate_lock"):
        with mock.patch.object(threading, name, side_effect=RuntimeError(name)):
            for label, make in MAKERS.items():
                attempt(f"{name} {label}", lambda make=make: exercised(make()))


@case
def a_name_that_is_missing():
    for name in ("Lock", "RLock", "Condition", "_allocate_lock", "_time", "BrokenBarrierError"):
        real = getattr(threading, name)
        delattr(threading, name)
        for label, make in MAKERS.items():
            attempt(f"no {name}: {label}", lambda make=make: exercised(make()))
        setattr(threading, name, real)
    for label, make in MAKERS.items():
        attempt(label, lambda make=make: exercised(make()))


@case
def replaced_and_put_back():
    for name in ("Lock", "RLock", "Condition", "_allocate_lock"):
        seen = []
        real = spied(threading, name, seen)
        spy = getattr(threading, name)
        for _ in range(3):
            setattr(threading, name, real)
            threading.Condition()
            threading.Event().wait(0.001)
            count = len(seen)
            setattr(threading, name, spy)
            threading.Condition()
            threading.Event().wait(0.001)
            tell(name, count == 0 or count, len(seen))
            seen.clear()
        setattr(threading, name, real)


@case
def replaced_by_globals_and_exec():
    seen = []
    real = threading.Lock
    namespace = vars(threading)
    namespace.update(Lock=lambda: seen.append("update") or real())
    threading.Event()
    exec("Lock = spy", namespace, {"spy": 1})
    namespace["spy"] = lambda: seen.append("exec") or real()
    exec("Lock = spy", namespace)
    threading.Semaphore()
    namespace.pop("Lock")
    attempt("popped", threading.Event)
    namespace.setdefault("Lock", lambda: seen.append("setdefault") or real())
    threading.Barrier(1)
    tell(seen)


@case
def the_lock_in_the_globals_of_a_method():
    seen = []
    real = threading.Lock
    threading.Event.__init__.__globals__["Lock"] = lambda: seen.append("globals") or real()
    threading.Event()
    threading.Semaphore()
    tell(seen, threading.Event.__init__.__globals__ is vars(threading))


@case
def a_builtin_replaced_in_the_module():
    """A global hides the builtin of that name."""
    seen = []
    threading.len = lambda thing: seen.append("len") or len(thing)
    threading.ValueError = KeyError
    threading.RuntimeError = LookupError
    attempt("semaphore", threading.Semaphore, -1)
    attempt("notify", threading.Condition().notify)
    attempt("wait", threading.Condition().wait)
    attempt("bounded", threading.BoundedSemaphore(1).release)
    condition = threading.Condition()
    with condition:
        condition.notify_all()
    tell(seen)
    queue.ValueError = KeyError
    attempt("task_done", queue.Queue().task_done)
    attempt("negative", queue.Queue().get, timeout=-1)


# Clocks


class Clock:
    """A clock that goes on by a second a look."""

    def __init__(self):
        self.looks = 0

    def __call__(self):
        self.looks += 1
        return float(self.looks)


def timed(clock, *calls):
    for label, call in calls:
        clock.looks = 0
        said = within(call)
        tell(label, said, clock.looks)


@case
def the_time_of_threading_replaced():
    clock = Clock()
    real, threading._time = threading._time, clock
    condition = threading.Condition()

    def wait_for():
        with condition:
            return condition.wait_for(lambda: clock.looks > 5, 100)

    def never():
        with condition:
            return condition.wait_for(lambda: False, 0.002)

    empty = threading.Semaphore(0)
    timed(
        clock,
        ("wait_for", never),
        ("acquire", lambda: empty.acquire(timeout=0.002)),
        ("bounded", lambda: threading.BoundedSemaphore(0).acquire(True, 0.002)),
        ("event", lambda: threading.Event().wait(0.002)),
        ("barrier", lambda: threading.Barrier(2).wait(0.002)),
    )
    threading._time = real
    timed(clock, ("wait_for", never), ("acquire", lambda: empty.acquire(timeout=0.002)))


@case(only="queue")
def the_time_of_queue_replaced():
    clock = Clock()
    real, queue.time = queue.time, clock
    full = queue.Queue(1)
    full.put(1)
    timed(
        clock,
        ("get", lambda: queue.Queue().get(timeout=0.5)),
        ("get more", lambda: queue.LifoQueue().get(True, 1.5)),
        ("put", lambda: full.put(2, timeout=0.5)),
        ("no wait", lambda: full.put(2, timeout=0)),
        ("no time-out", lambda: full.get()),
    )
    queue.time = real
    timed(clock, ("get", lambda: queue.PriorityQueue().get(timeout=0.01)))


@case
def time_monotonic_replaced():
    """`threading` has taken it already; `queue` has its own name for it."""
    clock = Clock()
    with mock.patch.object(time, "monotonic", clock):
        timed(
            clock,
            ("acquire", lambda: threading.Semaphore(0).acquire(timeout=0.01)),
            ("get", lambda: queue.Queue().get(timeout=0.01)),
            ("barrier", lambda: threading.Barrier(2).wait(0.01)),
        )


# Exceptions


class Other(Exception):
    pass


def raised(call):
    try:
        call()
    except Exception as error:
        return type(error).__name__
    return "nothing"


@case
def broken_barrier_error_replaced():
    barrier = threading.Barrier(2)
    with mock.patch.object(threading, "BrokenBarrierError", Other):
        tell("time-out", raised(lambda: barrier.wait(0.001)))
        tell("broken", raised(lambda: barrier.wait()))
        barrier.reset()
        waiter = waiting(lambda: raised(barrier.wait))
        barrier.abort()
        tell("aborted", waiter.said())
        barrier.reset()
        waiter = waiting(lambda: raised(barrier.wait))
        barrier.reset()
        tell("reset", waiter.said())
    tell("afterwards", raised(lambda: barrier.wait(0.001)))


@case
def broken_barrier_error_replaced_during_a_wait():
    barrier = threading.Barrier(2)
    waiter = waiting(lambda: raised(barrier.wait))
    threading.BrokenBarrierError = Other
    barrier.abort()
    tell(waiter.said())


@case(only="queue")
def empty_and_full_replaced():
    for cls in (queue.Queue, queue.LifoQueue, queue.PriorityQueue):
        line = cls(1)
        with mock.patch.object(queue, "Empty", Other):
            tell(raised(line.get_nowait), raised(lambda: line.get(timeout=0.001)))
            tell(raised(lambda: line.get(False)))
        line.put(1)
        with mock.patch.object(queue, "Full", Other):
            tell(raised(lambda: line.put_nowait(1)), raised(lambda: line.put(1, timeout=0.001)))
            tell(raised(lambda: line.put(1, False)))
        tell(raised(lambda: line.put_nowait(1)), line.get(), raised(line.get_nowait))


@case(only="queue", since=(3, 13))
def shut_down_replaced():
    for cls in (queue.Queue, queue.LifoQueue, queue.PriorityQueue):
        line = cls(1)
        waiter = waiting(lambda line=line: raised(line.get))
        with mock.patch.object(queue, "ShutDown", Other):
            line.shutdown()
            tell(waiter.said(), raised(line.get), raised(lambda: line.put(1)))
        tell(raised(line.get))


@case(only="queue")
def a_name_of_queue_is_missing():
    line = queue.Queue(1)
    for name in ("Empty", "Full", "time"):
        real = getattr(queue, name)
        delattr(queue, name)
        attempt(f"{name} get", line.get_nowait)
        attempt(f"{name} get soon", line.get, timeout=0.001)
        line.put(1)
        attempt(f"{name} put", line.put_nowait, 1)
        attempt(f"{name} put soon", line.put, 1, timeout=0.001)
        line.get()
        setattr(queue, name, real)
    attempt("afterwards", line.get_nowait)


@case
def allocate_lock_replaced_under_waits():
    seen = []
    allocate = threading._allocate_lock
    event, semaphore = threading.Event(), threading.Semaphore(0)
    barrier, condition = threading.Barrier(2), threading.Condition()

    def wait():
        with condition:
            return condition.wait(20)

    threading._allocate_lock = lambda: seen.append("wait") or allocate()
    waiters = [waiting(event.wait), waiting(semaphore.acquire), waiting(wait)]
    event.set()
    semaphore.release()
    with condition:
        condition.notify()
    tell([waiter.said() for waiter in waiters], len(seen))
    waiters = [waiting(barrier.wait)]
    barrier.wait()
    tell([waiter.said() for waiter in waiters], len(seen))


@case
def replaced_while_threads_wait():
    """A wait that began before goes on as it began; a later one uses the new name."""
    seen = []
    event = threading.Event()
    before = waiting(event.wait)
    spied(threading, "_allocate_lock", seen)
    after = waiting(event.wait, 20)
    event.set()
    tell(before.said(), after.said(), seen)


@case
def a_thread_started_with_a_replaced_event():
    seen = []
    spied(threading, "Event", seen)
    spied(threading, "Condition", seen)
    thread = threading.Thread(target=tell, args=["runs"])
    thread.start()
    thread.join()
    tell(seen)


@case
def mocks_for_locks():
    lock = mock.MagicMock()
    with mock.patch.object(threading, "Lock", return_value=lock):
        event = threading.Event()
    event.set()
    tell(lock.mock_calls)
    with mock.patch("threading.Condition") as condition:
        semaphore = threading.Semaphore(3)
        semaphore.acquire()
        line = queue.Queue()
        line.put(1)
    tell(condition.mock_calls)


@case
def a_patch_in_another_thread():
    seen = []
    real = threading.Lock

    def patch():
        threading.Lock = lambda: seen.append(1) or real()

    within(patch)
    threading.Event()
    tell(seen)
    threading.Lock = real
    within(threading.Event)
    tell(seen)


@case
def the_module_is_replaced():
    """A copy of the module in `sys.modules` is not the one that the classes look into."""
    import sys
    import types

    seen = []
    copy = types.ModuleType("threading")
    copy.__dict__.update(vars(threading))
    copy.Lock = lambda: seen.append("copy") or threading.Lock()
    sys.modules["threading"] = copy
    import threading as other

    other.Event()
    other.Semaphore()
    tell(seen)
    copy.Event.__init__.__globals__["Lock"] = copy.Lock
    tell(outcome(lambda: type(other.Event()).__name__), seen[:1], until(lambda: seen))


@case(needs=("gevent",))
def gevent_in_the_place_of_threads():
    from gevent import monkey

    monkey.patch_all()
    import gevent

    condition, event = threading.Condition(), threading.Event()
    semaphore, line = threading.Semaphore(0), queue.Queue()

    def wake():
        with condition:
            condition.notify()
        event.set()
        semaphore.release()
        line.put("item")

    gevent.spawn_later(0.05, wake)
    with condition:
        tell(condition.wait(5))
    tell(event.wait(5), semaphore.acquire(timeout=5), line.get(timeout=5))
    start = monkey.get_original("_thread", "start_new_thread")
    tell(type(start).__name__)
    barrier = threading.Barrier(2)
    gevent.spawn(barrier.wait)
    tell(barrier.wait(5) in (0, 1))


@case(needs=("eventlet",))
def eventlet_in_the_place_of_threads():
    import warnings

    warnings.simplefilter("ignore")
    import eventlet

    eventlet.monkey_patch()
    import queue
    import threading

    event, line = threading.Event(), queue.Queue()
    semaphore = threading.Semaphore(0)

    def wake():
        event.set()
        line.put("item")
        semaphore.release()

    eventlet.spawn_after(0.05, wake)
    tell(event.wait(5), line.get(timeout=5), semaphore.acquire(timeout=5))
