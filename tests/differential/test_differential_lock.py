"""Random calls on a stock lock and on ours, by three threads, come to the same."""

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
    arguments,
    outcome,
    waits_long,
)

ACQUIRES = ("acquire", "acquire_lock", "__enter__")
METHODS = [
    name
    for name, member in vars(STOCK.LockType).items()
    if callable(member) and name not in ("__new__", "__init__")
]

plausible = st.sampled_from(
    [
        *(((False,), {}), ((0,), {}), ((1, SHORT), {}), ((), {"timeout": SHORT})),
        *(((), {"blocking": False}), ((True, -1), {}), ((None, None, None), {})),
        *(((False, -1), {}), ((False, 1), {}), ((True, 0), {}), ((), {"timeout": -1.0})),
    ]
)
steps = st.builds(
    Step,
    thread=st.integers(0, 2),
    method=st.sampled_from([*METHODS, *ACQUIRES[:1], "release"]),
    args=st.one_of(st.just(NO_ARGUMENTS), plausible, arguments("blocking", "timeout")),
    kwargs=st.none(),
)


def take(step: Step, stock: Any, ours: Any) -> None:
    """Call both; a thread of the callers runs this."""
    args, kwargs = step.args
    held = stock.locked()
    if (
        held
        and step.method in ACQUIRES
        and waits_long(step.method, STOCK.allocate_lock(), args, kwargs)
    ):
        return
    theirs = outcome(getattr(stock, step.method), *args, **kwargs)
    mine = outcome(getattr(ours, step.method), *args, **kwargs)
    assert mine == theirs, step
    assert ours.locked() == stock.locked(), step
    assert outcome(repr, ours) == outcome(repr, stock), step


@given(sequence=st.lists(steps, max_size=30))
def test_calls_on_a_lock_come_to_the_same(callers: list[Runner], sequence: list[Step]) -> None:
    stock, ours = STOCK.allocate_lock(), OURS.allocate_lock()
    for step in sequence:
        callers[step.thread](take, step, stock, ours)


@given(call=arguments("blocking", "timeout"))
def test_acquire_of_a_free_lock(call: tuple[Any, Any]) -> None:
    """Whatever the arguments, a free lock is never waited for."""
    args, kwargs = call
    for method in ACQUIRES:
        stock, ours = STOCK.allocate_lock(), OURS.allocate_lock()
        assert outcome(getattr(ours, method), *args, **kwargs) == outcome(
            getattr(stock, method), *args, **kwargs
        )
        assert ours.locked() == stock.locked()


@given(timeout=st.one_of(st.integers(), st.floats(), st.integers(-(2**64), 2**64)))
def test_timeout_of_a_free_lock(timeout: float) -> None:
    stock, ours = STOCK.allocate_lock(), OURS.allocate_lock()
    assert outcome(ours.acquire, True, timeout) == outcome(stock.acquire, True, timeout)
    assert outcome(ours.acquire, False, timeout) == outcome(stock.acquire, False, timeout)
