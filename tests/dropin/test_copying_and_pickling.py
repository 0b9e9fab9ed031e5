"""Copying and pickling: of the classes themselves, and of derived ones with methods of their own."""

from __future__ import annotations

import copy
import copyreg
import dataclasses
import io
import itertools
import pickle
import queue
import threading

from beside import attempt, case, tell


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
    globals()[cls.__name__] = cls
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
    "getstate": lambda made: sorted(made.__getstate__()),
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
        slotted = published(type(f"Slotted{label}", (base,), {"__slots__": ("name",)}))(*first(base))
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
            if way != "getstate":
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
        attempt(label, lambda base=base: sorted(set(vars(base)) - {"__firstlineno__"}))
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
            for name in ("_lock", "acquire", "release", "_waiters"):
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
    tell(pickle.loads(pickle.dumps(flag)).is_set(), copy.copy(flag).is_set(), copy.deepcopy(flag).wait(1))
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
        dispatch_table = {threading.Barrier: lambda b: (threading.Barrier, (b.parties,))}

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


@case
def dir_of_the_pickling_methods():
    for label, base in {**BASES, **QUEUES}.items():
        for name in METHODS:
            tell(label, name, hasattr(base, name), name in vars(base))
            tell(hasattr(base, name) and hasattr(object, name) and getattr(base, name) is getattr(object, name))


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
        if way != "getstate":
            attempt(f"SimpleQueue {way}", lambda act=act: act(queue.SimpleQueue()))
    for protocol in PROTOCOLS:
        attempt("Empty", lambda p=protocol: pickle.loads(pickle.dumps(queue.Empty, p)) is queue.Empty)
