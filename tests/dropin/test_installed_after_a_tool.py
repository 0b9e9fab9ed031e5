"""rthread installed after a tool has put its own things into `_thread`, `threading` or `queue`.

The tool's stay, in these modules and in its own; only stock's are replaced.
"""

from __future__ import annotations

import _thread
import functools
import queue
import sys
import threading
import types
import warnings
from typing import ClassVar

import case_support
from case_support import attempt, case, tell, until


def test_the_same_as_on_stock(compare):
    compare()


def install():
    """rthread may warn of what it leaves alone; that goes to standard error."""
    warnings.simplefilter("ignore")
    case_support.install()


def tool(**names):
    module = types.ModuleType("tool")
    vars(module).update(names)
    sys.modules["tool"] = module
    return module


@case(plain=True)
def a_start_function_in_the_thread_module():
    real = _thread.start_new_thread
    started = []

    def start_new_thread(*args, **kwargs):
        started.append(args[1:])
        return real(*args, **kwargs)

    module = tool(start_new_thread=start_new_thread)
    _thread.start_new_thread = start_new_thread
    install()
    import _thread as thread_module

    done = threading.Event()
    thread_module.start_new_thread(done.set, ())
    tell(done.wait(10), started, module.start_new_thread is start_new_thread)


@case(plain=True, since=(3, 13))
def a_start_function_in_the_thread_module_that_threading_has_taken_before():
    """A thread that is not a daemon is waited for at the end, whichever function started it."""
    real = _thread.start_joinable_thread

    def start_joinable_thread(*args, **kwargs):
        return real(*args, **kwargs)

    _thread.start_joinable_thread = start_joinable_thread
    before = threading.Thread(target=int)
    install()
    before.start()
    before.join()

    def run():
        until(lambda: not threading.main_thread().is_alive())
        tell("at the end")

    thread = threading.Thread(target=run)
    thread.start()
    tell(thread.is_alive(), thread.join(0.01), threading.main_thread().is_alive())
    import _thread as thread_module

    handle = thread_module._ThreadHandle()
    thread_module.start_joinable_thread(lambda: tell("with a handle"), handle=handle)
    handle.join()
    tell(handle.is_done(), thread_module.start_joinable_thread is start_joinable_thread)


@case(plain=True)
def a_start_function_in_threading():
    name = "_start_joinable_thread" if sys.version_info >= (3, 13) else "_start_new_thread"
    real = getattr(threading, name)
    started = []

    def start(function, *args, **kwargs):
        started.append(function.__name__)
        return real(function, *args, **kwargs)

    setattr(threading, name, start)
    module = tool(start=start)
    install()
    thread = threading.Thread(target=tell, args=("runs",))
    thread.start()
    thread.join()
    tell(started, getattr(threading, name) is start, module.start is start)


@case(plain=True)
def classes_of_a_tool():
    for name in ("Event", "Condition", "Semaphore", "BoundedSemaphore", "Barrier"):
        base = getattr(threading, name)
        derived = type("Traced" + name, (base,), {"made": []})

        def init(self, *args, derived=derived, **kwargs):
            derived.made.append(args)
            super(derived, self).__init__(*args, **kwargs)

        derived.__init__ = init
        setattr(threading, name, derived)
        tool(**{name: derived})
    install()
    for name in ("Event", "Condition", "Semaphore", "BoundedSemaphore", "Barrier"):
        cls = getattr(threading, name)
        arguments = (2,) if name == "Barrier" else ()
        attempt(name, lambda cls=cls, arguments=arguments: type(cls(*arguments)).__name__)
        tell(cls.__name__, cls.made)
    timer = threading.Timer(0.001, tell, ["timer"])
    timer.start()
    timer.join()
    tell(threading.Event.made)
    event = threading.Event()
    waiter = case_support.waiting(event.wait)
    event.set()
    tell(waiter.said(), event.is_set())


@case(plain=True)
def functions_for_locks():
    seen = []
    lock, rlock, allocate = threading.Lock, threading.RLock, threading._allocate_lock

    def Lock():
        seen.append("Lock")
        return lock()

    def RLock():
        seen.append("RLock")
        return rlock()

    def _allocate_lock():
        seen.append("allocate")
        return allocate()

    threading.Lock, threading.RLock, threading._allocate_lock = Lock, RLock, _allocate_lock
    install()
    tell(threading.Lock is Lock, threading.RLock is RLock)
    threading.Condition()
    threading.Event().wait(0.001)
    threading.Semaphore()
    threading.Barrier(1)
    tell(seen)


@case(plain=True)
def methods_replaced_before():
    calls = []
    for cls, name in (
        (threading.Event, "set"),
        (threading.Condition, "wait"),
        (threading.Condition, "__init__"),
        (threading.Semaphore, "acquire"),
        (threading.Barrier, "wait"),
        (threading.Thread, "start"),
        (queue.Queue, "put"),
        (queue.Queue, "_get"),
    ):
        real = getattr(cls, name)

        def noted(self, *args, _real=real, _name=f"{cls.__name__}.{name}", **kwargs):
            calls.append(_name)
            return _real(self, *args, **kwargs)

        setattr(cls, name, functools.wraps(real)(noted))
    install()
    event = threading.Event()
    event.set()
    event.clear()
    event.wait(0.001)
    threading.Semaphore().acquire()
    threading.Barrier(1).wait()
    line = queue.Queue()
    line.put(1)
    line.get()
    tell(calls)


@case(plain=True)
def a_queue_class_of_a_tool():
    class Traced(queue.Queue):
        puts: ClassVar = []

        def put(self, item, *args, **kwargs):
            self.puts.append(item)
            return super().put(item, *args, **kwargs)

    queue.Queue = Traced
    install()
    line = queue.Queue()
    line.put_nowait(1)
    tell(type(line).__name__, line.puts, line.get(), queue.Queue is Traced)
    tell(issubclass(queue.LifoQueue, Traced), queue.LifoQueue.__mro__[1].__name__)


@case(plain=True)
def exceptions_of_a_tool():
    class Empty(queue.Empty):
        pass

    class Broken(threading.BrokenBarrierError):
        pass

    queue.Empty, threading.BrokenBarrierError = Empty, Broken
    install()
    tell(queue.Empty is Empty, threading.BrokenBarrierError is Broken)
    for call in (queue.Queue().get_nowait, lambda: threading.Barrier(2).wait(0.001)):
        try:
            call()
        except (Empty, Broken) as error:
            tell(type(error).__name__)


@case(plain=True)
def names_that_other_modules_have_taken():
    module = tool(
        Event=threading.Event,
        Lock=threading.Lock,
        start=_thread.start_new_thread,
        allocate=_thread.allocate_lock,
        current=threading.current_thread,
    )

    class Mine(threading.Event):
        pass

    module.Mine = Mine
    install()
    tell(module.Mine is Mine, module.Lock().locked())
    done = module.Event()
    module.start(done.set, ())
    tell(done.wait(10), module.allocate().acquire(), module.current() is threading.main_thread())
    mine = Mine()
    waiter = case_support.waiting(mine.wait)
    mine.set()
    tell(waiter.said())


@case(plain=True)
def objects_made_before():
    event, condition, semaphore = threading.Event(), threading.Condition(), threading.Semaphore(0)
    line, lock, barrier = queue.Queue(), threading.Lock(), threading.Barrier(2)
    line.put("before")
    event.set()
    lock.acquire()
    install()
    waiters = [case_support.waiting(semaphore.acquire), case_support.waiting(barrier.wait)]
    semaphore.release()
    barrier.wait()
    tell(event.is_set(), event.wait(1), line.get(), lock.locked(), lock.release())
    with condition:
        tell(condition.wait(0.001), condition.notify())
    tell([waiter.said() != "waits for ever" for waiter in waiters])


@case(plain=True)
def compiled_functions():
    """Compilers make the methods of the classes objects that are no Python functions."""

    class Compiled:
        def __init__(self, function):
            self.__wrapped__ = function
            for name in ("__name__", "__doc__", "__code__", "__defaults__", "__qualname__"):
                setattr(self, name, getattr(function, name))

        def __get__(self, made, cls=None):
            return self.__wrapped__.__get__(made, cls)

        def __call__(self, *args, **kwargs):
            return self.__wrapped__(*args, **kwargs)

    classes = [getattr(threading, name) for name in ("Event", "Condition", "Semaphore", "Barrier")]
    classes += [threading.BoundedSemaphore, queue.Queue, queue.LifoQueue, queue.PriorityQueue]
    for cls in classes:
        for name, value in list(vars(cls).items()):
            if isinstance(value, types.FunctionType):
                setattr(cls, name, Compiled(value))
    install()
    event = threading.Event()
    event.set()
    tell(event.is_set(), event.wait(1), threading.Semaphore(2).acquire())
    with threading.Condition() as taken:
        tell(taken)
    tell(threading.Barrier(1).wait(), threading.BoundedSemaphore().acquire())
    line = queue.PriorityQueue()
    line.put(2)
    line.put(1)
    tell(line.get(), line.qsize())


@case(plain=True)
def builtin_functions_for_methods():
    """As Cython makes them: no `__get__` of a Python function, and no code."""
    import operator

    threading.Event.is_set = operator.attrgetter("_flag")
    threading.Event.isSet = property(lambda self: self._flag)
    install()
    event = threading.Event()
    event.set()
    attempt("attrgetter", lambda: event.is_set(event))
    tell(event.isSet)


@case(plain=True)
def modules_of_a_test():
    """A double of a module in the place of the module."""
    from unittest import mock

    with mock.patch.object(threading, "Lock", mock.Mock(side_effect=threading.Lock)) as lock:
        install()
        threading.Event()
        tell(lock.call_count)
    threading.Event()
    tell(lock.call_count, isinstance(threading.Lock, mock.Mock))


@case(plain=True)
def a_tool_after_rthread():
    install()
    seen = []
    real_lock, real_event = threading.Lock, threading.Event
    threading.Lock = lambda: seen.append("Lock") or real_lock()

    class Event(real_event):
        def __init__(self):
            seen.append("Event")
            super().__init__()

    threading.Event = Event
    threading.Semaphore()
    timer = threading.Timer(0, seen.append, ["timer"])
    timer.start()
    timer.join()
    tell(seen.count("Lock") > 1, "Event" in seen, seen[-1])


@case(plain=True)
def hooks_of_profilers_and_tracers():
    seen = []
    threading.setprofile(lambda *args: seen.append("profile"))
    threading.settrace(lambda *args: seen.append("trace"))
    install()
    thread = threading.Thread(target=int)
    thread.start()
    thread.join()
    tell("profile" in seen, "trace" in seen)
    tell(threading.getprofile() is not None, threading.gettrace() is not None)
    threading.setprofile(None)
    threading.settrace(None)


@case(plain=True)
def an_excepthook_of_a_tool():
    said = []
    threading.excepthook = lambda args: said.append((args.exc_type.__name__, args.thread.name))
    install()
    thread = threading.Thread(target=lambda: 1 / 0, name="broken")
    thread.start()
    thread.join()
    tell(said, threading.__excepthook__ is not None)


@case(plain=True, needs=("gevent",))
def gevent_before():
    from gevent import monkey

    monkey.patch_all()
    warnings.simplefilter("ignore")
    attempt("install", case_support.install)
    import gevent

    event = threading.Event()
    gevent.spawn_later(0.02, event.set)
    tell(event.wait(5))
    tell(gevent.get_hub().threadpool.apply(lambda: 3))
    native = monkey.get_original("_thread", "start_new_thread")
    tell(type(native).__name__, until(lambda: True))


@case(plain=True, needs=("gevent",))
def gevent_after():
    case_support.install()
    from gevent import monkey

    monkey.patch_all()
    import gevent

    condition, semaphore, line = threading.Condition(), threading.Semaphore(0), queue.Queue()

    def wake():
        with condition:
            condition.notify()
        semaphore.release()
        line.put(1)

    gevent.spawn_later(0.02, wake)
    with condition:
        tell(condition.wait(5))
    tell(semaphore.acquire(timeout=5), line.get(timeout=5))
    here = monkey.get_original("threading", "get_ident")()
    tell(gevent.get_hub().threadpool.apply(monkey.get_original("threading", "get_ident")) != here)
    tell(type(monkey.get_original("_thread", "allocate_lock")).__name__)
    tell(monkey.is_module_patched("threading"), monkey.is_object_patched("threading", "Event"))


@case(plain=True, needs=("eventlet",))
def eventlet_after():
    warnings.simplefilter("ignore")
    case_support.install()
    import eventlet

    eventlet.monkey_patch()
    event, line, semaphore = threading.Event(), queue.Queue(), threading.Semaphore(0)
    eventlet.spawn_after(0.02, lambda: (event.set(), line.put(1), semaphore.release()))
    tell(event.wait(5), line.get(timeout=5), semaphore.acquire(timeout=5))


@case(plain=True, needs=("freezegun",))
def freezegun_told_not_to_ignore_threading():
    import freezegun

    install()
    freezegun.configure(default_ignore_list=["nothing.of.that.name"])
    with freezegun.freeze_time("2020-01-01") as frozen:
        semaphore, line = threading.Semaphore(0), queue.Queue()
        waiter = case_support.waiting(lambda: semaphore.acquire(timeout=5))
        semaphore.release()
        tell(waiter.said())
        line.put(1)
        tell(line.get(timeout=5))
        frozen.tick(10)
        tell(threading.Event().wait(0.001))
