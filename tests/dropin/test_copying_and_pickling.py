"""Copying and pickling: of the classes, and of derived ones with some of pickle's methods."""

from __future__ import annotations

import copy
import itertools
import pickle
import queue
import sys
import threading

from case_support import attempt, case, tell


def test_the_same_as_on_stock(compare):
    compare()


BASES = {
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
PROTOCOLS = range(pickle.HIGHEST_PROTOCOL + 1)


def first(base):
    return (2,) if base is threading.Barrier else ()


def published(cls):
    """Make a class findable by its name, as pickle wants it."""
    cls.__module__, cls.__qualname__ = "__main__", cls.__name__
    setattr(sys.modules["__main__"], cls.__name__, cls)
    return cls


def described(made):
    """The state of an object in words that do not depend on the lock it has."""
    if not hasattr(made, "__dict__"):
        return type(made).__name__
    return type(made).__name__, sorted(
        (name, value if isinstance(value, (int, str, float, tuple, list)) else type(value).__name__)
        for name, value in vars(made).items()
    )


WAYS = {
    "copy": copy.copy,
    "deepcopy": copy.deepcopy,
    **{
        f"protocol {protocol}": lambda made, p=protocol: pickle.loads(pickle.dumps(made, p))
        for protocol in PROTOCOLS
    },
    "python": lambda made: pickle._loads(pickle._dumps(made)),
    "reduce": lambda made: made.__reduce__()[0].__name__,
    "reduce_ex 1": lambda made: made.__reduce_ex__(1)[0].__name__,
    "reduce_ex 4": lambda made: made.__reduce_ex__(4)[0].__name__,
}


def every_way(label, made):
    for way, act in WAYS.items():
        attempt(f"{label} {way}", lambda act=act, made=made: described_or(act(made)))


def described_or(value):
    return value if isinstance(value, (str, list)) else described(value)


# The classes themselves


@case
def plain_objects():
    for label, base in BASES.items():
        every_way(label, base(*first(base)))


@case(only="queue")
def plain_queues():
    for label, base in QUEUES.items():
        line = base(3)
        line.put(1)
        every_way(label, line)


@case
def plain_derived_classes():
    for label, base in BASES.items():
        every_way(label, published(type(f"Derived{label}", (base,), {}))(*first(base)))
        slotted = published(type(f"Slotted{label}", (base,), {"__slots__": ("name",)}))(
            *first(base)
        )
        every_way(f"slots {label}", slotted)
        slotted.name = "x"
        every_way(f"slots {label}", slotted)


@case
def things_that_contain_them():
    for label, base in BASES.items():
        made = base(*first(base))
        for holder in ([made], {"a": made}, (made,)):
            attempt(f"{label} deepcopy", copy.deepcopy, holder)
            attempt(f"{label} pickle", pickle.dumps, holder)
            tell(copy.copy(holder) == holder)
        memo = {id(made): "remembered"}
        tell(copy.deepcopy([made], memo))


@case
def locks_and_locals():
    for made in (threading.Lock(), threading.RLock(), threading.local(), threading.Thread()):
        for way, act in WAYS.items():
            name = type(made).__name__
            attempt(f"{name} {way}", lambda act=act, made=made: type(act(made)).__name__)


@case
def words_of_errors():
    for label, base in BASES.items():
        made = base(*first(base))
        attempt(label, lambda made=made: made.foo)
        attempt(label, lambda base=base: base.foo)
        attempt(label, delattr, made, "foo")
        attempt(label, lambda base=base: base.__init__())
        attempt(label, lambda base=base: base.__new__())
        attempt(label, lambda base=base: base.__new__(int))
        attempt(label, lambda made=made: made())
        attempt(label, lambda made=made: made[0])
        attempt(label, lambda made=made: len(made))
        attempt(label, lambda made=made: made < made)
        attempt(label, lambda made=made: made + 1)
        attempt(label, lambda made=made: iter(made))
        attempt(label, lambda made=made: hash(made) == object.__hash__(made))
        attempt(label, lambda made=made: made == made)
        attempt(label, setattr, made, "__dict__", 3)
        attempt(label, setattr, made, "__class__", int)
        attempt(label, setattr, made, "__class__", object)
        attempt(label, lambda made=made: format(made, "x"))
        attempt(label, setattr, base, "__slots__", ())
        attempt(label, lambda base=base: base.__slots__)
        attempt(label, lambda base=base: (base.__module__, base.__qualname__, base.__mro__))
        attempt(label, lambda base=base: (base.__basicsize__ > 0, base.__dictoffset__ != 0))
        attempt(label, lambda base=base: (base.__weakrefoffset__ != 0, base.__flags__ & (1 << 8)))
    barrier = threading.Barrier(2)
    for name in ("parties", "n_waiting", "broken"):
        attempt(name, setattr, barrier, name, 1)
        attempt(name, delattr, barrier, name)
        attempt(name, lambda name=name: type(vars(threading.Barrier)[name]).__name__)
        attempt(name, lambda name=name: getattr(threading.Barrier, name).fget.__name__)


# Derived classes


def getstate(self):
    return {"name": self.name}


def setstate(self, state):
    type(self).__mro__[1].__init__(self, *first(type(self).__mro__[1]))
    self.name = state["name"] if isinstance(state, dict) else state


def reduce(self):
    return type(self), (self.name,)


def reduce_ex(self, protocol):
    return type(self), (f"{self.name} {protocol > 1}",)


def getnewargs(self):
    return (self.name,)


def getnewargs_ex(self):
    return (self.name,), {}


def copied(self):
    return type(self)(f"copy of {self.name}")


def deepcopied(self, memo):
    return type(self)(f"deep copy of {self.name} {len(memo) >= 0}")


METHODS = {
    "__getstate__": getstate,
    "__setstate__": setstate,
    "__reduce__": reduce,
    "__reduce_ex__": reduce_ex,
    "__getnewargs__": getnewargs,
    "__getnewargs_ex__": getnewargs_ex,
    "__copy__": copied,
    "__deepcopy__": deepcopied,
}


def derived(base, names, slots):
    """A class with a name of its own and some of the methods above."""

    def init(self, name="x"):
        base.__init__(self, *first(base))
        self.name = name

    def new(cls, *args):
        made = base.__new__(cls)
        return made

    namespace = {name: METHODS[name] for name in names}
    namespace["__init__"] = init
    if slots:
        namespace["__slots__"] = ("name",)
    if any("newargs" in name for name in names):
        namespace["__new__"] = new
    return published(type("Own", (base,), namespace))


def combinations(base, sizes):
    for size in sizes:
        for names in itertools.combinations(METHODS, size):
            for slots in (False, True):
                label = f"{base.__name__} {'slots ' * slots}{' '.join(names)}"
                every_way(label, derived(base, names, slots)("n"))


@case
def methods_of_derived_events():
    combinations(threading.Event, (1, 2))


@case
def methods_of_derived_conditions():
    combinations(threading.Condition, (1, 2))


@case
def methods_of_derived_semaphores():
    combinations(threading.Semaphore, (1, 2))
    combinations(threading.BoundedSemaphore, (1,))


@case
def methods_of_derived_barriers():
    combinations(threading.Barrier, (1, 2))


@case(only="queue")
def methods_of_derived_queues():
    combinations(queue.Queue, (1,))
    combinations(queue.PriorityQueue, (1,))
