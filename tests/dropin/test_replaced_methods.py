"""Methods replaced on a class or on an object: the calls that go through them on stock still do.

A profiler counts `wait`, a test patches `notify`, a subclass gets a `_put` later on. Before and
after an object was made, and until the method is put back.
"""

from __future__ import annotations

import queue
import sys
import threading
import types

from case_support import attempt, case, leave, outcome, tell, waiting


def test_the_same_as_on_stock(compare):
    compare()


def drive_event(event):
    said = [event.is_set(), event.wait(0.001), event.set(), event.wait(), event.clear()]
    waiter = waiting(event.wait, 20)
    event.set()
    return [*said, waiter.said(), event.is_set(), repr(event).split(" at ")[0]]


def drive_semaphore(semaphore):
    said = [semaphore.acquire(), semaphore.release(), semaphore.acquire(False)]
    said += [semaphore.release(), semaphore.__enter__(), semaphore.__exit__(None, None, None)]
    while semaphore.acquire(blocking=False):
        pass
    said.append(semaphore.acquire(timeout=0.001))
    waiter = waiting(semaphore.acquire)
    semaphore.release()
    said.append(waiter.said())
    semaphore.release()
    with semaphore:
        pass
    return said


def drive_barrier(barrier):
    said = [barrier.parties, barrier.n_waiting, barrier.broken]
    waiter = waiting(barrier.wait)
    said.append(sorted([str(barrier.wait()), waiter.said()]))
    said.append(outcome(barrier.wait, 0.001))
    said += [barrier.broken, barrier.reset(), barrier.broken]
    waiter = waiting(barrier.wait)
    said += [barrier.abort(), waiter.said(), barrier.broken, barrier.reset()]
    return said


def drive_condition(condition):
    said = []
    with condition:
        said += [condition.wait(0.001), condition.notify(), condition.notify_all()]
        said.append(condition.wait_for(lambda: len(said) > 2))
        said.append(condition.wait_for(lambda: False, 0.001))
    said += [condition.acquire(), condition.release()]

    def wait():
        with condition:
            return condition.wait(20)

    waiter = waiting(wait)
    with condition:
        condition.notify()
    said.append(waiter.said())
    waiter = waiting(wait)
    with condition:
        condition.notify_all()
    said.append(waiter.said())
    return said


def drive_queue(line):
    said = [line.put(1), line.put_nowait(2), line.get(), line.get_nowait(), line.qsize()]
    said += [line.empty(), line.full(), line.task_done(), line.task_done(), line.join()]
    said += [outcome(line.get, timeout=0.001), outcome(line.get_nowait), outcome(line.get, False)]
    getter = waiting(line.get)
    line.put(3)
    said.append(getter.said())
    line.task_done()
    return said


DRIVES = {
    threading.Event: drive_event,
    threading.Condition: drive_condition,
    threading.Semaphore: drive_semaphore,
    threading.BoundedSemaphore: drive_semaphore,
    threading.Barrier: drive_barrier,
}
QUEUES = (queue.Queue, queue.LifoQueue, queue.PriorityQueue)
DRIVES.update(dict.fromkeys(QUEUES, drive_queue))
# Reprs have addresses and types, and some tell how the others are made.
NOT_REPLACED = {"__repr__", "__class_getitem__"}


def make(cls):
    return cls(2) if issubclass(cls, (threading.Barrier, threading.Semaphore)) else cls()


def methods(cls):
    """The functions that a class has, its bases' as well."""
    names = {name for base in cls.__mro__[:-1] for name in vars(base)}
    return sorted(
        name
        for name in names - NOT_REPLACED
        # A native condition has acquire and release of C in its class.
        if isinstance(getattr(cls, name), types.FunctionType)
        # With rthread every version has it.
        if name != "shutdown" or sys.version_info >= (3, 13)
        if not name.startswith("__") or name in ("__init__", "__enter__", "__exit__")
    )


def counting(real, name, calls):
    def counted(self, *args, **kwargs):
        calls[name] = calls.get(name, 0) + 1
        return real(self, *args, **kwargs)

    return counted


def replaced_on_class(cls, before):
    """Replace one method after the other, with an object made before or afterwards."""
    for name in methods(cls):
        calls = {}
        made = make(cls)
        own = name in vars(cls)
        real = getattr(cls, name)
        setattr(cls, name, counting(real, name, calls))
        if not before:
            made = make(cls)
        said = outcome(DRIVES[cls], made)
        tell(cls.__name__, name, calls, said)
        if own:
            setattr(cls, name, real)
        else:
            delattr(cls, name)
        calls.clear()
        said = outcome(DRIVES[cls], make(cls))
        tell("put back", calls, said)


def replaced_on_object(cls):
    for name in methods(cls):
        calls = {}
        made = make(cls)
        real = getattr(made, name)

        def counted(*args, _real=real, _name=name, _calls=calls, **kwargs):
            _calls[_name] = _calls.get(_name, 0) + 1
            return _real(*args, **kwargs)

        setattr(made, name, counted)
        tell(cls.__name__, name, outcome(DRIVES[cls], made), calls)
        delattr(made, name)
        calls.clear()
        tell("put back", outcome(DRIVES[cls], made), calls)


def all_at_once(cls):
    """Replace all methods, and note each call in its order."""
    calls = []
    for name in methods(cls):
        real = getattr(cls, name)

        def noted(self, *args, _real=real, _name=name, **kwargs):
            calls.append(_name)
            return _real(self, *args, **kwargs)

        setattr(cls, name, noted)
    made = make(cls)
    drives = {
        threading.Event: lambda: (made.set(), made.wait(), made.clear(), made.wait(0.001)),
        threading.Condition: lambda: (
            made.__enter__(),
            made.wait_for(lambda: len(calls) > 8, 0.001),
            made.notify_all(),
            made.__exit__(None, None, None),
        ),
        threading.Semaphore: lambda: (made.acquire(), made.release(), made.__enter__()),
        threading.BoundedSemaphore: lambda: (made.acquire(), made.release(), made.__enter__()),
        threading.Barrier: lambda: (made.reset(), made.abort(), outcome(made.wait)),
    }
    drive = drives.get(cls, lambda: (made.put_nowait(1), made.get_nowait(), made.full()))
    tell(cls.__name__, drive(), calls)


# A case a class and a way, so that one failure does not hide another.


@case
def event_methods_before():
    replaced_on_class(threading.Event, True)


@case
def event_methods_after():
    replaced_on_class(threading.Event, False)


@case
def condition_methods_before():
    replaced_on_class(threading.Condition, True)


@case
def condition_methods_after():
    replaced_on_class(threading.Condition, False)


@case
def semaphore_methods_before():
    replaced_on_class(threading.Semaphore, True)


@case
def semaphore_methods_after():
    replaced_on_class(threading.Semaphore, False)


@case
def bounded_semaphore_methods():
    replaced_on_class(threading.BoundedSemaphore, False)


@case
def barrier_methods_before():
    replaced_on_class(threading.Barrier, True)


@case
def barrier_methods_after():
    replaced_on_class(threading.Barrier, False)


@case(only="queue")
def queue_methods_before():
    replaced_on_class(queue.Queue, True)


@case(only="queue")
def queue_methods_after():
    replaced_on_class(queue.Queue, False)


@case(only="queue")
def lifo_queue_methods():
    replaced_on_class(queue.LifoQueue, False)


@case(only="queue")
def priority_queue_methods():
    replaced_on_class(queue.PriorityQueue, True)


@case
def methods_of_objects():
    for cls in (threading.Event, threading.Condition, threading.Semaphore, threading.Barrier):
        replaced_on_object(cls)


@case(only="queue")
def methods_of_queue_objects():
    replaced_on_object(queue.Queue)


@case
def all_methods_at_once():
    for cls in DRIVES:
        if cls not in QUEUES:
            all_at_once(cls)


@case(only="queue")
def all_methods_of_a_queue_at_once():
    all_at_once(queue.PriorityQueue)


# Replaced on a base


@case
def a_method_of_a_base_replaced():
    calls = {}
    real = threading.Semaphore.acquire
    threading.Semaphore.acquire = counting(real, "acquire", calls)
    bounded = threading.BoundedSemaphore(1)
    bounded.acquire()
    bounded.release()
    with bounded:
        tell(calls)
    threading.Semaphore.acquire = real
    bounded.acquire()
    tell(calls)


@case(only="queue")
def a_method_of_a_base_of_queues_replaced():
    calls = {}
    for name in ("put", "get", "_put", "_get", "_qsize", "_init"):
        setattr(queue.Queue, name, counting(getattr(queue.Queue, name), name, calls))
    for cls in (queue.LifoQueue, queue.PriorityQueue, queue.Queue):
        line = cls()
        line.put_nowait(1)
        line.get_nowait()
        tell(cls.__name__, sorted(calls.items()))
        calls.clear()


# Waits that began before


@case
def a_method_replaced_under_waiters():
    calls = {}
    event, barrier, condition = threading.Event(), threading.Barrier(2), threading.Condition()

    def wait():
        with condition:
            return condition.wait()

    waiters = [waiting(event.wait), waiting(wait), waiting(barrier.wait)]
    threading.Event.set = counting(threading.Event.set, "set", calls)
    threading.Condition.notify = counting(threading.Condition.notify, "notify", calls)
    threading.Barrier._release = counting(threading.Barrier._release, "_release", calls)
    event.set()
    with condition:
        condition.notify_all()
    barrier.wait()
    tell([waiter.said() != "waits for ever" for waiter in waiters], sorted(calls.items()))
    leave()


@case(only="queue")
def a_put_replaced_under_getters():
    items = []
    line = queue.Queue()
    getter = waiting(line.get)

    def _put(self, item):
        items.append(item)
        self.queue.append(item * 2)

    queue.Queue._put = _put
    line.put(4)
    tell(getter.said(), items, line.qsize())
    line.put(5)
    tell(line.get(), items)
    leave()


@case(only="queue")
def private_methods_put_on_later():
    class Line(queue.Queue):
        pass

    line = Line()
    line.put("a")
    Line._put = lambda self, item: self.queue.appendleft(("left", item))
    line.put("b")
    tell(line.get(), line.get())
    Line._qsize = lambda self: 0
    tell(line.qsize(), line.empty(), outcome(line.get_nowait))
    del Line._qsize
    Line._get = lambda self: "got"
    line.put("c")
    tell(line.get(), line.qsize())
    del Line._get, Line._put
    tell(line.get())
    line._put = lambda item: line.queue.extend([item, item])
    line.put("d")
    tell(line.qsize(), line.get(), line.unfinished_tasks)
    Line._init = lambda self, maxsize: setattr(self, "queue", [])
    attempt("init", lambda: type(Line().queue).__name__)


@case
def subclasses_changed_later():
    class Event(threading.Event):
        pass

    class Semaphore(threading.Semaphore):
        pass

    event, semaphore = Event(), Semaphore()
    said = []
    Event.is_set = lambda self: said.append("is_set") or False
    tell(event.is_set(), event.set(), event.wait(0.001))
    del Event.is_set
    tell(event.is_set(), said)
    Semaphore.acquire = lambda self, *args: said.append(args) or "mine"
    with semaphore as entered:
        tell(entered, said)
    tell(event.wait(1))

    class Other(threading.Event):
        def wait(self, timeout=None):
            return "other"

    Event.__bases__ = (Other,)
    tell(event.wait(), Event.__mro__[1].__name__)


@case
def the_class_of_an_object_changed():
    class Loud(threading.Event):
        def set(self):
            tell("loud")
            super().set()

        def wait(self, timeout=None):
            tell("waits", timeout)
            return super().wait(timeout)

    class Quiet(threading.Event):
        pass

    event = Quiet()
    waiter = waiting(event.wait)
    event.__class__ = Loud
    event.set()
    tell(waiter.said(), event.wait(1), type(event).__name__)
    event.__class__ = Quiet
    tell(event.wait(1), isinstance(event, Loud))
    plain = threading.Event()
    attempt("derived", setattr, plain, "__class__", Loud)
    attempt("set", plain.set)
    attempt("back", setattr, plain, "__class__", threading.Event)
    attempt("set", plain.is_set)
    leave()
