"""Every method of every native class, on an object before and after it has been materialized.

A method of a native class that works on the primitive of an object that has been materialized
would do nothing, and no error would tell. So each name that a native class has is in `CALLS`, with
calls that show its effect. A name that is missing there fails.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import kits
import pytest
from kits import CLASSES, QUEUES, Kit

Call = Callable[[Any], Any]

ORDERED = ("Queue", "LifoQueue", "PriorityQueue")

# What a name of a class is that has no meaning of its own, or another one on a native class.
PASSED_OVER = {
    *("__class_getitem__", "__delattr__", "__dict__", "__doc__", "__getstate__", "__module__"),
    *("__setattr__", "__weakref__", "__annotations__", "__static_attributes__", "__firstlineno__"),
    # The interpreter keeps them in the class when they are first asked for: by copyreg, by 3.14.
    *(
        "__slotnames__",
        "__annotations_cache__",
        "__annotate__",
        "__annotate_func__",
        "__abstractmethods__",
    ),
    # Objects of a class of their own on each side; looked at in test_private_attributes.
    *("_cond", "_lock", "_waiters", "mutex", "not_empty", "not_full", "all_tasks_done", "queue"),
}


def attribute(name: str) -> Call:
    return lambda it: getattr(it, name)


def call(name: str, *args: Any, **kwargs: Any) -> Call:
    return lambda it: getattr(it, name)(*args, **kwargs)


def acquired(*calls: Call) -> Call:
    """The calls while the object is acquired."""

    def run(it: Any) -> Any:
        with it:
            return [one(it) for one in calls]

    return run


def again(it: Any) -> Any:
    """`__init__` once more."""
    return it.__init__(*((2,) if "Barrier" in type(it).__name__ else ()))


def repr_of(it: Any) -> str:
    return repr(it).partition(" at ")[0] + repr(it).partition(":")[2]


def taken_back(it: Any) -> Any:
    it.acquire()
    saved = it._release_save()
    held = it._is_owned()
    it._acquire_restore(saved)
    return held, it._is_owned(), it.release()


CONDITION = {
    "__init__": [again],
    "__enter__": [call("__enter__"), call("release")],
    "__exit__": [call("acquire"), call("__exit__", None, None, None)],
    "__repr__": [lambda it: repr(it).partition(" object")[0]],
    "_acquire_restore": [taken_back],
    "_release_save": [taken_back],
    "_is_owned": [call("_is_owned"), acquired(call("_is_owned"))],
    "_at_fork_reinit": [call("_at_fork_reinit"), acquired(call("_is_owned"))],
    "acquire": [call("acquire"), call("acquire", False), call("release"), call("release")],
    "release": [call("release"), call("acquire"), call("release")],
    "locked": [call("locked"), acquired(call("locked"))],
    "notify": [call("notify"), acquired(call("notify"), call("notify", 2))],
    "notifyAll": [call("notifyAll"), acquired(call("notifyAll"))],
    "notify_all": [call("notify_all"), acquired(call("notify_all"))],
    "wait": [call("wait", 0), acquired(call("wait", 0), call("wait", timeout=0.001))],
    "wait_for": [acquired(call("wait_for", lambda: 7), call("wait_for", lambda: 0, 0.001))],
}
EVENT = {
    "__init__": [call("set"), again, call("is_set")],
    "__repr__": [repr_of, call("set"), repr_of],
    "_at_fork_reinit": [call("set"), call("_at_fork_reinit"), call("is_set")],
    "_flag": [attribute("_flag"), call("set"), attribute("_flag")],
    "is_set": [call("is_set"), call("set"), call("is_set")],
    "isSet": [call("set"), call("isSet")],
    "set": [call("set"), call("is_set"), call("set")],
    "clear": [call("clear"), call("set"), call("clear"), call("is_set")],
    "wait": [call("wait", 0), call("wait", timeout=0.001), call("set"), call("wait")],
}
SEMAPHORE = {
    "__init__": [call("acquire"), again, attribute("_value")],
    "__enter__": [call("__enter__"), attribute("_value")],
    "__exit__": [call("acquire"), call("__exit__", None, None, None), attribute("_value")],
    "__repr__": [repr_of, call("acquire"), repr_of],
    "_value": [attribute("_value"), call("acquire"), attribute("_value")],
    "_initial_value": [attribute("_initial_value")],
    "acquire": [call("acquire"), call("acquire", False), call("acquire", timeout=0.001)],
    "release": [call("release"), call("acquire"), call("release", 1), attribute("_value")],
}
BARRIER = {
    "__init__": [call("abort"), again, attribute("broken")],
    "__repr__": [repr_of, call("abort"), repr_of],
    "_action": [attribute("_action")],
    "_count": [attribute("_count")],
    "_parties": [attribute("_parties")],
    "_state": [attribute("_state"), call("abort"), attribute("_state")],
    "_timeout": [attribute("_timeout")],
    "_enter": [lambda it: acquired(lambda _: it._enter())(it._cond)],
    "_exit": [lambda it: acquired(lambda _: it._exit())(it._cond)],
    "_release": [lambda it: acquired(lambda _: it._release())(it._cond), attribute("_state")],
    "_break": [lambda it: acquired(lambda _: it._break())(it._cond), attribute("broken")],
    "_wait": [lambda it: acquired(lambda _: it._wait(0.001))(it._cond), attribute("broken")],
    "abort": [call("abort"), attribute("broken"), call("wait")],
    "broken": [attribute("broken"), call("abort"), attribute("broken")],
    "n_waiting": [attribute("n_waiting")],
    "parties": [attribute("parties")],
    "reset": [call("abort"), call("reset"), attribute("broken")],
    "wait": [call("wait", 0.001), attribute("broken"), call("wait")],
}
QUEUE = {
    "__init__": [call("put", 1), again, call("qsize")],
    "_init": [call("_init", 0), call("qsize")],
    "_get": [call("put", 1), call("_get")],
    "_put": [call("_put", 1), call("_qsize")],
    "_qsize": [call("_qsize"), call("put", 1), call("_qsize")],
    "empty": [call("empty"), call("put", 1), call("empty")],
    "full": [call("full"), lambda it: setattr(it, "maxsize", 1), call("put", 1), call("full")],
    "get": [call("get", False), call("get", timeout=0.001), call("put", 1), call("get")],
    "get_nowait": [call("get_nowait"), call("put", 1), call("get_nowait")],
    "is_shutdown": [attribute("is_shutdown")],
    "join": [call("join"), call("put", 1), call("task_done"), call("join")],
    "maxsize": [attribute("maxsize"), lambda it: setattr(it, "maxsize", 3), attribute("maxsize")],
    "put": [call("put", 2), call("put", 1, False), call("put", 3, timeout=1), call("get")],
    "put_nowait": [call("put_nowait", 1), call("qsize")],
    "qsize": [call("qsize"), call("put", 1), call("qsize")],
    "shutdown": [call("put", 1), call("shutdown"), call("put", 2), call("get"), call("get")],
    "task_done": [call("task_done"), call("put", 1), call("task_done"), call("task_done")],
    "unfinished_tasks": [call("put", 1), attribute("unfinished_tasks")],
}
CALLS: dict[str, dict[str, list[Call]]] = {
    "Condition": CONDITION,
    "Event": EVENT,
    "Semaphore": SEMAPHORE,
    "BoundedSemaphore": SEMAPHORE,
    "Barrier": BARRIER,
    **dict.fromkeys(ORDERED, QUEUE),
}


def class_of(kit: Kit, name: str) -> Any:
    return getattr(kit.queue if name in QUEUES else kit.threading, name)


def names_of(name: str) -> list[str]:
    """The names that a native class or a native base of it has."""
    mro = class_of(kits.kit("rthread"), name).__mro__
    return sorted({key for cls in mro[:-1] for key in vars(cls)} - PASSED_OVER)


def materialize(it: Any) -> Any:
    """Make the object a Python one."""
    vars(it)["materialized"] = True
    return it


def done(it: Any, one: Call) -> Any:
    """What a call gives or raises, so that it can be compared."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found = one(it)
    except Exception as error:
        return type(error).__name__, str(error)
    return type(found).__name__ if found is it else found


@pytest.mark.parametrize("name", CALLS)
def test_each_name_has_calls(name: str) -> None:
    assert set(names_of(name)) <= set(CALLS[name])


@pytest.mark.parametrize(
    ("name", "method"), [(name, method) for name in CALLS for method in CALLS[name]]
)
def test_the_same_before_and_after(name: str, method: str) -> None:
    stock, ours = kits.kit("stock"), kits.kit("rthread")
    if not hasattr(class_of(ours, name), method):
        pytest.skip("not in this version")
    calls = CALLS[name][method]
    native, python = ours.make(name), materialize(ours.make(name))
    # Also in the midst: after the first call.
    changing = ours.make(name)
    expected = [done(native, one) for one in calls]
    assert [done(python, one) for one in calls] == expected
    assert [done(changing, calls[0])] == expected[:1]
    materialize(changing)
    assert [done(changing, one) for one in calls[1:]] == expected[1:]
    if hasattr(class_of(stock, name), method):
        beside = stock.make(name)
        assert [done(beside, one) for one in calls] == expected


def test_all_classes_are_here() -> None:
    assert {*CALLS} == {*CLASSES, *ORDERED}
