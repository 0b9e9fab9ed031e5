"""Methods as objects: kept weakly, compared, wrapped, inspected, documented, pickled."""

from __future__ import annotations

import ast
import functools
import gc
import inspect
import operator
import pydoc
import queue
import sys
import threading
import types
import weakref

from case_support import case, outcome, tell


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


@functools.cache
def defined(module):
    """The methods that the source of a module defines, by class."""
    with open(module.__file__, encoding="utf-8") as file:
        tree = ast.parse(file.read())
    return {
        cls.name: [each.name for each in cls.body if isinstance(each, ast.FunctionDef)]
        for cls in ast.walk(tree)
        if isinstance(cls, ast.ClassDef)
    }


def functions(cls, only=lambda name: name != "__init__"):
    """The methods of a class, by name: those that its source and that of its bases define."""
    names = set()
    for base in cls.__mro__[:-1]:
        names.update(defined(sys.modules[base.__module__]).get(base.__name__, ()))
    for name in sorted(names):
        if isinstance(getattr(cls, name), property) or not only(name):
            continue
        yield name, getattr(cls, name)


def names_of(cls):
    return [name for name, _ in functions(cls)]


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


def initialisers(classes):
    for label, cls in classes.items():
        for name, function in functions(cls, lambda name: name == "__init__"):
            for attribute in ATTRIBUTES:
                tell(label, name, attribute, outcome(getattr, function, attribute))
            tell(type(function).__name__, outcome(inspect.signature, function))
            tell(outcome(inspect.getsource, function), outcome(inspect.getdoc, function))


@case
def attributes_of_initialisers():
    initialisers(CLASSES)


@case(only="queue")
def attributes_of_initialisers_of_queues():
    initialisers(QUEUES)


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
        static = type(inspect.getattr_static(cls, names_of(cls)[0])).__name__
        names = [name for name, _ in functions(cls)]
        plain = dict(inspect.getmembers(cls, inspect.isfunction))
        bound = dict(inspect.getmembers(made, inspect.ismethod))
        tell(label, static, sorted(set(names) - plain.keys()))
        tell(sorted(set(names) - bound.keys()))
        found = [a for a in inspect.classify_class_attrs(cls) if a.name in names]
        tell([(a.name, a.kind, a.defining_class) for a in found])
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
        for _name, function in all_functions({label: cls}):
            tell(pydoc.plain(pydoc.render_doc(function)))
        tell(pydoc.plain(pydoc.render_doc(make(cls).wait if hasattr(cls, "wait") else cls.release)))
        tell(label, pydoc.describe(cls.__init__), outcome(pydoc.locate, f"threading.{label}"))


@case(only="queue")
def helps_of_queues():
    for cls in QUEUES.values():
        tell(pydoc.plain(pydoc.render_doc(cls.get)))
        tell(pydoc.plain(pydoc.render_doc(cls(2).put)))


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
        tell(
            outcome(lambda cls=cls, name=name: type(getattr(cls, name).__get__(None, cls)).__name__)
        )
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
            tell(
                weakref.ref(function)() is function, hash(weak) == hash(weakref.WeakMethod(method))
            )
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
