"""The same random calls on a stock object and on a native one, with arguments made to be wrong.

Nothing here waits: a step that would is left out, by asking the stock object. What a call says
about its arguments' number and names is the parser's business; all other words have to be the same.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any, NamedTuple

import kits
import pytest
from hypothesis import given
from hypothesis import strategies as st
from kits import SINCE_3_12

from differential.sidebyside import Outcome, anything, arguments, outcome

STOCK = kits.kit("stock")
OURS = kits.kit("rthread")

# Longer waits than this are left out.
LONG = 0.002


class Step(NamedTuple):
    """One call on both objects, or one attribute set on both."""

    method: str
    args: tuple[Any, ...]
    kwargs: dict[str, Any]


def step(method: str, *keywords: str, most: int = 2) -> st.SearchStrategy[Step]:
    return arguments(*keywords, most=most).map(lambda call: Step(method, *call))


def plain(*methods: str) -> st.SearchStrategy[Step]:
    """Calls without arguments, as most are."""
    return st.sampled_from(methods).map(lambda method: Step(method, (), {}))


def setting(name: str) -> st.SearchStrategy[Step]:
    return anything.map(lambda value: Step("__setattr__", (name, value), {}))


def sequences(*steps: st.SearchStrategy[Step], most: int = 20) -> Any:
    return st.lists(st.one_of(*steps), max_size=most)


# Guards


def is_long(timeout: Any) -> bool:
    """Would a wait with this time-out be long? One that is too long is an error, and fast."""
    if timeout is None:
        return True
    try:
        # Not a number: some loops never end.
        return bool(timeout != timeout or LONG < timeout <= STOCK.threading.TIMEOUT_MAX * 1.01)
    except Exception:
        return False


def bound(method: Any, step: Step) -> dict[str, Any] | None:
    """The arguments by name, or None if they do not fit."""
    try:
        signature = inspect.signature(method)
    except ValueError:
        # A method in C that does not tell; called with nothing here.
        return {}
    try:
        found = signature.bind(*step.args, **step.kwargs)
    except TypeError:
        return None
    found.apply_defaults()
    return found.arguments


def is_true(value: Any) -> bool:
    try:
        return bool(value)
    except Exception:
        return False


def take(stock: Any, ours: Any, step: Step, looks: tuple[str, ...]) -> None:
    """Take the step on both, and compare what it came to and what can be seen afterwards."""
    theirs = outcome(getattr(stock, step.method), *step.args, **step.kwargs)
    mine = outcome(getattr(ours, step.method), *step.args, **step.kwargs)
    compare(getattr(stock, step.method), step, mine, theirs)
    for look in looks:
        assert outcome(getattr, ours, look) == outcome(getattr, stock, look), (step, look)
    assert outcome(repr, ours) == outcome(repr, stock), step


def compare(function: Any, step: Step, mine: Outcome, theirs: Outcome) -> None:
    fits = step.method.startswith("__") or bound(function, step) is not None
    if fits:
        assert mine == theirs, step
    else:
        assert theirs.type_name == "TypeError", step
        assert mine[:2] == theirs[:2], step


def made(name: str, *args: Any, **kwargs: Any) -> tuple[Any, Any] | None:
    """One of each, or None if stock refuses: then so does ours, in the same words."""
    of = (lambda kit: kit.queue) if name in kits.QUEUES else (lambda kit: kit.threading)
    stock, ours = getattr(of(STOCK), name), getattr(of(OURS), name)
    theirs, mine = outcome(stock, *args, **kwargs), outcome(ours, *args, **kwargs)
    if theirs.kind == "raises":
        try:
            inspect.signature(stock).bind(*args, **kwargs)
            fits = True
        except (TypeError, ValueError):
            fits = False
        assert mine == theirs if fits else mine[:2] == theirs[:2]
        return None
    assert mine.kind == "gives", mine
    return stock(*args, **kwargs), ours(*args, **kwargs)


# Event


@given(
    sequences(
        plain("is_set", "set", "clear"),
        step("wait", "timeout"),
        step("set", most=1),
        step("clear", most=1),
        step("is_set", most=1),
        setting("_flag"),
    )
)
def test_calls_on_an_event_come_to_the_same(sequence: list[Step]) -> None:
    pair = made("Event")
    assert pair is not None
    stock, ours = pair
    for one in sequence:
        if one.method == "wait" and not is_true(stock._flag):
            given_ = bound(stock.wait, one)
            if given_ is not None and is_long(given_["timeout"]):
                continue
        take(stock, ours, one, ("_flag",))


# Semaphores


@pytest.mark.parametrize("name", ["Semaphore", "BoundedSemaphore"])
@given(
    value=st.one_of(st.integers(0, 3), anything),
    sequence=sequences(
        plain("acquire", "release", "__enter__"),
        step("acquire", "blocking", "timeout"),
        step("release", "n"),
        setting("_value"),
    ),
)
def test_calls_on_a_semaphore_come_to_the_same(name: str, value: Any, sequence: list[Step]) -> None:
    pair = made(name, value)
    if pair is None:
        return
    stock, ours = pair
    looks = ("_value", "_initial_value") if name == "BoundedSemaphore" else ("_value",)
    for one in sequence:
        if one.method in ("acquire", "__enter__") and waits(stock, one):
            continue
        if one.method == "release" and loops(stock, one):
            continue
        take(stock, ours, one, looks)


def waits(semaphore: Any, one: Step) -> bool:
    given_ = bound(semaphore.acquire, one)
    return (
        given_ is not None
        and semaphore._value == 0
        and is_true(given_["blocking"])
        and is_long(given_["timeout"])
    )


def loops(semaphore: Any, one: Step) -> bool:
    """Up to 3.11 stock counts to n."""
    given_ = bound(semaphore.release, one)
    return (
        not SINCE_3_12
        and given_ is not None
        and isinstance(given_["n"], int)
        and given_["n"] > 1000
    )


# Condition


@pytest.mark.parametrize("kind", ["RLock", "Lock"])
@given(
    sequence=sequences(
        plain("notify", "notify_all", "release", "_is_owned", "__enter__"),
        st.just(Step("acquire", (False,), {})),
        st.just(Step("__exit__", (None, None, None), {})),
        step("wait", "timeout"),
        step("notify", "n"),
        step("notify_all", most=1),
        arguments("timeout", most=1).map(
            lambda call: Step("wait_for", (lambda: False, *call[0]), call[1])
        ),
        anything.map(lambda value: Step("wait_for", (lambda: value,), {"timeout": 0})),
        anything.map(lambda value: Step("wait_for", (value, 0), {})),
    )
)
def test_calls_on_a_condition_come_to_the_same(kind: str, sequence: list[Step]) -> None:
    stock = STOCK.threading.Condition(getattr(STOCK.threading, kind)())
    ours = OURS.threading.Condition(getattr(OURS.threading, kind)())
    depth = 0
    for one in sequence:
        if one.method in ("wait", "wait_for"):
            given_ = bound(getattr(stock, one.method), one)
            if depth and given_ is not None and is_long(given_["timeout"]):
                continue
        if one.method == "__enter__" and kind == "Lock" and depth:
            continue
        take(stock, ours, one, ())
        assert len(ours._waiters) == len(stock._waiters) == 0
        depth = 1 if stock._is_owned() else 0


@given(call=arguments("lock", most=1))
def test_condition_over_anything(call: tuple[Any, Any]) -> None:
    args, kwargs = call
    made("Condition", *args, **kwargs)


# Barrier


@given(
    parties=st.one_of(st.integers(0, 2), anything),
    default=st.one_of(st.just(0), anything),
    sequence=sequences(
        plain("abort", "reset", "wait"), step("wait", "timeout"), step("reset", most=1), most=12
    ),
)
def test_calls_on_a_barrier_come_to_the_same(
    parties: Any, default: Any, sequence: list[Step]
) -> None:
    pair = made("Barrier", parties, None, default)
    if pair is None:
        return
    stock, ours = pair
    for one in sequence:
        given_ = bound(stock.wait, one) if one.method == "wait" else None
        if given_ is not None and not stock.broken:
            timeout = given_["timeout"]
            if is_long(default if timeout is None else timeout) and not is_last(stock):
                continue
        take(stock, ours, one, ("parties", "n_waiting", "broken", "_state", "_count", "_timeout"))


def is_last(barrier: Any) -> bool:
    return bool(barrier._parties == 1)


@given(call=arguments("parties", "action", "timeout"))
def test_barrier_arguments(call: tuple[Any, Any]) -> None:
    args, kwargs = call
    made("Barrier", *args, **kwargs)


# Queues


def queue_steps(items: st.SearchStrategy[Any], *more: st.SearchStrategy[Step]) -> Any:
    def put(call: tuple[Any, Any]) -> Callable[[Any], Step]:
        return lambda item: Step("put", (item, *call[0]), call[1])

    return sequences(
        plain("get_nowait", "qsize", "empty", "get"),
        items.map(lambda item: Step("put_nowait", (item,), {})),
        items.map(lambda item: Step("put", (item,), {})),
        st.tuples(arguments("block", "timeout"), items).map(lambda both: put(both[0])(both[1])),
        step("get", "block", "timeout"),
        step("qsize", most=1),
        *more,
    )


ordered_steps = (
    plain("full", "task_done", "join"),
    step("task_done", most=1),
    setting("maxsize"),
    setting("unfinished_tasks"),
    *([step("shutdown", "immediate", most=1)] if hasattr(STOCK.queue.Queue, "shutdown") else []),
)


def queue_waits(q: Any, one: Step, name: str) -> bool:
    if one.method == "join":
        return is_true(q.unfinished_tasks)
    if one.method not in ("put", "get"):
        return False
    given_ = bound(getattr(q, one.method), one)
    if given_ is None or not is_true(given_["block"]):
        return False
    ends = one.method == "put" or kits.gives_up(STOCK, type(q))
    if ends and not is_long(given_["timeout"]):
        return False
    if one.method == "get":
        return bool(q.empty())
    if name == "SimpleQueue":
        return False
    try:
        return bool(q.full())
    except Exception:
        return False


def run_queue(name: str, args: tuple[Any, ...], sequence: list[Step]) -> None:
    pair = made(name, *args)
    if pair is None:
        return
    stock, ours = pair
    looks = () if name == "SimpleQueue" else ("unfinished_tasks", "maxsize")
    for one in sequence:
        if not queue_waits(stock, one, name):
            take(stock, ours, one, looks)
            assert ours.qsize() == stock.qsize(), one


sizes = st.one_of(st.integers(0, 3), anything)


@pytest.mark.parametrize("name", ["Queue", "LifoQueue"])
@given(maxsize=sizes, sequence=queue_steps(anything, *ordered_steps))
def test_calls_on_a_queue_come_to_the_same(name: str, maxsize: Any, sequence: list[Step]) -> None:
    run_queue(name, (maxsize,), sequence)


@given(maxsize=sizes, sequence=queue_steps(st.integers(), *ordered_steps))
def test_calls_on_a_priority_queue_come_to_the_same(maxsize: Any, sequence: list[Step]) -> None:
    """Of numbers: where a comparison raises, stock loses what ours keeps."""
    run_queue("PriorityQueue", (maxsize,), sequence)


@given(sequence=queue_steps(anything))
def test_calls_on_a_simple_queue_come_to_the_same(sequence: list[Step]) -> None:
    run_queue("SimpleQueue", (), sequence)


@pytest.mark.parametrize("name", kits.QUEUES)
@given(call=arguments("maxsize", most=2))
def test_queue_arguments(name: str, call: tuple[Any, Any]) -> None:
    args, kwargs = call
    made(name, *args, **kwargs)
