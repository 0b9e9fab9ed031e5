"""Random calls on a stock `_ThreadHandle` and on ours, in each of its states, come to the same."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sidebyside import OURS, SHORT, STOCK, Outcome, anything, arguments, outcome

import support

pytestmark = pytest.mark.skipif(
    not hasattr(STOCK, "_ThreadHandle"), reason="_thread._ThreadHandle is new in 3.13"
)

KINDS = ["fresh", "of this thread", "of no thread", "running", "finished", "failed"]
NO_ARGUMENTS: Any = ((), {})

short_joins: st.SearchStrategy[Any] = st.sampled_from(
    [((0,), {}), ((SHORT,), {}), ((0.0,), {}), ((1e-9,), {})]
)
calls = st.one_of(
    st.tuples(st.just("join"), st.one_of(st.just(NO_ARGUMENTS), short_joins)),
    st.tuples(st.just("join"), st.tuples(st.tuples(anything), st.just({}))),
    st.tuples(st.just("join"), arguments("timeout")),
    st.tuples(st.just("is_done"), st.one_of(st.just(NO_ARGUMENTS), arguments("spam"))),
    st.tuples(st.just("_set_done"), st.one_of(st.just(NO_ARGUMENTS), arguments("spam"))),
    st.tuples(st.sampled_from(["__repr__", "__hash__"]), st.just(NO_ARGUMENTS)),
)


@contextlib.contextmanager
def handle_of(module: Any, kind: str) -> Iterator[Any]:
    """A handle in a state, and its thread let go at the end."""
    if kind == "fresh":
        yield module._ThreadHandle()
    elif kind == "of this thread":
        yield module._make_thread_handle(module.get_ident())
    elif kind == "of no thread":
        yield module._make_thread_handle(12345)
    elif kind == "running":
        gate = STOCK.allocate_lock()
        gate.acquire()
        ended = STOCK.allocate_lock()
        ended.acquire()

        def wait() -> None:
            gate.acquire()
            ended.release()

        handle = module.start_joinable_thread(wait)
        try:
            yield handle
        finally:
            gate.release()
            assert ended.acquire(True, support.HANG)
    elif kind == "finished":
        handle = module.start_joinable_thread(lambda: None)
        handle.join()
        yield handle
    else:
        yield handle_of_a_failed_start(module)


def handle_of_a_failed_start(module: Any) -> Any:
    handle = module._ThreadHandle()
    # More than any address space has.
    module.stack_size(2**50)
    try:
        with pytest.raises(RuntimeError, match="can't start new thread"):
            module.start_joinable_thread(lambda: None, handle)
    finally:
        module.stack_size(0)
    return handle


def joins_long(handle: Any, args: Any, kwargs: Any) -> bool:
    """Would this join wait for longer than a moment, if the thread is still there?"""
    trial = STOCK._make_thread_handle(12345)
    trial._set_done()
    if handle.is_done() or outcome(trial.join, *args, **kwargs).kind == "raises":
        return False
    timeout = args[0] if args else kwargs.get("timeout")
    return not (isinstance(timeout, (int, float)) and 0 <= timeout <= 10 * SHORT)


def without_ident(found: Outcome) -> Outcome:
    """Two threads that run at once have two idents."""
    return found._replace(words=re.sub(r"ident=\d+", "ident=…", found.words))


def take(handle: Any, method: str, call: Any) -> list[Outcome]:
    args, kwargs = call
    if method == "join" and joins_long(handle, args, kwargs):
        return []
    result = outcome(getattr(handle, method), *args, **kwargs)
    if method == "__hash__":
        result = result._replace(words="…")
    return [
        without_ident(found) for found in (result, outcome(handle.is_done), outcome(repr, handle))
    ]


@pytest.mark.parametrize("kind", KINDS)
@given(sequence=st.lists(calls, max_size=10))
def test_calls_on_a_handle_come_to_the_same(kind: str, sequence: list[tuple[str, Any]]) -> None:
    with handle_of(STOCK, kind) as stock, handle_of(OURS, kind) as ours:
        assert (ours.ident == 0) == (stock.ident == 0)
        for method, call in sequence:
            assert take(ours, method, call) == take(stock, method, call), (method, call)


@given(ident=st.one_of(st.integers(0, 2**64), anything))
def test_make_thread_handle(ident: Any) -> None:
    def made(module: Any) -> list[Outcome]:
        handle: list[Any] = []
        first = outcome(lambda: handle.append(module._make_thread_handle(ident)))
        return [first, *(outcome(lambda one=one: one.ident) for one in handle)]

    assert made(OURS) == made(STOCK)


@pytest.mark.parametrize("value", [1, None, "x"])
def test_ident_is_read_only(value: object) -> None:
    stock, ours = STOCK._ThreadHandle(), OURS._ThreadHandle()
    assert outcome(setattr, ours, "ident", value) == outcome(setattr, stock, "ident", value)
    assert outcome(delattr, ours, "ident") == outcome(delattr, stock, "ident")
