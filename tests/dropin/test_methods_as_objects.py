"""Methods as objects: kept weakly, compared, wrapped, inspected, documented, pickled."""

from __future__ import annotations

import functools
import gc
import inspect
import operator
import pickle
import pydoc
import queue
import threading
import types
import typing
import weakref
from unittest import mock

from beside import attempt, case, outcome, tell, waiting


def test_the_same_as_on_stock(compare):
    compare()


CLASSES = {
    "Event": threading.Event,
    "Condition": threading.Condition,
    "Semaphore": threading.Semaphore,
    "BoundedSemaphore": threading.BoundedSemaphore,
    "Barrier": threading.Barrier,
}
QUEUES = {
    "Queue": queue.Queue,
    "LifoQueue": queue.LifoQueue,
    "PriorityQueue": queue.PriorityQueue,
}


def make(cls):
    return cls(2) if cls is threading.Barrier else cls()


def functions(cls):
    """The methods of a class, by name: of its own and of its bases."""
    names = sorted({name for base in cls.__mro__[:-1] for name in vars(base)})
    for name in names:
        if callable(getattr(cls, name)) and name not in ("__class__", "__class_getitem__"):
            yield name, getattr(cls, name)


def all_functions(classes, only_own=False):
    for label, cls in classes.items():
        for name, function in functions(cls):
            if name in vars(cls) or not only_own:
                yield f"{label}.{name}", function


ATTRIBUTES = (
    "__module__",
    "__name__",
    "__qualname__",
    "__doc__",
    "__defaults__",
    "__kwdefaults__",
    "__annotations__",
    "__dict__",
    "__closure__",
    "__type_params__",
    "__wrapped__",
    "__text_signature__",
    "__objclass__",
    "__self__",
    "__func__",
)
CODE = (
    "co_name",
    "co_argcount",
    "co_varnames",
    "co_names",
    "co_filename",
    "co_firstlineno",
    "co_flags",
    "co_freevars",
    "co_kwonlyargcount",
    "co_posonlyargcount",
)


def attributes(classes):
    for label, function in all_functions(classes):
        for attribute in ATTRIBUTES:
            tell(label, attribute, outcome(getattr, function, attribute))


@case
def attributes_of_functions():
    attributes(CLASSES)


@case(only="queue")
def attributes_of_functions_of_queues():
    attributes(QUEUES)


def codes(classes):
    for label, function in all_functions(classes):
        code = getattr(function, "__code__", None)
        tell(label, code is None, [getattr(code, name, None) for name in CODE])
        globals_ = getattr(function, "__globals__", None)
        tell(globals_ is vars(threading), globals_ is vars(queue))


@case
def codes_of_functions():
    codes(CLASSES)


@case(only="queue")
def codes_of_functions_of_queues():
    codes(QUEUES)


PREDICATES = (
    "isfunction",
    "ismethod",
    "isbuiltin",
    "isroutine",
    "ismethoddescriptor",
    "isdatadescriptor",
    "isgetsetdescriptor",
    "ismemberdescriptor",
    "iscoroutinefunction",
    "isgeneratorfunction",
)


def inspected(classes):
    for label, cls in classes.items():
        made = make(cls)
        tell(label, type(cls.__init__).__name__)
        for name, function in functions(cls):
            method = getattr(made, name)
            tell(label, name, type(function).__name__, type(method).__name__)
            tell([getattr(inspect, test)(function) for test in PREDICATES])
            tell([getattr(inspect, test)(method) for test in PREDICATES])
            for thing in (function, method):
                tell(outcome(inspect.signature, thing), callable(thing))
                tell(outcome(inspect.getfullargspec, thing))
                tell(outcome(inspect.getdoc, thing))
                tell(outcome(lambda t=thing: inspect.getmodule(t).__name__))
        static = type(inspect.getattr_static(cls, "__init__")).__name__
        tell(label, static, [n for n, _ in inspect.getmembers(cls, inspect.isfunction)])
        tell([n for n, _ in inspect.getmembers(made, inspect.ismethod)])
        tell([(a.name, a.kind, a.defining_class) for a in inspect.classify_class_attrs(cls)][:12])
        tell(outcome(inspect.signature, cls), type(cls).__name__, cls.__flags__ & (1 << 10))


@case
def inspected_functions():
    inspected(CLASSES)


@case(only="queue")
def inspected_functions_of_queues():
    inspected(QUEUES)


@case
def sources():
    for label, function in all_functions(CLASSES):
        tell(label, outcome(lambda f=function: inspect.getsource(f)))
        tell(outcome(lambda f=function: inspect.getsourcelines(f)[1]))
        tell(outcome(inspect.getsourcefile, function), outcome(inspect.getfile, function))
    for cls in CLASSES.values():
        tell(outcome(lambda cls=cls: len(inspect.getsource(cls))))
        tell(outcome(inspect.getsourcefile, cls))


@case(only="queue")
def sources_of_queues():
    for label, function in all_functions(QUEUES):
        tell(label, outcome(lambda f=function: inspect.getsource(f)))
    for cls in QUEUES.values():
        tell(outcome(lambda cls=cls: len(inspect.getsource(cls))))


@case
def helps():
    for label, cls in CLASSES.items():
        tell(pydoc.plain(pydoc.render_doc(cls)))
        tell(pydoc.plain(pydoc.render_doc(make(cls).wait if hasattr(cls, "wait") else cls.release)))
        tell(label, pydoc.describe(cls.__init__), outcome(pydoc.locate, f"threading.{label}"))


@case(only="queue")
def helps_of_queues():
    for cls in QUEUES.values():
        tell(pydoc.plain(pydoc.render_doc(cls)))
        tell(pydoc.plain(pydoc.render_doc(cls.get)))


# Bound methods


def bound(classes, name_of):
    for label, cls in classes.items():
        made, other = make(cls), make(cls)
        name = name_of(cls)
        method = getattr(made, name)
        tell(label, type(method) is types.MethodType, method.__self__ is made)
        tell(method.__func__ is getattr(cls, name), method.__func__ is vars_of(cls, name))
        tell(method == getattr(made, name), method is getattr(made, name))
        tell(method == getattr(other, name), hash(method) == hash(getattr(made, name)))
        tell(method != getattr(other, name), {method: 1}.get(getattr(made, name)))
        tell(method.__name__, method.__qualname__, method.__module__, repr(method))
        tell(method.__doc__ == getattr(cls, name).__doc__, outcome(setattr, method, "x", 1))
        tell(method.__code__ is getattr(cls, name).__code__, method.__defaults__)
        tell(len({made, other}), outcome(lambda m=method: m < m))
        again = types.MethodType(getattr(cls, name), made)
        tell(again == method, type(again) is type(method), repr(again))
        tell(getattr(cls, name).__get__(made, cls) == method)
        tell(outcome(lambda cls=cls, name=name: type(getattr(cls, name).__get__(None, cls)).__name__))
        partial = functools.partial(getattr(cls, name), made)
        tell(partial.func is getattr(cls, name))
        caller = operator.methodcaller("__init__", *((2,) if cls is threading.Barrier else ()))
        tell(caller(made), sorted(dir(method)), sorted(dir(getattr(cls, name))))


def vars_of(cls, name):
    return next(vars(base)[name] for base in cls.__mro__ if name in vars(base))


def public(cls):
    return "wait" if hasattr(cls, "wait") else "release" if hasattr(cls, "release") else "get"


@case
def bound_methods():
    bound(CLASSES, public)


@case
def bound_private_methods():
    bound({"Event": threading.Event}, lambda cls: "_at_fork_reinit")
    bound({"Barrier": threading.Barrier}, lambda cls: "_enter")
    bound({"Condition": threading.Condition}, lambda cls: "__enter__")
    bound({"Semaphore": threading.Semaphore}, lambda cls: "__exit__")


@case(only="queue")
def bound_methods_of_queues():
    bound(QUEUES, public)
    bound(QUEUES, lambda cls: "_put")


@case
def weak_methods():
    for label, cls in CLASSES.items():
        made = make(cls)
        for name, function in functions(cls):
            method = getattr(made, name)
            if not isinstance(method, types.MethodType):
                tell(label, name, type(method).__name__)
                continue
            weak = weakref.WeakMethod(method)
            gc.collect()
            tell(label, name, weak() == method, weak() is None, weak == weakref.WeakMethod(method))
            tell(weakref.ref(function)() is function, hash(weak) == hash(weakref.WeakMethod(method)))
        died = []
        weak = weakref.WeakMethod(getattr(made, public(cls)), lambda ref, died=died: died.append(1))
        del made, method
        gc.collect()
        tell(label, weak(), died)


@case(only="queue")
def weak_methods_of_queues():
    for label, cls in QUEUES.items():
        line = cls()
        put, get = weakref.WeakMethod(line.put), weakref.WeakMethod(line.get)
        put()(1)
        tell(label, get()(), weakref.WeakMethod(line._put)() == line._put)
        finalizer = weakref.finalize(line, tell, "gone", label)
        del line
        gc.collect()
        tell(put(), finalizer.alive)


@case
def receivers_of_a_signal():
    """As blinker, Django and PyDispatcher keep receivers."""

    class Signal:
        def __init__(self):
            self.receivers = []

        def connect(self, receiver):
            make_ref = weakref.ref
            if hasattr(receiver, "__self__") and hasattr(receiver, "__func__"):
                make_ref = weakref.WeakMethod
            self.receivers.append(make_ref(receiver))

        def send(self):
            return [receiver() for ref in self.receivers if (receiver := ref()) is not None]

    event, semaphore, line = threading.Event(), threading.Semaphore(0), queue.Queue()
    signal = Signal()
    for receiver in (event.set, semaphore.release, line.qsize, event.is_set, line.empty):
        signal.connect(receiver)
    gc.collect()
    tell(signal.send(), event.is_set(), semaphore.acquire(False))
    del event
    gc.collect()
    tell(len(signal.send()))


@case
def keys_made_of_methods():
    event = threading.Event()
    table = {event.set: "set", event.clear: "clear", threading.Event.set: "function"}
    tell(table[event.set], table[event.clear], table[threading.Event.set], len(table))
    tell(event.set in [event.set], [event.clear, event.set].index(event.set))
    cached = functools.lru_cache(lambda method: method.__name__)
    tell([cached(event.set), cached(event.set)], cached.cache_info().hits)
    callbacks = weakref.WeakKeyDictionary({event.set.__func__: 1})
    tell(len(callbacks))
    references = weakref.WeakSet([threading.Event.set, threading.Event.clear])
    gc.collect()
    tell(len(references))


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
    tell(isinstance(double, types.FunctionType), outcome(lambda: double.nothing))
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
