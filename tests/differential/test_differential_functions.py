"""Random calls of the functions of `_thread`, good and bad, come to the same in both modules."""

from __future__ import annotations

import builtins
import contextlib
import io
import signal
import sys
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sidebyside import OURS, STOCK, Outcome, anything, arguments, bad_things, outcome

import support
from rthread import TSS

# What a call of these does can be told from what it returns or raises, whatever the arguments.
HARMLESS = [
    name
    for name in (
        *("allocate_lock", "allocate", "exit", "exit_thread", "get_ident", "get_native_id"),
        *("_count", "_is_main_interpreter", "daemon_threads_allowed", "_get_main_thread_ident"),
        *("_get_name", "_make_thread_handle", "_ThreadHandle", "lock", "LockType"),
    )
    if hasattr(STOCK, name)
]


some_arguments = arguments("spam").filter(lambda call: call != ((), {}))


@pytest.mark.parametrize("name", HARMLESS)
@given(call=some_arguments)
def test_calls_of_functions_come_to_the_same(name: str, call: tuple[Any, dict[str, Any]]) -> None:
    args, kwargs = call
    theirs = outcome(getattr(STOCK, name), *args, **kwargs)
    assert outcome(getattr(OURS, name), *args, **kwargs) == theirs


@pytest.mark.parametrize("name", HARMLESS)
def test_call_without_arguments(name: str) -> None:
    theirs, mine = outcome(getattr(STOCK, name)), outcome(getattr(OURS, name))
    if name == "_count":
        # Each module counts the threads that it started itself.
        assert mine[:2] == theirs[:2] == ("gives", "int")
    else:
        assert mine == theirs


@pytest.mark.skipif(not hasattr(STOCK, "_shutdown"), reason="_thread._shutdown is new in 3.13")
@given(call=some_arguments)
def test_shutdown_takes_no_arguments(call: tuple[Any, dict[str, Any]]) -> None:
    args, kwargs = call
    theirs = outcome(STOCK._shutdown, *args, **kwargs)
    assert theirs.kind == "raises"
    assert outcome(OURS._shutdown, *args, **kwargs) == theirs


@pytest.mark.skipif(hasattr(STOCK, "start_joinable_thread"), reason="_set_sentinel is not stock's")
@given(call=some_arguments)
def test_set_sentinel_takes_no_arguments(call: tuple[Any, dict[str, Any]]) -> None:
    args, kwargs = call
    assert outcome(OURS._set_sentinel, *args, **kwargs) == outcome(
        STOCK._set_sentinel, *args, **kwargs
    )


@given(call=some_arguments)
def test_tss_is_made_without_arguments(call: tuple[Any, dict[str, Any]]) -> None:
    args, kwargs = call
    assert outcome(TSS, *args, **kwargs).type_name == "TypeError"


# stack_size: whole sequences, one module after the other, since the two may share the setting.

sizes = st.one_of(
    st.sampled_from([0, 1, 4095, 16383, 16384, 32768, 65536, 2**20, 2**20 + 1, 2**30, 2**62]),
    st.sampled_from([-1, -(2**31), 2**31, 2**63 - 1, 2**63, -(2**63), -(2**63) - 1, 2**64]),
    st.integers(0, 2**22),
    anything,
)


def stack_sizes(module: Any, calls: list[tuple[Any, ...]]) -> list[Outcome]:
    module.stack_size(0)
    try:
        return [outcome(module.stack_size, *args) for args in calls]
    finally:
        module.stack_size(0)


@given(calls=st.lists(st.lists(sizes, max_size=2).map(tuple), max_size=8))
def test_stack_size(calls: list[tuple[Any, ...]]) -> None:
    assert stack_sizes(OURS, calls) == stack_sizes(STOCK, calls)


@given(call=arguments("size"))
def test_stack_size_with_keywords(call: tuple[Any, dict[str, Any]]) -> None:
    args, kwargs = call
    if kwargs:
        assert outcome(OURS.stack_size, *args, **kwargs) == outcome(
            STOCK.stack_size, *args, **kwargs
        )


# interrupt_main

CAUGHT = [signal.SIGINT, signal.SIGUSR1, signal.SIGUSR2]


@contextlib.contextmanager
def handlers() -> Iterator[list[int]]:
    """Handlers of our own for some signals; what they are called with."""
    called: list[int] = []

    def handle(number: int, frame: FrameType | None) -> None:
        called.append(number)

    before = {number: signal.signal(number, handle) for number in CAUGHT}
    try:
        yield called
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def interrupted(module: Any, args: Any, kwargs: Any) -> tuple[Outcome, list[int], list[str]]:
    """What it comes to, the handlers that ran, and what was reported as unraisable.

    Signals that the C library keeps for itself have no handler, and are reported.
    """
    reports: list[str] = []
    with handlers() as called, pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "unraisablehook", lambda report: reports.append(repr(report.exc_value)))
        result = outcome(module.interrupt_main, *args, **kwargs)
        # Handlers run at the next check: calling Python code makes one.
        outcome(lambda: None)
        return result, list(called), reports


signal_numbers = st.one_of(
    st.sampled_from([*CAUGHT, signal.SIGTERM, signal.SIGHUP, signal.SIGKILL, signal.NSIG]),
    st.integers(-1, 70),
    anything,
)


@given(args=st.lists(signal_numbers, max_size=2).map(tuple))
def test_interrupt_main(args: tuple[Any, ...]) -> None:
    assert interrupted(OURS, args, {}) == interrupted(STOCK, args, {})


@given(call=arguments("signum"))
def test_interrupt_main_with_keywords(call: tuple[Any, dict[str, Any]]) -> None:
    args, kwargs = call
    assert interrupted(OURS, args, kwargs) == interrupted(STOCK, args, kwargs)


@pytest.mark.parametrize("number", CAUGHT)
def test_interrupt_main_runs_the_handler(number: signal.Signals) -> None:
    assert interrupted(OURS, (number,), {}) == (
        Outcome("gives", "NoneType", "None"),
        [number],
        [],
    )


# Thread names


@pytest.mark.skipif(not hasattr(STOCK, "set_name"), reason="_thread.set_name is new in 3.14")
@given(
    call=st.one_of(
        arguments("name"),
        st.text(max_size=40).map(lambda name: ((name,), {})),
        st.text("aé漢🐍", min_size=10, max_size=20).map(lambda name: ((name,), {})),
    )
)
def test_set_name(callers: list[Callable[..., Any]], call: tuple[Any, dict[str, Any]]) -> None:
    """In a worker: the main thread's name is the process's."""
    args, kwargs = call

    def named(module: Any) -> list[Outcome]:
        STOCK.set_name("before")
        setting = outcome(module.set_name, *args, **kwargs)
        return [setting, outcome(STOCK._get_name), outcome(OURS._get_name)]

    assert callers[1](named, OURS) == callers[1](named, STOCK)


# _excepthook


class BrokenStream:
    """A standard error that cannot be written to."""

    def write(self, text: str) -> int:
        raise OSError("broken")

    def flush(self) -> None:
        raise OSError("broken")


def reported(module: Any, args: Any, kwargs: Any) -> tuple[Outcome, str]:
    """What `_excepthook` returns or raises, and what it writes."""
    with contextlib.redirect_stderr(io.StringIO()) as stderr:
        result = outcome(module._excepthook, *args, **kwargs)
    return result, support.without_addresses(stderr.getvalue())


@given(call=arguments("args", "exc_type"))
def test_excepthook_with_anything(call: tuple[Any, dict[str, Any]]) -> None:
    args, kwargs = call
    assert reported(OURS, args, kwargs) == reported(STOCK, args, kwargs)


class Named:
    """Stands for a Thread object, of which the report takes the name."""

    def __init__(self, name: Any) -> None:
        self.name = name


class Nameless:
    """A Thread whose name cannot be had."""

    @property
    def name(self) -> str:
        raise ValueError("no name")


def raised(error: BaseException) -> BaseException:
    try:
        raise error
    except BaseException as caught:
        return caught


ERRORS = [
    *(raised(ValueError("words")), ValueError("never raised"), None),
    *(raised(SystemExit(3)), raised(KeyboardInterrupt())),
]
# Not by its name: it is new in 3.11.
exception_group = getattr(builtins, "ExceptionGroup", None)
if exception_group is not None:
    ERRORS.append(raised(exception_group("many", [OSError()])))

hook_arguments = st.tuples(
    st.sampled_from(ERRORS),
    st.sampled_from([None, Named("worker"), Named(5), Named(None), Nameless(), object(), 1]),
)


@given(what=hook_arguments)
def test_excepthook_prints_the_same(what: tuple[BaseException | None, object]) -> None:
    error, thread = what
    fields = (type(error), error, getattr(error, "__traceback__", None), thread)
    args = (STOCK._ExceptHookArgs(fields),)
    assert reported(OURS, args, {}) == reported(STOCK, args, {})


@given(fields=st.tuples(bad_things, bad_things, bad_things, bad_things))
def test_excepthook_with_bad_fields(fields: tuple[Any, ...]) -> None:
    args = (STOCK._ExceptHookArgs(fields),)
    assert reported(OURS, args, {}) == reported(STOCK, args, {})


@pytest.mark.parametrize("stream", [None, BrokenStream(), 5, "missing"], ids=repr)
@pytest.mark.parametrize("thread", [None, Named("worker")], ids=repr)
def test_excepthook_without_a_good_stderr(
    monkeypatch: pytest.MonkeyPatch, stream: object, thread: Any
) -> None:
    if thread is not None:
        thread._stderr = stream if stream != "missing" else io.StringIO()
    if stream == "missing":
        monkeypatch.delattr(sys, "stderr")
    else:
        monkeypatch.setattr(sys, "stderr", stream)
    error = raised(ValueError("words"))
    args = STOCK._ExceptHookArgs((type(error), error, error.__traceback__, thread))
    theirs = outcome(STOCK._excepthook, args)
    assert outcome(OURS._excepthook, args) == theirs
