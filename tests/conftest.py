"""The watchdog over every test, and what tests of several folders are handed.

A test of locks that fails tends to hang. Each test therefore runs under a watchdog that writes
the stacks of all threads to the real standard error and ends the run.
"""

from __future__ import annotations

import faulthandler
import gc
import inspect
import os
import sys
from collections.abc import Callable, Generator, Iterator
from types import CodeType
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import support

# Far above what the slowest test takes: only a hang meets it.
WATCHDOG_SECONDS = 600.0

# The mark by which pytest-run-parallel knows what it must not run in several threads at a time.
ALONE = "thread_unsafe"

# Fixtures that give all threads one object, which the test changes: it is about the first thread
# then.
_SHARED = frozenset({"running", "reports", "key", "condition", "event", "q"})

# What a test asks or changes of the whole process, or does in another one: more threads at it would
# try nothing more of ours.
_PROCESS_WIDE = frozenset(
    {
        "_count",
        "_current_frames",
        "check_snippet",
        "fork",
        "interrupt_main",
        "pthread_kill",
        "raise_signal",
        "run_python",
        "run_snippet",
        "set_nomemory",
        "setitimer",
        "stack_size",
    }
)

_real_stderr = pytest.StashKey[int]()

# A run repeats itself unless asked to look further: what fails in CI then fails at a desk.
settings.register_profile(
    "rthread",
    max_examples=int(os.environ.get("RTHREAD_EXAMPLES", "200")),
    derandomize="RTHREAD_EXAMPLES" not in os.environ,
    database=None,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
settings.load_profile("rthread")


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line(
        "markers", "watchdog(seconds): how long this test may take before it counts as hung"
    )
    config.addinivalue_line("markers", f"{ALONE}(reason): not in several threads at a time")
    # With this in the environment all tests are run by threads that are reused.
    number = os.environ.get("RTHREAD_REUSE_THREADS")
    if number:
        vars(support.load_ours())["__keep_threads__"](int(number))
    # Now, while pytest does not capture: the dump has to reach the terminal.
    config.stash[_real_stderr] = os.dup(sys.__stderr__.fileno() if sys.__stderr__ else 2)


@given(st.none())
def _use_hypothesis(_: None) -> None:
    pass


def pytest_collection_finish(session: pytest.Session) -> None:
    # Tests collect garbage some thousand times: they need not look through all of pytest for it.
    # Hypothesis once looks for what refers to its random numbers, and would not find it then.
    _use_hypothesis()
    gc.collect()
    gc.freeze()


def pytest_unconfigure(config: pytest.Config) -> None:
    faulthandler.cancel_dump_traceback_later()
    os.close(config.stash[_real_stderr])


# Before the plugin looks for marks.
@pytest.hookimpl(tryfirst=True)
def pytest_itemcollected(item: pytest.Item) -> None:
    """Mark what `make test-parallel` runs in one thread."""
    if not isinstance(item, pytest.Function):
        return
    code = getattr(inspect.unwrap(item.function), "__code__", None)
    names = _names(code) if code else frozenset()
    for reason in (*(_SHARED & {*item.fixturenames}), *(_PROCESS_WIDE & names)):
        item.add_marker(pytest.mark.thread_unsafe(reason=reason))


def _names(code: CodeType) -> frozenset[str]:
    """All that a function refers to by name, in the functions inside of it as well."""
    inner = (_names(constant) for constant in code.co_consts if isinstance(constant, CodeType))
    return frozenset(code.co_names).union(*inner)


# Last, so inside pytest's own wrapper: its timer, where one is configured, does not end a hung run,
# and there can be only one.
@pytest.hookimpl(wrapper=True, trylast=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """Watch the whole of a test, its fixtures included."""
    marker = item.get_closest_marker("watchdog")
    seconds = float(marker.args[0]) if marker else WATCHDOG_SECONDS
    stderr = item.config.stash[_real_stderr]
    faulthandler.dump_traceback_later(seconds, exit=True, file=stderr)
    try:
        return (yield)
    finally:
        faulthandler.cancel_dump_traceback_later()


@pytest.fixture(params=["stock", "rthread"])
def api(request: pytest.FixtureRequest) -> Any:
    """Each module in turn: a test of behaviour that the stock module fails is a wrong test."""
    return support.stock() if request.param == "stock" else support.load_ours()


@pytest.fixture
def ours() -> Any:
    """The extension module, for what only it has or promises."""
    return support.load_ours()


@pytest.fixture
def run_snippet() -> Callable[..., Any]:
    """Runs source text in a fresh process under a watchdog: see `support.run_snippet`."""
    return support.run_snippet


@pytest.fixture(scope="session")
def callers() -> Iterator[list[Callable[..., Any]]]:
    """Ways to make a call: in this thread, and in two others, started once for thousands."""

    def here(function: Callable[..., Any], *args: Any) -> Any:
        return function(*args)

    with support.workers(support.stock(), 2) as others:
        yield [here, *(worker.do for worker in others)]
