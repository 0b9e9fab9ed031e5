"""Properties over attributes, doubles of tests, and methods replaced by other descriptors."""

from __future__ import annotations

import queue
import threading
from unittest import mock

from case_support import attempt, case, outcome, tell, waiting, within
from test_replaced_methods import DRIVES, make, methods


def test_the_same_as_on_stock(compare):
    compare()


# Properties over attributes


@case
def properties_over_the_attributes():
    asked = []

    class Flagged(threading.Event):
        @property
        def _flag(self):
            asked.append("get")
            return self.__dict__.get("real", False)

        @_flag.setter
        def _flag(self, value):
            asked.append(("set", value))
            self.__dict__["real"] = value

    event = Flagged()
    tell(event.is_set(), event.set(), event.wait(1), event.clear(), event.wait(0.001), asked)
    asked.clear()

    class Counted(threading.Semaphore):
        value = 0

        def set_value(self, value):
            asked.append(value)
            self.value = value

        _value = property(lambda self: self.value, set_value)

    semaphore = Counted(2)
    tell(semaphore.acquire(), semaphore.acquire(), semaphore.acquire(False))
    semaphore.release()
    tell(asked, semaphore._value)


@case
def properties_put_on_later():
    event = threading.Event()
    event.set()
    threading.Event._flag = property(lambda self: "asked")
    attempt("is_set", event.is_set)
    attempt("set", event.set)
    del threading.Event._flag
    attempt("is_set", event.is_set)
    semaphore = threading.Semaphore(1)
    threading.Semaphore._value = property(lambda self: 5, lambda self, value: tell("value", value))
    attempt("acquire", semaphore.acquire)
    attempt("release", semaphore.release)
    del threading.Semaphore._value
    tell(semaphore._value)
    barrier = threading.Barrier(2)
    threading.Barrier.parties = property(lambda self: 7)
    tell(barrier.parties)
    threading.Barrier._parties = property(lambda self: 1)
    attempt("wait", barrier.wait, 0.01)
    del threading.Barrier._parties
    attempt("wait", barrier.wait, 0.01)


@case
def properties_over_private_methods():
    class Barrier(threading.Barrier):
        @property
        def _state(self):
            return self.__dict__["s"]

        @_state.setter
        def _state(self, value):
            said.append(value)
            self.__dict__["s"] = value

    said = []
    barrier = Barrier(2)
    waiter = waiting(barrier.wait)
    barrier.wait()
    tell(waiter.said() in "01", barrier.abort(), barrier.reset(), said)

    class Conditioned(threading.Event):
        @property
        def _cond(self):
            said.append("cond")
            return self.__dict__["c"]

        @_cond.setter
        def _cond(self, value):
            self.__dict__["c"] = value

    said.clear()
    event = Conditioned()
    tell(event.wait(0.001), event.set(), event.wait(), said)


@case(only="queue")
def properties_over_the_attributes_of_a_queue():
    class Sized(queue.Queue):
        limit = 1
        maxsize = property(lambda self: self.limit, lambda self, value: None)

    line = Sized()
    line.put(1)
    attempt("full", line.put_nowait, 2)
    line.limit = 2
    attempt("room", line.put_nowait, 2)
    tell(line.full(), line.maxsize)

    class Counted(queue.Queue):
        seen = ()

        def note(self, value):
            self.seen = (*self.seen, value)

        unfinished_tasks = property(lambda self: self.seen[-1], note)

    line = Counted()
    line.put(1)
    line.get()
    line.task_done()
    tell(line.seen)
    queue.Queue.unfinished_tasks = property(lambda self: 3, lambda self, value: tell("to", value))
    line = queue.Queue()
    line.put(1)
    line.task_done()
    del queue.Queue.unfinished_tasks

    class Listed(queue.Queue):
        inner = None

        def put_in(self, value):
            self.inner = value

        queue = property(lambda self: self.inner, put_in)

    line = Listed()
    line.put(1)
    tell(line.inner, line.get())


# With the tools of tests


def patched(cls, name, drive, **options):
    with mock.patch.object(cls, name, **options) as double:
        said = within(drive)
    # Those that loop until their time is over call it as often as they may.
    tell(cls.__name__, name, said, double.mock_calls[:1], double.called)


@case
def patched_by_mock():
    def wait_for():
        condition = threading.Condition()
        looks = iter([0, 0, 1])
        with condition:
            return condition.wait_for(lambda: next(looks))

    def notify_all():
        condition = threading.Condition()
        with condition:
            condition.notify_all()

    patched(threading.Condition, "wait", wait_for, return_value=True)
    patched(threading.Condition, "notify", notify_all)
    patched(threading.Condition, "notify_all", lambda: threading.Event().set())
    patched(threading.Condition, "wait", lambda: threading.Event().wait(1), return_value=True)
    patched(threading.Condition, "__enter__", lambda: threading.Event().set())
    patched(threading.Condition, "wait", lambda: threading.Semaphore(0).acquire(timeout=0.01))
    patched(threading.Event, "is_set", lambda: threading.Event().wait(0.01), return_value=True)
    patched(threading.Semaphore, "release", lambda: threading.Semaphore().__exit__(0, 0, 0))
    patched(threading.Barrier, "_wait", lambda: threading.Barrier(2).wait())
    patched(threading.Barrier, "_break", lambda: threading.Barrier(2).abort())
    patched(threading.Barrier, "_release", lambda: threading.Barrier(1).wait())
    patched(threading.Event, "wait", lambda: threading.Event().wait(3), side_effect=KeyError("x"))


@case(only="queue")
def queues_patched_by_mock():
    patched(queue.Queue, "put", lambda: queue.Queue().put_nowait(1))
    patched(queue.Queue, "get", lambda: queue.Queue().get_nowait(), return_value=2)
    patched(queue.Queue, "_qsize", lambda: queue.Queue().empty(), return_value=5)
    patched(queue.Queue, "_put", lambda: queue.Queue().put(3))
    patched(queue.Queue, "_get", lambda: [q.put(1) or q.get() for q in [queue.Queue()]])
    patched(queue.Queue, "_init", lambda: queue.Queue(4).maxsize)
    patched(threading.Condition, "notify", lambda: queue.Queue().put(1))
    with mock.patch.object(threading.Condition, "wait") as wait:
        tell(outcome(queue.Queue().get, timeout=0.01), wait.called)
    patched(queue.Queue, "join", lambda: queue.Queue().join(), autospec=True)


@case
def patched_with_autospec():
    for cls, name in ((threading.Event, "wait"), (threading.Condition, "notify")):
        with mock.patch.object(cls, name, autospec=True) as double:
            made = make(cls)
            attempt("call", lambda made=made, name=name: type(getattr(made, name)(1)).__name__)
            attempt("too many", getattr(made, name), 1, 2, 3)
            tell(double.call_count, len(double.call_args.args))
    for cls in DRIVES:
        double = mock.create_autospec(cls, instance=True)
        for name in methods(cls):
            # A native condition has acquire and release in its class.
            is_extra = cls is threading.Condition and name in ("acquire", "release", "locked")
            if not name.startswith("_") and not is_extra:
                attempt(
                    f"{cls.__name__}.{name}",
                    lambda d=double, n=name: type(getattr(d, n)(1, 2, 3, 4, 5)).__name__,
                )
        attempt("nothing", lambda double=double: double.nothing)
    spec = mock.create_autospec(threading.Event)
    tell(isinstance(spec(), threading.Event), type(spec).__name__)
    wrapped = mock.Mock(wraps=threading.Event())
    tell(wrapped.is_set(), wrapped.set(), wrapped.is_set(), wrapped.wait(1))


@case
def patched_with_wraps():
    calls = []
    real = threading.Event.set

    def wrapper(self):
        calls.append("set")
        return real(self)

    with mock.patch("threading.Event.set", wrapper):
        event = threading.Event()
        event.set()
        timer = threading.Timer(0, calls.append, ["timer"])
        timer.start()
        timer.join()
    event.set()
    tell(calls)


@case
def a_method_removed():
    for cls, name, drive in (
        (threading.Condition, "notify", lambda: threading.Event().set()),
        (threading.Condition, "wait", lambda: threading.Event().wait(0.01)),
        (threading.Event, "is_set", lambda: threading.Event().is_set()),
        (threading.Semaphore, "__exit__", lambda: threading.Semaphore().__exit__),
        (threading.Condition, "__enter__", lambda: threading.Event().clear()),
        (threading.Barrier, "_enter", lambda: threading.Barrier(1).wait()),
    ):
        real = vars(cls)[name]
        delattr(cls, name)
        attempt(f"{cls.__name__} without {name}", drive)
        setattr(cls, name, real)
    threading.Event().set()
    attempt("afterwards", threading.Event().wait, 0.01)


@case
def replaced_by_other_kinds_of_descriptor():
    event = threading.Event()
    real = threading.Event.set
    threading.Event.set = staticmethod(lambda: tell("static"))
    event.set()
    threading.Event.set = classmethod(lambda cls: tell("class", cls.__name__))
    event.set()
    threading.Event.set = property(lambda self: lambda: tell("property"))
    event.set()
    threading.Event.set = print
    event.set()
    threading.Event.set = None
    attempt("none", lambda: event.set())
    threading.Event.set = real
    tell(event.set(), event.is_set())


@case
def init_replaced():
    for cls in (
        threading.Event,
        threading.Condition,
        threading.Semaphore,
        threading.BoundedSemaphore,
        threading.Barrier,
    ):
        calls = []
        real = cls.__init__

        def init(self, *args, _real=real, _calls=calls, **kwargs):
            _calls.append((args, kwargs))
            _real(self, *args, **kwargs)

        cls.__init__ = init
        attempt(cls.__name__, lambda cls=cls: type(make(cls)).__name__)
        made = cls(*(3,) if cls is threading.Barrier else ())
        tell(calls, type(made).__name__)
        cls.__init__ = lambda self: tell("nothing")
        attempt("other", lambda cls=cls: vars(cls()))
        cls.__init__ = real
        attempt("back", lambda cls=cls: len(vars(make(cls))))


@case
def new_put_on_a_class():
    made = []

    def new(cls, *args, **kwargs):
        made.append(cls.__name__)
        return object.__new__(cls)

    threading.Event.__new__ = new
    attempt("event", lambda: threading.Event().is_set())
    del threading.Event.__new__
    attempt("event", lambda: threading.Event().is_set())
    tell(made)


@case
def getattribute_and_setattr_of_subclasses():
    asked = []

    class Event(threading.Event):
        def __getattribute__(self, name):
            asked.append(name)
            return super().__getattribute__(name)

        def __setattr__(self, name, value):
            asked.append(f"{name}=")
            super().__setattr__(name, value)

    event = Event()
    event.set()
    event.wait(1)
    event.clear()
    tell(asked)

    class Semaphore(threading.Semaphore):
        def __getattr__(self, name):
            asked.append(f"?{name}")
            return 3

    asked.clear()
    semaphore = Semaphore()
    tell(semaphore.acquire(), semaphore.nothing, asked)


@case
def instance_methods_under_a_with():
    """`with` looks methods up on the class: those of the object are not asked."""
    said = []
    for made in (threading.Condition(), threading.Semaphore(), threading.Semaphore(2)):
        made.__enter__ = lambda: said.append("enter")
        real = made.release
        made.release = lambda real=real: said.append("release") or real()
        made.acquire = lambda *args, real=made.acquire: said.append("acquire") or real(*args)
        with made:
            said.append("in")
        tell(type(made).__name__, said)
        said.clear()


@case
def set_by_way_of_object():
    """As frozen classes and proxies set attributes."""
    for name in ("Event", "Condition", "Semaphore", "Barrier", "Queue", "PriorityQueue"):
        base = getattr(threading, name, None) or getattr(queue, name)
        made = make(base)
        object.__setattr__(made, "more", 1)
        attempt(name, lambda made=made: object.__setattr__(made, "__class__", int))
        attempt(name, lambda made=made: object.__delattr__(made, "nothing"))
        tell(made.more, object.__delattr__(made, "more"), hasattr(made, "more"))

        class Frozen(base):
            def __setattr__(self, name, value):
                if name == "frozen":
                    raise AttributeError(name)
                object.__setattr__(self, name, value)

        frozen = make(Frozen)
        attempt(name, lambda frozen=frozen: setattr(frozen, "frozen", 1))
        frozen.thawed = 2
        attempt(name, lambda frozen=frozen: (frozen.thawed, vars(frozen)["thawed"]))
        attempt(name, lambda frozen=frozen: type(frozen).__delattr__(frozen))
        attempt(name, lambda made=made: type(made).__setattr__(made, "more"))
        attempt(name, lambda made=made: setattr(made, "set", 1))
