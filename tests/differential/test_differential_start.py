"""Random arguments to the ways to start a thread: both modules refuse and accept the same."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sidebyside import OURS, STOCK, DictChild, Outcome, TupleChild, bad_things, numbers, outcome

import support

joinable = pytest.mark.skipif(
    not hasattr(STOCK, "start_joinable_thread"), reason="start_joinable_thread is new in 3.13"
)
STARTERS = ["start_new_thread", "start_new"]

misfits = st.one_of(bad_things, numbers, st.none())


class Recorder:
    """Something to run in a thread: what it was called with, once it was."""

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.called = support.stock().allocate_lock()
        self.called.acquire()

    def __call__(self, *args: Any, **kwargs: Any) -> None:
        self.calls.append(repr((args, kwargs)))
        self.called.release()

    def wait(self) -> list[str]:
        assert self.called.acquire(True, support.HANG)
        return self.calls


functions = st.one_of(st.just("recorder"), misfits.filter(lambda thing: not callable(thing)))
good_tuples = st.one_of(st.lists(misfits, max_size=3).map(tuple), st.just(TupleChild((1,))))
good_dicts = st.one_of(
    st.dictionaries(st.text(max_size=3), misfits, max_size=3), st.just(DictChild(a=1))
)
argument_lists = st.one_of(
    st.tuples(functions, good_tuples),
    st.tuples(functions, good_tuples, good_dicts),
    st.tuples(functions, st.one_of(good_tuples, misfits), st.one_of(good_dicts, misfits)),
    st.lists(misfits, max_size=1).map(tuple),
    st.lists(misfits, min_size=4, max_size=5).map(tuple),
)


def has_only_string_keys(args: tuple[Any, ...]) -> bool:
    """Other keys fail in the thread: that is for the tests of what a thread's exception does."""
    return not any(
        isinstance(arg, dict) and any(type(key) is not str for key in arg) for arg in args
    )


def started(start: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """What the start comes to, and what the thread got, if one was started."""
    recorder = Recorder()
    given = [recorder if type(arg) is str and arg == "recorder" else arg for arg in args]
    result = outcome(start, *given, **kwargs)
    if result.kind == "raises":
        assert not recorder.calls
        return result
    # An ident or a handle: no two are the same.
    return result.type_name, recorder.wait()


@pytest.mark.parametrize("starter", STARTERS)
@given(args=argument_lists.filter(has_only_string_keys))
def test_start_new_thread(starter: str, args: tuple[Any, ...]) -> None:
    ours = started(getattr(OURS, starter), args, {})
    assert ours == started(getattr(STOCK, starter), args, {})


@pytest.mark.parametrize("starter", STARTERS)
@given(keyword=st.sampled_from(["function", "args", "kwargs", "spam"]), value=misfits)
def test_start_new_thread_takes_no_keywords(starter: str, keyword: str, value: Any) -> None:
    spellings: list[tuple[Any, ...]] = [(), ("recorder", ()), ("recorder", (), {})]
    for args in spellings:
        ours = started(getattr(OURS, starter), args, {keyword: value})
        assert ours == started(getattr(STOCK, starter), args, {keyword: value})
        assert isinstance(ours, Outcome)


# start_joinable_thread: what a handle has to be, by a word for each kind.


def make_handle(module: Any, kind: Any) -> Any:
    """The thing to hand over as the handle."""
    other = STOCK if module is OURS else OURS
    match kind:
        case "fresh":
            return module._ThreadHandle()
        case "of the other module":
            return other._ThreadHandle()
        case "of this thread":
            return module._make_thread_handle(module.get_ident())
        case "finished":
            handle = module.start_joinable_thread(lambda: None)
            handle.join()
            return handle
        case "made done":
            handle = module._make_thread_handle(module.get_ident())
            handle._set_done()
            return handle
    return kind


# A string would be taken for one of those words.
no_words = misfits.filter(lambda thing: type(thing) is not str)
HANDLES = ["fresh", "of the other module", "of this thread", "finished", "made done", None]


@joinable
@given(
    function=functions,
    handle=st.one_of(
        st.sampled_from(HANDLES), misfits.filter(lambda thing: type(thing) is not str)
    ),
    daemon=st.one_of(st.booleans(), misfits),
    spelling=st.sampled_from(["keywords", "mixed", "positions", "no handle", "extra", "unknown"]),
)
def test_start_joinable_thread(function: Any, handle: Any, daemon: Any, spelling: str) -> None:
    def attempt(module: Any) -> Any:
        thing = make_handle(module, handle)
        args, kwargs = spelled(spelling, function, thing, daemon)
        return started(module.start_joinable_thread, args, kwargs)

    assert attempt(OURS) == attempt(STOCK)


def spelled(spelling: str, function: Any, handle: Any, daemon: Any) -> Any:
    """One set of arguments in different spellings, right and wrong."""
    match spelling:
        case "keywords":
            return (function,), {"handle": handle, "daemon": daemon}
        case "mixed":
            return (function, handle), {"daemon": daemon}
        case "positions":
            return (function, handle, daemon), {}
        case "no handle":
            return (function,), {"daemon": daemon}
        case "extra":
            return (function, handle, daemon, 1), {}
    return (function,), {"handle": handle, "spam": daemon}


@joinable
def test_a_function_may_be_named() -> None:
    """By keyword: which `started` does not replace."""
    for module in (STOCK, OURS):
        recorder = Recorder()
        handle = module.start_joinable_thread(function=recorder, daemon=False)
        handle.join()
        assert recorder.wait() == ["((), {})"]
    assert outcome(OURS.start_joinable_thread) == outcome(STOCK.start_joinable_thread)


@joinable
@pytest.mark.parametrize("kind", HANDLES[1:-1])
def test_a_refused_handle_stays_what_it_was(kind: str) -> None:
    def left(module: Any) -> tuple[Outcome, Outcome, bool]:
        handle = make_handle(module, kind)
        result = outcome(module.start_joinable_thread, lambda: None, handle)
        assert result.kind == "raises"
        return result, outcome(lambda: handle.ident != 0), handle.is_done()

    assert left(OURS) == left(STOCK)
