"""Looks at the insides of conditions, and changes of them, while threads wait."""

# ruff: noqa: B023
from __future__ import annotations

import copy
import re
import sys
import threading

from case_support import Waiter, attempt, case, leave, tell, waiting
from test_looking_inside import MAKERS, looks_at


def test_the_same_as_on_stock(compare):
    compare()


# Conditions


def waiter_of(condition, timeout=None):
    def wait():
        with condition:
            return condition.wait(timeout)

    return waiting(wait)


@case
def a_condition_looked_at_and_notified():
    for lock in (threading.Lock, threading.RLock):
        for name, look in looks_at("Condition"):
            if name == "copy":
                continue
            condition = threading.Condition(lock())
            waiters = [waiter_of(condition), waiter_of(condition, 30)]
            look(condition)
            with condition:
                condition.notify_all()
            tell(name, [waiter.said() for waiter in waiters], len(condition._waiters))
    leave()


@case
def a_condition_looked_at_by_the_holder():
    for name, look in looks_at("Condition"):
        condition = threading.Condition()
        waiters = [waiter_of(condition), waiter_of(condition, 30)]
        with condition:
            look(condition)
            condition.notify()
            look(condition)
            condition.notify()
        tell(name, [waiter.said() for waiter in waiters])
    leave()


@case
def a_condition_copied_while_waited_for():
    condition = threading.Condition()
    copied = []
    waiter = waiter_of(condition)
    copied = copy.copy(condition)
    tell(copied._lock is condition._lock, copied._waiters is condition._waiters)
    with copied:
        copied.notify_all()
    tell(waiter.said(), condition._is_owned())
    leave()


@case
def the_waiters_of_a_condition():
    condition = threading.Condition()
    tell(type(condition._waiters).__name__, list(condition._waiters))
    waiters = [waiter_of(condition) for _ in range(3)]
    with condition:
        tell(len(condition._waiters), {type(lock).__name__ for lock in condition._waiters})
        tell([lock.locked() for lock in condition._waiters], bool(condition._waiters))
        condition._waiters.popleft().release()
    tell(waiters[0].said(), len(condition._waiters))
    with condition:
        condition._waiters[0].release()
        condition._waiters.remove(condition._waiters[0])
    tell(waiters[1].said())
    with condition:
        condition._waiters.pop().release()
    tell(waiters[2].said(), len(condition._waiters))
    leave()


@case
def the_waiters_of_a_condition_in_their_order():
    condition = threading.Condition()
    waiters = [waiter_of(condition) for _ in range(4)]
    with condition:
        condition._waiters.rotate(1)
        condition.notify()
    tell(waiters[3].said(), [waiter.said(0.01) for waiter in waiters[:3]])
    with condition:
        condition._waiters.reverse()
        condition.notify()
    tell(waiters[2].said(), [waiter.said(0.01) for waiter in waiters[:2]])
    with condition:
        condition.notify_all()
    tell([waiter.said() for waiter in waiters])
    leave()


@case
def a_lock_of_a_programs_own_among_the_waiters():
    condition = threading.Condition()
    lock = threading.Lock()
    lock.acquire()
    condition._waiters.append(lock)
    with condition:
        condition.notify()
    tell(lock.locked(), len(condition._waiters))
    waiter = waiter_of(condition)
    lock.acquire()
    condition._waiters.appendleft(lock)
    with condition:
        condition.notify_all()
    tell(lock.locked(), waiter.said())
    leave()


@case
def the_waiters_of_a_condition_replaced():
    import collections

    condition = threading.Condition()
    waiter = waiter_of(condition, 0.3)
    old = condition._waiters
    condition._waiters = collections.deque()
    with condition:
        condition.notify_all()
    tell(waiter.said(), len(old), len(condition._waiters))
    condition._waiters = []
    attempt("notify", lambda: [condition.acquire(), condition.notify(), condition.release()])
    leave()


@case
def the_lock_of_a_condition_replaced():
    condition = threading.Condition()
    other = threading.RLock()
    condition._lock = other
    tell(condition._lock is other)
    with condition:
        tell(condition._is_owned(), other.acquire(False))
        other.release()
    attempt("released", other.release)
    attempt("notify", condition.notify)
    condition._lock = threading.Lock()
    attempt("enter", condition.__enter__)
    attempt("exit", condition.__exit__, None, None, None)
    attempt("wait", condition.wait, 0.01)
    leave()


@case
def a_condition_made_new():
    lock = threading.Lock()
    condition = threading.Condition()
    condition.__init__(lock)
    tell(condition._lock is lock)
    with condition:
        tell(lock.locked(), condition._is_owned())
    condition.__init__()
    tell(type(condition._lock).__name__, repr(condition))
    condition.acquire()
    condition.__init__(lock)
    tell(repr(condition), condition._is_owned())
    attempt("exit", condition.release)
    leave()


@case
def a_condition_made_new_while_waited_for():
    condition = threading.Condition(threading.Lock())
    before = waiter_of(condition, 0.4)
    condition.__init__(threading.Lock())
    tell(len(condition._waiters))
    after = waiter_of(condition)
    with condition:
        condition.notify_all()
    tell(after.said(), before.said())
    leave()


@case
def conditions_of_a_diamond():
    class A(threading.Condition):
        def __init__(self):
            threading.Condition.__init__(self)

    class B(threading.Condition):
        def __init__(self):
            threading.Condition.__init__(self, threading.Lock())

    class Both(A, B):
        def __init__(self):
            A.__init__(self)
            B.__init__(self)

    with Both() as taken:
        tell(taken)
    # The second lock has no `_is_owned`, so the condition keeps that of the first.
    condition = Both()
    with condition:
        attempt("wait", condition.wait, 0.001)
        attempt("notify", condition.notify)
    tell(condition._is_owned.__self__ is condition._lock, type(condition._lock).__name__)
    leave()


@case
def initialised_twice_at_once():
    """Two threads initialise one object. Initialised once more by one thread, it works."""
    makers = {
        "Condition": lambda c: c.__init__(threading.RLock()),
        "Event": lambda e: e.__init__(),
        "Semaphore": lambda s: s.__init__(1),
        "Barrier": lambda b: b.__init__(1),
    }
    sys.setswitchinterval(1e-6)
    for name, make in makers.items():
        for _ in range(30):
            made = MAKERS[name]()
            both = [Waiter(lambda: [make(made) for _ in range(20)]) for _ in range(2)]
            [waiter.said() for waiter in both]
        make(made)
        if name == "Condition":
            with made:
                tell(name, made.wait(0.001))
        elif name == "Event":
            made.set()
            tell(name, made.wait(1))
        elif name == "Semaphore":
            tell(name, made.acquire(timeout=1), made.acquire(False))
        else:
            tell(name, made.wait(1))


@case
def locked_and_owned():
    for lock in (threading.Lock(), threading.RLock()):
        condition = threading.Condition(lock)
        tell(hasattr(condition, "locked"), hasattr(lock, "locked"))
        tell(hasattr(condition, "_release_save"), hasattr(condition, "_acquire_restore"))
        tell("acquire" in vars(condition), "_is_owned" in vars(condition))
        tell(condition.acquire.__self__ is lock, condition.release.__self__ is lock)
        tell(condition._is_owned(), condition.acquire(), condition._is_owned())
        attempt("repr", lambda: re.sub(r"owner=[1-9]\d*", "owner=…", repr(condition)))
        attempt("save", lambda c=condition: [c._acquire_restore(c._release_save()), c._is_owned()])


@case
def a_condition_with_a_lock_of_ones_own():
    class Lock:
        def __init__(self):
            self.said = []
            self.held = False

        def locked(self):
            return self.held

        def acquire(self, *args):
            self.said.append(("acquire", args))
            took, self.held = not self.held, True
            return took

        def release(self):
            self.said.append("release")
            self.held = False

        def __enter__(self):
            self.said.append("enter")
            self.held = True
            return "entered"

        def __exit__(self, *args):
            self.said.append("exit")
            self.held = False

    lock = Lock()
    condition = threading.Condition(lock)
    with condition as entered:
        condition.wait(0.001)
        condition.notify()
    tell(entered, lock.said, sorted(vars(condition)))
