"""Further places where a program can tell rthread from stock, one or two cases each."""

from __future__ import annotations

import _thread
import atexit
import ctypes
import functools
import gc
import os
import queue
import signal
import sys
import threading
import time
import types

from case_support import Waiter, attempt, case, leave, outcome, tell, until, waiting


def test_the_same_as_on_stock(compare):
    compare()


# Threads at the end of the program

# Nothing of `threading`, which may have ended.
tried, told = [], []


def late(word="late"):
    until(lambda: tried)
    tell(word)
    told.append(word)


def try_to(start):
    """Say what comes of a start; the thread speaks after that."""
    try:
        start()
    except RuntimeError as error:
        tell(f"start: {type(error).__name__}: {error}")
        told.append("nothing")
    else:
        tell("started")
    tried.append(start)


@case
def a_thread_started_at_exit():
    def start():
        try_to(threading.Thread(target=late).start)
        until(lambda: told)

    atexit.register(start)


@case
def a_bare_thread_started_at_exit():
    def start():
        try_to(lambda: _thread.start_new_thread(late, ()))
        until(lambda: told)

    atexit.register(start)


@case
def a_thread_started_before_the_exit_of_others():
    register = getattr(threading, "_register_atexit", None)
    if register is not None:
        register(lambda: try_to(threading.Thread(target=late).start))


@case
def a_thread_that_starts_another_while_main_has_ended():
    def first():
        until(lambda: not threading.main_thread().is_alive())
        try_to(threading.Thread(target=late).start)

    threading.Thread(target=first).start()


@case
def waits_at_exit():
    event, line = threading.Event(), queue.Queue()
    threading.Thread(target=lambda: (event.wait(), line.put("done"))).start()
    atexit.register(lambda: tell(line.get(timeout=5)))
    threading.Timer(0.05, event.set).start()


@case
def a_deadlocked_daemon_at_exit():
    threading.Thread(target=threading.Event().wait, daemon=True).start()
    threading.Thread(target=queue.Queue().get, daemon=True).start()
    waiting(threading.Barrier(2).wait)
    tell(threading.active_count())


# Long chains


def chained(make, length=100_000):
    # For speed: it is reference counts that free the chain.
    gc.disable()
    chain = None
    for _ in range(length):
        chain = make(chain)
    del chain
    return "freed"


@case
def a_chain_of_barriers():
    attempt("action", chained, lambda b: threading.Barrier(1, types.MethodType(print, [b])))


@case
def a_chain_of_derived_objects():
    class Event(threading.Event):
        __slots__ = ("next",)

        def __init__(self, after):
            super().__init__()
            self.next = after

    class Semaphore(threading.Semaphore):
        def __init__(self, after):
            super().__init__()
            self.next = after

    class Condition(threading.Condition):
        def __init__(self, after):
            super().__init__(threading.Lock())
            self.next = after

    for cls in (Event, Semaphore, Condition):
        attempt(cls.__name__, chained, cls, 30_000)


@case(only="queue")
def a_chain_of_queues():
    def make(cls):
        def link(after):
            line = cls()
            line.put((0, after))
            return line

        return link

    for cls in (queue.Queue, queue.LifoQueue, queue.PriorityQueue, queue.SimpleQueue):
        attempt(cls.__name__, chained, make(cls), 30_000)


@case
def a_chain_of_conditions_over_locks():
    class Lock:
        def __init__(self, under):
            self.under = under
            self.acquire = self.release = print

    attempt("lock", chained, lambda c: threading.Condition(Lock(c)), 30_000)


@case
def a_chain_of_locals():
    class Local(threading.local):
        pass

    def link(after):
        local = Local()
        local.next = after
        return local

    attempt("local", chained, link, 20_000)


# Forks that are none


@case
def before_fork_without_a_fork():
    """An extension calls the hooks and makes its child by vfork or posix_spawn."""
    api = ctypes.pythonapi
    api.PyOS_BeforeFork()
    api.PyOS_AfterFork_Parent()
    began = time.monotonic()
    for _ in range(5):
        thread = threading.Thread(target=int)
        thread.start()
        thread.join()
    tell("quick" if time.monotonic() - began < 3 else "slow")


@case
def before_fork_and_nothing_else():
    """The hooks have run, and no fork came: threads start all the same."""
    ctypes.pythonapi.PyOS_BeforeFork()
    ctypes.pythonapi.PyOS_AfterFork_Parent()
    event, line = threading.Event(), queue.Queue()
    threads = [threading.Thread(target=lambda: (event.wait(), line.put(1))) for _ in range(5)]
    for thread in threads:
        thread.start()
    event.set()
    for thread in threads:
        thread.join()
    tell(line.qsize())


# Classes that look like threading's


@case
def a_class_of_that_name():
    class Thread:
        def __init__(self):
            self._started = threading.Event()
            self.go = threading.Event()

        def _bootstrap(self):
            self.go.wait()
            self._started.set()

    thread = Thread()
    _thread.start_new_thread(thread._bootstrap, ())
    tell("started")
    thread.go.set()
    tell(thread._started.wait(10))


@case
def bootstraps_called_by_hand():
    thread = threading.Thread(target=tell, args=("by hand",))
    attempt("unstarted", lambda: thread._started.is_set())
    other = threading.Thread(target=tell, args=("started",))
    other.start()
    other.join()
    attempt("again", other.start)
    attempt("join before", threading.Thread().join)
    tell(threading.active_count())


# First come, first served


@case(only="queue")
def getters_of_a_priority_queue_in_their_order():
    for cls in (queue.Queue, queue.PriorityQueue, queue.LifoQueue):
        line = cls()
        getters = [waiting(line.get), waiting(line.get)]
        attempt("poll", line.get_nowait)
        attempt("poll", line.get, timeout=0.001)
        for number, getter in enumerate(getters):
            line.put(number)
            tell(getter.said(), [other.said(0) for other in getters[number + 1 :]])
    leave()


@case(only="queue")
def putters_of_a_queue_in_their_order():
    for cls in (queue.Queue, queue.PriorityQueue):
        line = cls(1)
        line.put(0)
        putters = [waiting(line.put, 1), waiting(line.put, 2)]
        attempt("poll", line.put_nowait, 9)
        tell([line.get(), putters[0].said(), line.get(), putters[1].said(), line.get()])
    leave()


@case(only="queue")
def comparisons_that_fail_and_reenter():
    class Item:
        def __init__(self, key):
            self.key = key

        def __lt__(self, other):
            if self.key == "bad" or other.key == "bad":
                raise ZeroDivisionError
            return self.key < other.key

        def __repr__(self):
            return f"Item({self.key!r})"

    line = queue.PriorityQueue()
    line.put(Item(2))
    attempt("bad", line.put, Item("bad"))
    tell(line.qsize(), line.unfinished_tasks, line.queue)
    attempt("mixed", queue.PriorityQueue().put, object())
    other = queue.PriorityQueue()
    other.put(1)
    attempt("mixed", other.put, "x")
    tell(other.qsize(), other.unfinished_tasks)


# No memory


def without_memory(makers):
    """The exceptions of calls each of which lacks the memory for another allocation."""
    import _testcapi

    kinds = set()
    for number, make in enumerate(makers):
        _testcapi.set_nomemory(number, number + 1)
        try:
            make()
        except MemoryError:
            kinds.add("MemoryError")
        except BaseException as error:
            kinds.add(f"{type(error).__name__}: {error}")
        finally:
            _testcapi.remove_mem_hooks()
    # Stock says the latter where it makes a lock.
    return sorted(kinds - {"MemoryError", "RuntimeError: can't allocate lock"})


@case(needs=("_testcapi",))
def derived_classes_without_memory():
    for base in (threading.Event, threading.Condition, threading.Semaphore, threading.Barrier):
        cls = type("Derived", (base,), {"__init__": base.__init__})
        arguments = (2,) if base is threading.Barrier else ()
        cls(*arguments)
        for kind in (cls, base):
            tell(base.__name__, without_memory([functools.partial(kind, *arguments)] * 60))


@case(needs=("_testcapi",), only="queue")
def queues_without_memory():
    for base in (queue.Queue, queue.LifoQueue, queue.PriorityQueue):
        cls = type("Derived", (base,), {})
        cls().put(1)
        tell(base.__name__, without_memory([cls] * 60))
        tell(without_memory([functools.partial(cls().put, 1) for _ in range(30)]))


# Exceptions of rthread's own


@case(expect="[True, True, True, True, True, True]")
def the_exception_of_rthreads_queues_pickles():
    import pickle

    from rthread.queue import ShutDown

    pickled = [pickle.dumps(ShutDown("x"), protocol) for protocol in range(6)]
    print([isinstance(pickle.loads(data), ShutDown) for data in pickled])


# Clocks of tests


@case(needs=("freezegun",))
def a_frozen_clock_is_asked_in_queue():
    import freezegun

    freezegun.configure(default_ignore_list=["nothing.of.that.name"])
    with freezegun.freeze_time("2020-01-01") as frozen:
        line = queue.Queue()
        waiter = Waiter(lambda: line.get(timeout=0.02))
        tell(waiter.said(0.3))
        frozen.tick(1)
        tell(waiter.said())
        semaphore = threading.Semaphore(0)
        other = Waiter(lambda: semaphore.acquire(timeout=0.02))
        tell(other.said(0.3))
        frozen.tick(1)
        tell(other.said())
        barrier = threading.Barrier(2)
        last = Waiter(lambda: barrier.wait(0.02))
        tell(last.said(0.3))
    leave()


@case(needs=("freezegun",))
def a_frozen_clock_as_it_comes():
    import freezegun

    with freezegun.freeze_time("2020-01-01"):
        tell(within_time(lambda: queue.Queue().get(timeout=0.02)))
        tell(within_time(lambda: threading.Semaphore(0).acquire(timeout=0.02)))
        tell(within_time(lambda: threading.Event().wait(0.02)))
    leave()


def within_time(call):
    return Waiter(call).said(2)


# Seen by tools


@case
def traced_and_profiled():
    """The functions that a profiler hears of by name, without the calls inside of them."""
    seen = []

    def hook(frame, event, arg):
        if event == "call" and frame.f_code.co_filename == __file__:
            seen.append(frame.f_code.co_name)

    def mine():
        event = threading.Event()
        event.set()
        return event.wait(1)

    sys.setprofile(hook)
    mine()
    sys.setprofile(None)
    tell(seen)


@case
def idents_and_names():
    end = threading.Event()
    thread = threading.Thread(target=end.wait, name="a name")
    thread.start()
    tell(thread.ident in sys._current_frames(), thread.native_id is not None, thread.name)
    tell([t.name for t in threading.enumerate()], thread.is_alive(), thread.daemon)
    end.set()
    thread.join()
    tell(repr(thread).split("(")[0], thread.is_alive())
    tell(threading.current_thread().name, threading.main_thread().ident == threading.get_ident())
    tell(_thread.__name__, threading._allocate_lock.__name__, threading.Lock.__name__)
    tell(sys.modules["_thread"].__name__, sys.modules["threading"].__name__)
    tell(_thread.LockType.__module__, _thread.RLock.__module__, _thread._local.__module__)
    tell(threading.Event.__module__, queue.Queue.__module__, queue.SimpleQueue.__module__)


@case
def specs_of_the_modules():
    for name in ("_thread", "threading", "queue", "_queue"):
        module = sys.modules.get(name)
        spec = getattr(module, "__spec__", None)
        # The specification says where a module came from, and that is true of rthread's.
        told = name != "_thread"
        tell(name, getattr(module, "__name__", None), told and getattr(spec, "name", None))


@case
def a_module_imported_again():
    import importlib

    stock_event = threading.Event
    reloaded = importlib.reload(queue)
    tell(reloaded is queue, outcome(queue.Queue().get, timeout=0.001))
    line = queue.Queue()
    line.put(1)
    tell(line.get(), threading.Event is stock_event)
    sys.modules.pop("queue")
    again = importlib.import_module("queue")
    tell(again is queue, outcome(again.Queue().get_nowait), again.Empty is queue.Empty)


@case
def other_modules_use_them():
    import concurrent.futures
    import logging.handlers
    import sched
    import socketserver

    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        tell(list(pool.map(str, range(5))))
        future = pool.submit(pow, 2, 5)
        tell(future.result(5), future._condition is not None)
    line = queue.Queue()
    handler = logging.handlers.QueueHandler(line)
    listener = logging.handlers.QueueListener(line, logging.NullHandler())
    listener.start()
    handler.emit(logging.LogRecord("n", 20, "p", 1, "message", (), None))
    listener.stop()
    tell(line.empty())
    scheduler = sched.scheduler()
    scheduler.enter(0.001, 1, tell, ("scheduled",))
    scheduler.run()
    server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), socketserver.BaseRequestHandler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    server.shutdown()
    thread.join()
    server.server_close()
    tell(thread.is_alive())


@case
def barriers_and_conditions_of_multiprocessing():
    import multiprocessing

    context = multiprocessing.get_context("fork")
    barrier, event = context.Barrier(1), context.Event()
    semaphore, line = context.Semaphore(1), context.Queue()
    tell(barrier.wait(1), barrier.broken, event.is_set(), event.set(), event.wait(1))
    tell(semaphore.acquire(timeout=1), line.put("x"), line.get(timeout=10))
    line.close()
    line.join_thread()


@case
def ctrl_c_in_the_last_join():
    heard = []

    def send():
        until(lambda: not threading.main_thread().is_alive())
        time.sleep(0.05)
        os.kill(os.getpid(), signal.SIGINT)
        until(lambda: heard)
        tell("the thread goes on")

    signal.signal(signal.SIGINT, lambda *_: (tell("heard"), heard.append(1)))
    threading.Thread(target=send).start()
