"""Methods wrapped, changed, shared with other classes, pickled and called in every form."""

from __future__ import annotations

import functools
import inspect
import operator
import pickle
import queue
import threading
import types
import typing
from unittest import mock

from case_support import attempt, case, outcome, tell, waiting
from test_methods_as_objects import CLASSES, all_functions


def test_the_same_as_on_stock(compare):
    compare()


# Wrapped


@case
def wrapped_by_functools():
    @functools.wraps(threading.Event.set)
    def wrapper(self):
        """Another."""
        return threading.Event.set(self)

    tell(wrapper.__name__, wrapper.__qualname__, wrapper.__module__, wrapper.__doc__)
    tell(wrapper.__wrapped__ is threading.Event.set, inspect.signature(wrapper))
    tell(inspect.unwrap(wrapper) is threading.Event.set, wrapper.__annotations__)
    updated = functools.update_wrapper(lambda self: None, threading.Condition.wait_for)
    tell(inspect.signature(updated), updated.__dict__)
    event = threading.Event()
    bound_wrapper = functools.wraps(event.wait)(lambda *args: event.wait(*args))
    tell(bound_wrapper.__name__, bound_wrapper(0.001), inspect.signature(bound_wrapper))

    class Event(threading.Event):
        wait_a_little = functools.partialmethod(threading.Event.wait, 0.001)
        wait_longer = functools.partialmethod(threading.Event.wait, timeout=0.002)

    made = Event()
    tell(made.wait_a_little(), made.wait_longer(), inspect.signature(Event.wait_longer))
    made.set()
    tell(made.wait_a_little(), repr(vars(Event)["wait_a_little"]))
    dispatch = functools.singledispatch(threading.Event.is_set)
    tell(dispatch.__name__, dispatch(made))

    class Cached(threading.Semaphore):
        total = functools.cached_property(lambda self: self._value + 1)

    tell(Cached(3).total)


@case
def attributes_set_on_functions():
    threading.Event.set.note = 1
    tell(threading.Event.set.note, threading.Event().set.note, vars(threading.Event.set))
    del threading.Event.set.note
    attempt("gone", lambda: threading.Event.set.note)
    function = threading.Event.wait
    function.__name__ = "waits"
    function.__qualname__ = "Other.waits"
    function.__doc__ = "Documented."
    function.__module__ = "elsewhere"
    tell(function, function.__doc__, threading.Event().wait.__module__)
    function.__dict__["more"] = 2
    tell(function.more, sorted(vars(function)))
    function.__annotations__["timeout"] = float
    tell(typing.get_type_hints(function), inspect.signature(function))
    function.__defaults__ = (0.001,)
    tell(threading.Event().wait(), inspect.signature(function))
    attempt("name", setattr, function, "__name__", 3)
    attempt("code", setattr, function, "__code__", 3)
    attempt("defaults", setattr, function, "__defaults__", 3)


@case
def code_replaced():
    def is_set(self):
        return "replaced"

    event = threading.Event()
    real = threading.Event.is_set.__code__
    threading.Event.is_set.__code__ = is_set.__code__
    attempt("is_set", event.is_set)
    threading.Event.is_set.__code__ = real
    attempt("is_set", event.is_set)
    threading.Event.wait.__defaults__ = (0.002,)
    attempt("wait", event.wait)
    threading.Semaphore.acquire.__defaults__ = (False, None)
    semaphore = threading.Semaphore(0)
    attempt("acquire", semaphore.acquire)
    threading.Semaphore.__init__.__defaults__ = (4,)
    attempt("init", lambda: threading.Semaphore()._value)


@case
def functions_in_other_classes():
    """A function of one class is a method in another."""

    class Flag:
        def __init__(self):
            self._flag = False
            self._cond = threading.Condition()

        set, clear, wait = threading.Event.set, threading.Event.clear, threading.Event.wait
        is_set = threading.Event.is_set

    flag = Flag()
    tell(flag.is_set(), flag.wait(0.001), flag.set(), flag.wait(), flag.clear(), flag.is_set())
    waiter = waiting(flag.wait, 20)
    flag.set()
    tell(waiter.said())

    class Count:
        _value = 1
        _cond = threading.Condition()
        acquire = threading.Semaphore.acquire
        release = threading.Semaphore.release

    count = Count()
    tell(count.acquire(), count.acquire(False), count.release(), count._value)
    attempt("number", threading.Event.set, 3)
    attempt("nothing", threading.Event.set)
    attempt("too many", threading.Event.set, threading.Event(), 1)
    attempt("keyword", threading.Event.wait, threading.Event(), timeout=0.001)
    attempt("self", lambda: threading.Event.wait(self=threading.Event(), timeout=0.001))
    attempt("wrong keyword", lambda: threading.Event().wait(time=1))
    attempt("other object", threading.Event.is_set, threading.Semaphore())
    attempt("other method", threading.Semaphore.acquire, threading.Event())
    namespace = types.SimpleNamespace(_flag="flag")
    attempt("any object", threading.Event.is_set, namespace)
    attempt("set", threading.Event.__dict__["set"], namespace)


@case(only="queue")
def functions_of_queues_in_other_classes():
    class Line:
        _qsize = queue.LifoQueue._qsize
        _put = queue.LifoQueue._put
        _get = queue.LifoQueue._get
        __init__ = queue.Queue.__init__
        put, get, qsize = queue.Queue.put, queue.Queue.get, queue.Queue.qsize

        def _init(self, maxsize):
            self.queue = []

    line = Line()
    line.put(1)
    line.put(2)
    tell(line.qsize(), line.get(), line.get(), sorted(vars(line)))
    heap = types.SimpleNamespace(queue=[])
    for item in (3, 1, 2):
        queue.PriorityQueue._put(heap, item)
    tell(queue.PriorityQueue._get(heap), heap)


@case
def functions_pickled():
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        for function in (threading.Event.set, threading.Barrier._enter, queue.Queue.get):
            attempt(
                f"{protocol} {function.__qualname__}",
                lambda f=function, p=protocol: pickle.loads(pickle.dumps(f, p)) is f,
            )
        attempt("bound", pickle.dumps, threading.Event().set, protocol)
        attempt("class", lambda p=protocol: pickle.loads(pickle.dumps(threading.Event, p)))


@case
def functions_copied():
    import copy

    tell(copy.copy(threading.Event.set) is threading.Event.set)
    tell(copy.deepcopy(threading.Event.set) is threading.Event.set)
    again = types.FunctionType(
        threading.Event.is_set.__code__, vars(threading), "again", None, None
    )
    tell(again(threading.Event()), again)
    method = copy.copy(threading.Event().set)
    tell(type(method).__name__, method.__name__)
    attempt("deepcopy", copy.deepcopy, threading.Event().set)


@case
def type_hints_and_reprs():
    for label, function in all_functions(CLASSES, only_own=True):
        tell(label, outcome(typing.get_type_hints, function), repr(function), str(function))
    tell(typing.get_type_hints(threading.Event), isinstance(threading.Event.set, typing.Callable))
    tell(isinstance(threading.Event.set, types.FunctionType), type(threading.Event.set))
    for name in ("is_set", "isSet"):
        tell(name, getattr(threading.Event, name))
    tell(threading.Semaphore.__enter__ is threading.Semaphore.acquire)
    tell(threading.Condition.notifyAll is threading.Condition.notify_all)


@case
def logged_with_their_modules():
    import logging

    logged = []

    class Handler(logging.Handler):
        def emit(self, record):
            logged.append(record.getMessage())

    logging.getLogger().addHandler(Handler())
    for callback in (threading.Event().set, threading.Semaphore.release, queue.Queue().get):
        logging.warning("%s.%s", callback.__module__, callback.__qualname__)
    tell(logged)


@case
def doubles_of_methods():
    for method in (threading.Event().set, threading.Event.wait, queue.Queue.put, queue.Queue().get):
        double = mock.create_autospec(method)
        tell(type(double).__name__, outcome(inspect.signature, double))
        tell(outcome(double, 1, 2, 3, 4, 5, 6))
    double = mock.Mock(spec=threading.Event.set)
    tell(outcome(lambda: double.nothing))
    sealed = mock.create_autospec(threading.Condition, spec_set=True)
    tell(outcome(setattr, sealed, "nothing", 1))


@case
def calls_of_every_form():
    event, semaphore = threading.Event(), threading.Semaphore(2)
    set_, acquire = event.set, semaphore.acquire
    tell(set_(), set_(*()), set_(**{}), event.wait(*(0.001,)), event.wait(**{"timeout": None}))
    tell(acquire(True, None), acquire(blocking=False), acquire(*[False]), acquire(**{"timeout": 0}))
    tell(list(map(threading.Event.is_set, [event, threading.Event()])))
    tell(operator.call(set_) if hasattr(operator, "call") else None)
    tell(operator.attrgetter("set.__name__")(event), operator.methodcaller("is_set")(event))
    tell(functools.reduce(lambda _, f: f(), [event.clear, event.is_set], None))
    attempt("both", acquire, False, 1)
    attempt("negative", acquire, True, -1)
    attempt("twice", lambda: acquire(False, blocking=False))
    attempt("unknown", lambda: acquire(spam=1))
    attempt("many", acquire, 1, 2, 3)
    attempt("set", set_, 1)
    attempt("init", threading.Event.__init__, event, 1)
    attempt("new", threading.Event, 1)
    attempt("new keyword", lambda: threading.Event(x=1))
    attempt("barrier", threading.Barrier)
    attempt("barrier many", threading.Barrier, 1, 2, 3, 4)
    attempt("barrier none", threading.Barrier, 0)
    attempt("condition", threading.Condition, 1, 2)
    attempt("semaphore", threading.Semaphore, "x")
    attempt("release", semaphore.release, 0)
    attempt("release keyword", semaphore.release, n=2)


@case(needs=("wrapt",))
def wrapped_by_wrapt():
    import wrapt

    calls = []

    def wrapper(wrapped, instance, args, kwargs):
        calls.append((wrapped.__name__, type(instance).__name__, args, kwargs))
        return wrapped(*args, **kwargs)

    wrapt.wrap_function_wrapper("threading", "Event.set", wrapper)
    wrapt.wrap_function_wrapper("threading", "Condition.wait", wrapper)
    wrapt.wrap_function_wrapper("queue", "Queue.put", wrapper)
    event = threading.Event()
    event.set()
    event.clear()
    event.wait(0.001)
    queue.LifoQueue().put(1, block=False)
    tell(calls)
    decorated = wrapt.decorator(wrapper)(threading.Semaphore.release)
    semaphore = threading.Semaphore()
    decorated(semaphore)
    proxy = wrapt.ObjectProxy(semaphore)
    tell(calls[-1][0], proxy.acquire(), isinstance(proxy, threading.Semaphore))
