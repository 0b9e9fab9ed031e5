"""Random calls on a stock RLock and on ours, by three threads, come to the same."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from sidebyside import (
    NO_ARGUMENTS,
    OURS,
    SHORT,
    STOCK,
    Runner,
    Step,
    anything,
    arguments,
    outcome,
    waits_long,
)

ACQUIRES = ("acquire", "__enter__")
METHODS = [
    name
    for name, member in vars(STOCK.RLock).items()
    if callable(member) and name not in ("__new__", "__init__")
]
OWN = "own ident"

plausible = st.sampled_from(
    [
        *(((False,), {}), ((0,), {}), ((1, SHORT), {}), ((), {"timeout": SHORT})),
        *(((), {"blocking": False}), ((True, -1), {}), ((None, None, None), {})),
        *(((False, -1), {}), ((False, 1), {}), ((True, 0), {}), ((), {"timeout": -1.0})),
    ]
)
# A count of zero leaves the stock lock taken and owned by no thread: no call gets out of that.
counts = st.one_of(st.integers(1, 3), st.sampled_from([2**31, 2**32 + 1]))
saved_states = st.one_of(
    st.tuples(counts, st.sampled_from([OWN, 0, 1, 12345])),
    st.tuples(anything, anything).filter(lambda state: not isinstance(state[0], (int, float))),
    st.lists(anything, max_size=3).map(tuple).filter(lambda state: len(state) != 2),
    anything,
)
steps = st.builds(
    Step,
    thread=st.integers(0, 2),
    method=st.sampled_from([*METHODS, "acquire", "release", "_release_save"]),
    args=st.one_of(st.just(NO_ARGUMENTS), plausible, arguments("blocking", "timeout")),
    kwargs=st.none(),
)
restores = st.builds(
    Step,
    thread=st.integers(0, 2),
    method=st.just("_acquire_restore"),
    args=st.tuples(st.tuples(saved_states), st.just({})),
    kwargs=st.none(),
)


def with_own_ident(args: tuple[Any, ...]) -> tuple[Any, ...]:
    """`args` with the mark for the running thread's ident replaced by it."""
    if args and type(args[0]) is tuple and args[0][1:] == (OWN,):
        return ((args[0][0], STOCK.get_ident()), *args[1:])
    return args


def is_taken(rlock: Any) -> bool:
    """`locked()` is there from 3.14 on only."""
    return repr(rlock).startswith("<locked")


def would_hang(step: Step, stock: Any, args: Any, kwargs: Any) -> bool:
    if step.method == "_acquire_restore":
        # It waits even for its own thread.
        return outcome(STOCK.RLock()._acquire_restore, *args, **kwargs).kind == "gives" and (
            is_taken(stock) or restores_nothing(args)
        )
    if step.method in ACQUIRES and is_taken(stock) and not stock._is_owned():
        return waits_long(step.method, STOCK.RLock(), args, kwargs)
    return False


def restores_nothing(args: Any) -> bool:
    trial = STOCK.RLock()
    trial._acquire_restore(*args)
    return not is_taken(trial)


def take(step: Step, stock: Any, ours: Any) -> None:
    """Call both; a thread of the callers runs this."""
    args, kwargs = step.args
    args = with_own_ident(args)
    if would_hang(step, stock, args, kwargs):
        return
    theirs = outcome(getattr(stock, step.method), *args, **kwargs)
    mine = outcome(getattr(ours, step.method), *args, **kwargs)
    assert mine == theirs, step
    for look in ("__repr__", "_is_owned", "_recursion_count", "locked"):
        if hasattr(stock, look):
            assert outcome(getattr(ours, look)) == outcome(getattr(stock, look)), (step, look)


@given(sequence=st.lists(st.one_of(steps, restores), max_size=30))
def test_calls_on_an_rlock_come_to_the_same(callers: list[Runner], sequence: list[Step]) -> None:
    stock, ours = STOCK.RLock(), OURS.RLock()
    for step in sequence:
        callers[step.thread](take, step, stock, ours)


@given(sequence=st.lists(st.one_of(steps, restores), max_size=15))
def test_calls_on_a_derived_rlock_come_to_the_same(
    callers: list[Runner], sequence: list[Step]
) -> None:
    def make(module: Any) -> Any:
        return type("Sub", (module.RLock,), {"__module__": "here", "extra": 1})()

    stock, ours = make(STOCK), make(OURS)
    for step in sequence:
        callers[step.thread](take, step, stock, ours)


@given(call=arguments("blocking", "timeout"))
def test_acquire_of_a_free_rlock(call: tuple[Any, Any]) -> None:
    args, kwargs = call
    for method in ACQUIRES:
        stock, ours = STOCK.RLock(), OURS.RLock()
        assert outcome(getattr(ours, method), *args, **kwargs) == outcome(
            getattr(stock, method), *args, **kwargs
        )
        assert outcome(repr, ours) == outcome(repr, stock)


@given(call=arguments("spam"))
def test_making_an_rlock_comes_to_the_same(call: tuple[Any, Any]) -> None:
    args, kwargs = call
    assert outcome(OURS.RLock, *args, **kwargs) == outcome(STOCK.RLock, *args, **kwargs)


@given(state=saved_states)
def test_restore_of_a_free_rlock(state: Any) -> None:
    stock, ours = STOCK.RLock(), OURS.RLock()
    (state,) = with_own_ident((state,))
    assert outcome(ours._acquire_restore, state) == outcome(stock._acquire_restore, state)
    assert outcome(repr, ours) == outcome(repr, stock)


@given(depth=st.integers(1, 50))
def test_saved_state_goes_from_one_module_to_the_other(depth: int) -> None:
    """The state is a plain (count, owner): what one saves the other restores."""
    stock, ours = STOCK.RLock(), OURS.RLock()
    for _ in range(depth):
        stock.acquire()
        ours.acquire()
    from_stock, from_ours = stock._release_save(), ours._release_save()
    assert from_ours == from_stock == (depth, STOCK.get_ident())
    ours._acquire_restore(from_stock)
    for _ in range(depth):
        ours.release()
    assert outcome(ours.release).type_name == "RuntimeError"
