"""Programs that look at the insides of an object while threads wait in it, and go on at once.

A debugger shows `vars()`, a logger copies, a test reads `_cond`. Nothing that was true before may
be lost by the look, and no waiter may miss a wake-up.
"""

# ruff: noqa: B018
from __future__ import annotations

import copy
import inspect
import pickle
import pprint
import queue
import sys
import threading
import time

from case_support import Waiter, attempt, case, leave, outcome, tell, until, waiting, within


def test_the_same_as_on_stock(compare):
    compare()


def pickled(thing):
    try:
        pickle.dumps(thing)
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    return "pickled"


LOOKS = {
    "vars": vars,
    "dict": lambda thing: thing.__dict__,
    "dir": dir,
    "copy": copy.copy,
    "getmembers": inspect.getmembers,
    "getmembers_static": lambda thing: [inspect.getattr_static(thing, n) for n in dir(thing)],
    "pprint": pprint.pformat,
    "pickle": pickled,
    "repr": repr,
    "setattr": lambda thing: setattr(thing, "note", 1),
    "sizeof": sys.getsizeof,
    "reduce": lambda thing: outcome(thing.__reduce_ex__, 2),
}
PARTS = {
    "Event": ("_cond", "_flag"),
    "Semaphore": ("_cond", "_value"),
    "BoundedSemaphore": ("_cond", "_value", "_initial_value"),
    "Barrier": ("_cond", "_action", "_timeout", "_parties", "_state", "_count"),
    "Condition": ("_lock", "_waiters", "_is_owned", "acquire", "_release_save"),
    "Queue": ("mutex", "not_empty", "not_full", "all_tasks_done", "queue", "maxsize"),
}


def looks_at(name):
    """The ways to look at an object of a class, with its own parts among them."""
    yield from LOOKS.items()
    for part in PARTS[name]:
        yield part, lambda thing, part=part: getattr(thing, part)
    yield (
        "all parts",
        lambda thing: [(part, getattr(thing, part)) for part in PARTS[name]],
    )


# What there is to be seen


def shape(thing):
    """The names and types of an object's attributes, in their order."""
    return [(name, type(value).__name__) for name, value in vars(thing).items()]


MAKERS = {
    "Event": lambda: threading.Event(),
    "Condition": lambda: threading.Condition(),
    "Condition of a Lock": lambda: threading.Condition(threading.Lock()),
    "Semaphore": lambda: threading.Semaphore(3),
    "BoundedSemaphore": lambda: threading.BoundedSemaphore(3),
    "Barrier": lambda: threading.Barrier(3, print, 7),
}
QUEUES = {
    "Queue": lambda: queue.Queue(3),
    "LifoQueue": lambda: queue.LifoQueue(3),
    "PriorityQueue": lambda: queue.PriorityQueue(3),
}


def names(made):
    """What `dir()` says, without what rthread's queues have before the interpreter's."""
    new = {"is_shutdown", "shutdown"} if sys.version_info < (3, 13) else set()
    return [name for name in dir(made) if name not in new]


def shown(makers):
    for name, make in makers.items():
        tell(name, shape(make()))
        tell(name, [n for n in names(make()) if not n.startswith("__") or n == "__dict__"])
        tell(
            name, [n for n, _ in inspect.getmembers(make()) if n in ("_cond", "__dict__", "queue")]
        )
        tell(name, pprint.pformat(make()))
        tell(name, pprint.pformat(vars(make())))
        tell(name, outcome(copy.copy, make()), pickled(make()))
        tell(name, outcome(copy.deepcopy, make()))
        made = make()
        tell(name, vars(made) is vars(made), made.__dict__ is vars(made), len(vars(made)))
        tell(name, {part: hasattr(made, part) for parts in PARTS.values() for part in parts})


@case
def the_insides_of_each_class():
    shown(MAKERS)


@case(only="queue")
def the_insides_of_each_queue():
    shown(QUEUES)


@case
def a_copy_shares_the_insides():
    for name, make in MAKERS.items():
        made = make()
        copied = copy.copy(made)
        same = [n for n in vars(made) if vars(made)[n] is vars(copied)[n]]
        tell(name, type(copied).__name__, same)
    event = threading.Event()
    copied = copy.copy(event)
    waiter = waiting(event.wait)
    other = waiting(copied.wait)
    copied.set()
    tell(event.is_set(), waiter.said(), other.said())


@case(only="queue")
def a_copied_queue_shares_the_insides():
    for name, make in QUEUES.items():
        made = make()
        attempt(name, copy.copy, made)
        tell(name, sorted(vars(made)))


@case
def attributes_of_a_programs_own():
    for name, make in MAKERS.items():
        made = make()
        made.note = 1
        made.__dict__["other"] = 2
        tell(name, made.note, made.other, list(vars(made)), outcome(delattr, made, "note"))
        tell(name, outcome(delattr, made, "note"), outcome(lambda made=made: made.nothing))


@case
def a_dict_put_in_place_of_the_insides():
    event, other = threading.Event(), threading.Event()
    event.__dict__ = vars(other)
    other.set()
    tell(event.is_set(), event.wait(1), event._cond is other._cond)
    event.__dict__ = {}
    attempt("is_set", event.is_set)
    attempt("wait", event.wait, 0.01)
    attempt("set", event.set)
    attempt("repr", repr, event)
    semaphore = threading.Semaphore(2)
    vars(semaphore)["_value"] = 0
    tell(semaphore.acquire(False), vars(semaphore)["_value"])
    vars(semaphore).update(_value=5)
    tell(semaphore.acquire(False), semaphore._value)
    barrier = threading.Barrier(2)
    vars(barrier)["_parties"] = 1
    tell(barrier.parties, outcome(barrier.wait))
    event = threading.Event()
    event.__dict__["_flag"] = True
    tell(event.is_set(), outcome(event.wait, 0.01))
    vars(event).clear()
    attempt("cleared", event.wait, 0.01)


@case
def a_part_deleted():
    for name, make in MAKERS.items():
        for part in list(vars(make())):
            if part in ("acquire", "release", "locked"):
                # A native condition has these in its class as well.
                continue
            made = make()
            attempt(f"{name} {part} del", delattr, made, part)
            attempt(f"{name} {part} get", getattr, made, part)
            if name == "Event":
                attempt("wait", made.wait, 0.001)
                attempt("set", made.set)
                attempt("is_set", made.is_set)
            elif "Semaphore" in name:
                attempt("acquire", made.acquire, timeout=0.001)
                attempt("release", made.release)
            elif name == "Barrier":
                attempt("wait", made.wait, 0.001)
                attempt("n_waiting", lambda made=made: made.n_waiting)
                attempt("reset", made.reset)
            else:
                attempt("enter", made.__enter__)
                attempt("notify", made.notify)


# Events


def pulse(name, look):
    event = threading.Event()
    waiters = [waiting(event.wait), waiting(event.wait, 30)]
    look(event)
    event.set()
    event.clear()
    tell("pulse", name, [waiter.said() for waiter in waiters], event.is_set())


def looked_at_while_waited_for(names):
    for name, look in looks_at("Event"):
        if name in names:
            pulse(name, look)
    leave()


@case
def an_event_looked_at_and_pulsed():
    looked_at_while_waited_for(list(LOOKS)[:6])


@case
def an_event_looked_at_and_pulsed_further():
    looked_at_while_waited_for([*list(LOOKS)[6:], "_cond", "_flag", "all parts"])


@case
def an_event_looked_at_by_another_thread():
    event = threading.Event()
    waiters = [waiting(event.wait) for _ in range(3)]
    tell(within(lambda: vars(event) and None))
    event.set()
    event.clear()
    tell([waiter.said() for waiter in waiters])
    tell(len(event._cond._waiters))
    leave()


@case
def an_event_set_and_looked_at_before_its_waiter_runs():
    event = threading.Event()
    waiters = [waiting(event.wait) for _ in range(3)]
    event.set()
    tell(event._flag, vars(event)["_flag"], event.is_set())
    event.clear()
    tell(event._flag, vars(event)["_flag"])
    tell([waiter.said() for waiter in waiters])
    leave()


@case
def an_event_pulsed_by_hand():
    for _ in range(5):
        event = threading.Event()
        waiters = [waiting(event.wait), waiting(event.wait, 30)]
        with event._cond:
            tell(len(event._cond._waiters))
            event._cond.notify_all()
        tell([waiter.said() for waiter in waiters], event.is_set())
    leave()


@case
def an_event_with_its_first_waiter_notified():
    event = threading.Event()
    first, second = waiting(event.wait), waiting(event.wait)
    with event._cond:
        event._cond.notify()
    tell(first.said(), len(event._cond._waiters))
    event.set()
    tell(second.said())
    leave()


@case
def an_event_with_its_condition_held():
    event = threading.Event()
    first = waiting(event.wait)
    with event._cond:
        second = waiting(event.wait)
        setter = waiting(event.set)
        tell(event.is_set())
    tell(setter.said(), first.said(), second.said(), event.is_set())
    leave()


@case
def a_wait_for_an_event_that_times_out_after_a_look():
    event = threading.Event()
    waiters = [waiting(event.wait, 0.15) for _ in range(3)]
    vars(event)
    tell([waiter.said() for waiter in waiters], len(event._cond._waiters))
    attempt("wait", event.wait, 0.01)
    event.set()
    attempt("wait", event.wait, 0.01)
    leave()


@case
def an_event_looked_at_again_and_again():
    event = threading.Event()
    said = []
    waiters = []
    for round_ in range(12):
        waiters = [waiting(event.wait), waiting(event.wait, 20)]
        [vars, dir, copy.copy, lambda e: e._cond][round_ % 4](event)
        event.set()
        event.clear()
        said += [waiter.said() for waiter in waiters]
    tell(said)
    leave()


@case
def an_event_made_new_while_waited_for():
    """The waiters of before wait for the condition of before."""
    event = threading.Event()
    before = waiting(event.wait, 0.4)
    condition = event._cond
    event.__init__()
    tell(event._cond is condition)
    after = waiting(event.wait)
    event.set()
    tell(after.said(), before.said())
    leave()


@case
def an_event_made_new_unlooked_at():
    event = threading.Event()
    before = waiting(event.wait, 0.4)
    event.__init__()
    after = waiting(event.wait)
    event.set()
    tell(after.said(), before.said(), event.is_set())
    event.__init__()
    tell(event.is_set())
    leave()


@case
def an_event_set_and_made_new():
    event = threading.Event()
    waiters = [waiting(event.wait) for _ in range(2)]
    event.set()
    event.__init__()
    tell([waiter.said() for waiter in waiters], event.is_set())
    leave()


@case
def an_events_flag_written():
    event = threading.Event()
    waiter = waiting(event.wait, 0.3)
    event._flag = True
    tell(event.is_set(), event.wait(), waiter.said())
    event._flag = []
    tell(event.is_set(), event.wait(0.001))
    event._flag = "yes"
    tell(event.is_set(), event.wait(0.001))
    leave()


@case
def an_events_condition_replaced_while_waited_for():
    event = threading.Event()
    before = waiting(event.wait)
    old = event._cond
    event._cond = threading.Condition(threading.Lock())
    after = waiting(event.wait)
    event.set()
    tell(after.said(), len(old._waiters))
    with old:
        old.notify_all()
    tell(before.said())
    leave()


@case
def is_set_after_set():
    """A look at any moment sees the event set that `set()` has returned from."""
    wrong = 0
    for round_ in range(100):
        event = threading.Event()
        waiter = Waiter(event.wait)
        looker = Waiter(vars, event) if round_ % 2 else Waiter(lambda event=event: event._cond)
        event.set()
        wrong += not event.is_set() or not event._flag
        waiter.said()
        looker.said()
    tell(wrong)


# Semaphores


@case
def a_semaphore_looked_at_and_released():
    for cls in (threading.Semaphore, threading.BoundedSemaphore):
        for name, look in looks_at("Semaphore"):
            semaphore = cls(2)
            semaphore.acquire()
            semaphore.acquire()
            waiters = [waiting(semaphore.acquire), waiting(semaphore.acquire, timeout=30)]
            look(semaphore)
            semaphore.release()
            semaphore.release()
            said = [waiter.said() for waiter in waiters]
            tell(cls.__name__, name, said, semaphore._value)
    leave()


@case
def a_semaphore_with_several_permits():
    semaphore = threading.Semaphore(0)
    waiters = [waiting(semaphore.acquire) for _ in range(4)]
    vars(semaphore)
    semaphore.release(3)
    until(lambda: sum(w.said(0) == "True" for w in waiters) == 3)
    tell(sorted(waiter.said(0.05) for waiter in waiters), semaphore._value)
    semaphore.release()
    tell([waiter.said() for waiter in waiters])
    leave()


@case
def a_semaphore_made_new_while_waited_for():
    semaphore = threading.Semaphore(0)
    before = waiting(semaphore.acquire, timeout=0.4)
    semaphore.__init__(1)
    tell(semaphore._value, outcome(semaphore.acquire, timeout=0.1), semaphore._value)
    tell(before.said())
    semaphore = threading.BoundedSemaphore(1)
    semaphore.__init__(3)
    for _ in range(3):
        semaphore.acquire()
    semaphore.release(3)
    attempt("too many", semaphore.release)
    leave()


@case
def a_semaphores_value_written():
    semaphore = threading.Semaphore(0)
    semaphore._value = 2
    tell(semaphore.acquire(), semaphore.acquire(), semaphore.acquire(False))
    waiter = waiting(semaphore.acquire)
    with semaphore._cond:
        semaphore._value += 1
        semaphore._cond.notify()
    tell(waiter.said(), semaphore._value)
    bounded = threading.BoundedSemaphore(1)
    bounded._initial_value = 3
    attempt("release", bounded.release)
    attempt("release", bounded.release)
    attempt("release", bounded.release)
    leave()


@case
def a_semaphore_with_its_condition_held():
    semaphore = threading.Semaphore(1)
    with semaphore._cond:
        waiter = waiting(semaphore.acquire)
        releaser = waiting(semaphore.release)
        tell(semaphore._value)
    tell(waiter.said(), releaser.said(), semaphore._value)
    leave()


# Barriers, events and semaphores, looked at through a derived class


@case
def derived_classes_looked_at():
    class Event(threading.Event):
        def __init__(self, name):
            super().__init__()
            self.name = name

    class Semaphore(threading.Semaphore):
        __slots__ = ("name",)

    event = Event("x")
    tell(shape(event))
    waiter = waiting(event.wait)
    tell(sorted(copy.copy(event).__dict__))
    event.set()
    event.clear()
    tell(waiter.said())
    semaphore = Semaphore(0)
    semaphore.name = "y"
    tell(shape(semaphore))
    waiter = waiting(semaphore.acquire)
    vars(semaphore)
    semaphore.release()
    tell(waiter.said(), semaphore.name)
    leave()


# At the same time


@case
def looked_at_at_any_moment():
    """Looks by one thread, pulses by another, waits by a third: each wait ends."""
    sys.setswitchinterval(1e-6)
    event = threading.Event()
    done = threading.Event()
    lost = []

    def look():
        while not done.is_set():
            vars(event)
            copy.copy(event)
            event._cond
            time.sleep(0)

    looker = Waiter(look)
    for _ in range(40):
        waiter = waiting(event.wait)
        event.set()
        event.clear()
        if waiter.said() != "True":
            lost.append(waiter)
    done.set()
    tell(len(lost), looker.said())
    leave()


@case
def opened_and_initialised_at_once():
    sys.setswitchinterval(1e-6)
    said = []
    for _ in range(40):
        semaphore = threading.Semaphore(0)
        threads = [
            Waiter(vars, semaphore),
            Waiter(semaphore.__init__, 1),
            Waiter(semaphore.acquire, timeout=0.03),
        ]
        [thread.said() for thread in threads]
        semaphore.__init__(1)
        said.append(semaphore.acquire(timeout=10) and not semaphore.acquire(False))
    tell(sum(said))
    leave()
