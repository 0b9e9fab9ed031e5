"""Derived classes that pickle in ways of their own, and tools that pickle more than pickle."""

from __future__ import annotations

import copy
import copyreg
import dataclasses
import io
import pickle
import queue
import threading
from typing import ClassVar

from case_support import attempt, case, tell
from test_copying_and_pickling import (
    BASES,
    METHODS,
    PROTOCOLS,
    WAYS,
    described,
    first,
    published,
)


def test_the_same_as_on_stock(compare):
    compare()


@case
def by_state():
    """The usual way: leave the locks out, and make new ones."""

    @published
    class Shared(threading.Condition):
        def __init__(self, items=()):
            super().__init__()
            self.items = list(items)

        def __getstate__(self):
            state = self.__dict__.copy()
            for name in ("_lock", "acquire", "release", "locked", "_waiters"):
                state.pop(name, None)
            for name in ("_release_save", "_acquire_restore", "_is_owned"):
                state.pop(name, None)
            return state

        def __setstate__(self, state):
            self.__init__()
            self.__dict__.update(state)

    shared = Shared([1, 2])
    shared.extra = "e"
    for protocol in PROTOCOLS:
        again = pickle.loads(pickle.dumps(shared, protocol))
        with again:
            again.notify()
        tell(again.items, again.extra, type(again).__name__, sorted(vars(again)))
    with copy.deepcopy({"a": shared})["a"] as entered:
        tell(entered)

    @published
    class Flag(threading.Event):
        def __getstate__(self):
            return self.is_set()

        def __setstate__(self, state):
            self.__init__()
            if state:
                self.set()

    flag = Flag()
    flag.set()
    tell(
        pickle.loads(pickle.dumps(flag)).is_set(),
        copy.copy(flag).is_set(),
        copy.deepcopy(flag).wait(1),
    )
    flag.clear()
    attempt("false state", lambda: pickle.loads(pickle.dumps(flag)).__class__.__name__)


@case(only="queue")
def queues_by_state():
    @published
    class Line(queue.Queue):
        def __getstate__(self):
            with self.mutex:
                return {"items": list(self.queue), "maxsize": self.maxsize}

        def __setstate__(self, state):
            self.__init__(state["maxsize"])
            for item in state["items"]:
                self.put(item)

    line = Line(5)
    line.put("a")
    line.put("b")
    again = pickle.loads(pickle.dumps(line))
    tell(again.get(), again.get(), again.maxsize, again.unfinished_tasks, line.qsize())
    tell(copy.copy(line).get(), copy.deepcopy(line).qsize())


@case
def the_plain_state_restored():
    """`object.__reduce_ex__` calls no `__init__`: the state is all there is."""

    @published
    class Bare(threading.Semaphore):
        def __getstate__(self):
            return {"_value": self._value}

    bare = pickle.loads(pickle.dumps(Bare(3)))
    tell(vars(bare), bare._value)
    attempt("acquire", bare.acquire)
    bare._cond = threading.Condition(threading.Lock())
    tell(bare.acquire(), bare.acquire(), bare.acquire(), bare.acquire(False))

    @published
    class Half(threading.Event):
        def __getstate__(self):
            return ({"_flag": self._flag}, None)

    half = copy.copy(Half())
    tell(vars(half))
    attempt("is_set", half.is_set)
    attempt("set", half.set)
    attempt("repr", repr, half)


@case
def made_by_new():
    for label, base in BASES.items():
        bare = copyreg.__newobj__(base)
        tell(label, vars(bare), type(bare).__name__)
        attempt(label, lambda bare=bare: bare.__reduce_ex__(2)[1:])
        filled = base(*first(base))
        bare.__dict__.update(vars(filled))
        tell(label, sorted(vars(bare)) == sorted(vars(filled)))
        if hasattr(bare, "set"):
            tell(bare.set(), bare.is_set(), filled.is_set())
        elif hasattr(bare, "notify"):
            with bare:
                tell(bare.notify(), filled._is_owned())
        elif hasattr(bare, "reset"):
            tell(bare.abort(), bare.broken, filled.broken)
        else:
            tell(bare.acquire(), bare.acquire(False), filled._value)


@case
def registered_with_copyreg():
    def by_flag(event):
        return restored, (event.is_set(),)

    copyreg.pickle(threading.Event, by_flag)
    event = threading.Event()
    event.set()
    for way, act in list(WAYS.items())[:9]:
        attempt(way, lambda act=act: act(event).is_set())
    derived_event = published(type("Other", (threading.Event,), {}))()
    attempt("derived", pickle.dumps, derived_event)
    copyreg.dispatch_table.pop(threading.Event)
    attempt("gone", pickle.dumps, event)

    class Pickler(pickle.Pickler):
        def reducer_override(self, thing):
            if isinstance(thing, threading.Semaphore):
                return threading.Semaphore, (thing._value,)
            return NotImplemented

    buffer = io.BytesIO()
    Pickler(buffer).dump([threading.Semaphore(4), "x"])
    tell(pickle.loads(buffer.getvalue())[0]._value)

    class Named(pickle.Pickler):
        dispatch_table: ClassVar = {threading.Barrier: lambda b: (threading.Barrier, (b.parties,))}

    buffer = io.BytesIO()
    Named(buffer).dump(threading.Barrier(5))
    tell(pickle.loads(buffer.getvalue()).parties)

    class Persistent(pickle.Pickler):
        def persistent_id(self, thing):
            return "event" if isinstance(thing, threading.Event) else None

    class Loader(pickle.Unpickler):
        def persistent_load(self, name):
            return name

    buffer = io.BytesIO()
    Persistent(buffer).dump((event, 1))
    tell(Loader(io.BytesIO(buffer.getvalue())).load())


def restored(flag):
    event = threading.Event()
    if flag:
        event.set()
    return event


@case
def dataclasses_with_locks():
    @published
    @dataclasses.dataclass
    class Job:
        name: str
        done: threading.Event = dataclasses.field(default_factory=threading.Event, compare=False)

    job = Job("a")
    attempt("replace", lambda: dataclasses.replace(job, name="b").done is job.done)
    attempt("asdict", dataclasses.asdict, job)
    attempt("pickle", pickle.dumps, job)
    tell(job == Job("a"), dataclasses.fields(job)[1].type)

    @published
    @dataclasses.dataclass(eq=False)
    class Counted(threading.Event):
        name: str = "n"
        count: int = 0

        def __post_init__(self):
            super().__init__()

    counted = Counted("c", 2)
    counted.set()
    tell(counted.is_set(), counted.name, repr(counted), dataclasses.astuple(counted))
    attempt("pickle", pickle.dumps, counted)
    attempt("copy", lambda: copy.copy(counted).name)

    @published
    @dataclasses.dataclass(eq=False, slots=True)
    class Slotted(threading.Semaphore):
        name: str = "n"

        def __post_init__(self):
            threading.Semaphore.__init__(self, 2)

    slotted = Slotted("s")
    tell(slotted.acquire(), slotted._value, slotted.name, sorted(vars(slotted)))
    attempt("pickle", pickle.dumps, slotted)
    attempt("copy", lambda: copy.copy(slotted).name)


@case
def reductions_of_odd_kinds():
    results = {
        "name": "restored",
        "two": (restored, (True,)),
        "state": (restored, (False,), {"note": 1}),
        "slot state": (restored, (False,), (None, {"note": 2})),
        "items": (list, (), None, iter([1, 2])),
        "no tuple": 3,
        "too long": (restored, (1,), 2, 3, 4, 5, 6),
        "not callable": (3, ()),
        "not a tuple": (restored, 3),
        "none": None,
    }
    for label, result in results.items():
        Own = published(type("Own", (threading.Event,), {"__reduce__": lambda self, r=result: r}))
        for way in ("copy", "deepcopy", "protocol 0", "protocol 2", "protocol 4"):
            attempt(f"{label} {way}", lambda w=way, Own=Own: described_or_value(WAYS[w](Own())))


def described_or_value(value):
    return (type(value).__name__, getattr(value, "note", None))


@case
def states_that_raise():
    for name in METHODS:

        def fails(self, *args):
            raise ZeroDivisionError(args and len(args))

        for label, base in BASES.items():
            namespace = {name: fails}
            Own = published(type("Own", (base,), namespace))
            for way in ("copy", "deepcopy", "protocol 1", "protocol 4"):
                made = Own(*first(base))
                attempt(f"{name} {label} {way}", lambda w=way, m=made: described(WAYS[w](m)))


@case
def shared_and_cyclic():
    @published
    class Node(threading.Event):
        def __init__(self):
            super().__init__()
            self.others = []

        def __getstate__(self):
            return {"others": self.others, "set": self.is_set()}

        def __setstate__(self, state):
            Node.__init__(self)
            self.others.extend(state["others"])
            if state["set"]:
                self.set()

    a, b = Node(), Node()
    a.others += [b, a]
    b.others += [a]
    b.set()
    for act in (lambda x: pickle.loads(pickle.dumps(x)), copy.deepcopy):
        c, d = act([a, b])
        tell(c.others[0] is d, c.others[1] is c, d.others[0] is c, c.is_set(), d.is_set())


@case(needs=("dill",))
def with_dill():
    import dill

    for label, base in BASES.items():
        made = base(*first(base))
        attempt(label, lambda made=made: described(dill.loads(dill.dumps(made))))
        attempt(f"{label} copy", lambda made=made: described(dill.copy(made)))
        attempt(f"{label} pickles", dill.pickles, made)
    event = threading.Event()
    event.set()
    again = dill.loads(dill.dumps(event))
    tell(again.is_set(), again.wait(1), event.is_set())
    # dill restores a free RLock as a held one.
    condition = dill.loads(dill.dumps(threading.Condition()))
    tell(condition.acquire(timeout=0.001), condition)
    held = threading.Semaphore(2)
    held.acquire()
    tell(dill.loads(dill.dumps(held))._value)
    attempt("method", lambda: dill.loads(dill.dumps(event.is_set))())
    attempt("function", lambda: dill.loads(dill.dumps(threading.Event.set)).__qualname__)


@case(needs=("cloudpickle",))
def with_cloudpickle():
    import cloudpickle

    for label, base in BASES.items():
        attempt(label, lambda base=base: cloudpickle.loads(cloudpickle.dumps(base(*first(base)))))

    class Inner(threading.Event):
        def __reduce__(self):
            return Inner, ()

    attempt("class", lambda: pickle.loads(cloudpickle.dumps(Inner())).is_set())
    attempt("function", lambda: cloudpickle.loads(cloudpickle.dumps(threading.Event.set)).__name__)


@case
def with_multiprocessing():
    from multiprocessing.reduction import ForkingPickler

    attempt("event", ForkingPickler.dumps, threading.Event())
    attempt("queue", ForkingPickler.dumps, queue.Queue())
    attempt("exceptions", lambda: pickle.loads(pickle.dumps([queue.Empty(1), queue.Full()])))
    attempt("barrier error", lambda: pickle.loads(pickle.dumps(threading.BrokenBarrierError("x"))))


@case(since=(3, 13))
def the_exception_of_a_shut_down_queue():
    for protocol in PROTOCOLS:
        attempt("ShutDown", lambda p=protocol: pickle.loads(pickle.dumps(queue.ShutDown("x"), p)))


@case
def simple_queues():
    for way, act in WAYS.items():
        attempt(f"SimpleQueue {way}", lambda act=act: act(queue.SimpleQueue()))
    for protocol in PROTOCOLS:
        attempt(
            "Empty", lambda p=protocol: pickle.loads(pickle.dumps(queue.Empty, p)) is queue.Empty
        )
