"""Thread handles: joining, by many, with time-outs, of oneself, and after a failed start."""

from __future__ import annotations

import functools
import gc
import sys
import threading
import time
import weakref
from collections.abc import Callable
from typing import Any

import pytest

from support import (
    HANG,
    check_snippet,
    collect_until,
    stock,
    wait_until,
    wait_until_gone,
    workers,
)

pytestmark = pytest.mark.skipif(
    not hasattr(stock(), "_ThreadHandle"), reason="_thread._ThreadHandle is new in 3.13"
)


class Running:
    """A joinable thread that runs until it is told to end."""

    def __init__(self, api: Any, daemon: bool = True) -> None:
        self._gate = threading.Event()
        self._entered = threading.Event()
        self.native_id = 0
        self.handle = api.start_joinable_thread(self._run, daemon=daemon)
        assert self._entered.wait(HANG)

    def _run(self) -> None:
        self.native_id = stock().get_native_id()
        self._entered.set()
        assert self._gate.wait(HANG)

    def end(self) -> None:
        self._gate.set()


@pytest.fixture(params=[True, False], ids=["daemon", "not daemon"])
def running(api: Any, request: pytest.FixtureRequest) -> Any:
    thread = Running(api, request.param)
    yield thread
    thread.end()


def test_join_waits_for_the_end(api: Any, running: Running) -> None:
    with workers(api, 1) as [joiner]:
        pending = joiner.block(running.handle.join)
        assert not pending.is_done()
        assert not running.handle.is_done()
        running.end()
        assert pending.result() is None
    assert running.handle.is_done()
    assert running.handle.join() is None


def test_ident_is_the_threads(api: Any) -> None:
    idents: list[int] = []
    handle = api.start_joinable_thread(lambda: idents.append(api.get_ident()))
    handle.join()
    assert idents == [handle.ident]
    assert f"ident={handle.ident}" in repr(handle)


def test_is_done_by_itself(running: Running) -> None:
    """Without a join."""
    running.end()
    wait_until(running.handle.is_done)
    running.handle.join()


def test_nothing_is_left_when_join_returns(api: Any) -> None:
    """The thread's values are dropped and their finalizers have run."""
    dropped: list[int] = []

    class Value:
        def __del__(self) -> None:
            dropped.append(api.get_ident())

    def keep_new(local: Any) -> None:
        local.value = Value()

    for _ in range(20):
        handle = api.start_joinable_thread(functools.partial(keep_new, api._local()))
        ident = handle.ident
        handle.join()
        assert dropped.pop() == ident
        assert ident not in sys._current_frames()


@pytest.mark.parametrize("count", [2, 8])
def test_many_join_one(api: Any, running: Running, count: int) -> None:
    with workers(api, count) as crew:
        pendings = [joiner.block(running.handle.join) for joiner in crew]
        running.end()
        assert [pending.result() for pending in pendings] == [None] * count


def test_many_join_with_and_without_time_outs(api: Any, running: Running) -> None:
    """Those that give up leave the others waiting."""
    with workers(api, 4) as crew:
        timeouts: list[tuple[float, ...]] = [(), (0.01,), (HANG,), (0.02,)]
        pendings = [
            joiner.submit(running.handle.join, *timeout)
            for joiner, timeout in zip(crew, timeouts, strict=True)
        ]
        assert pendings[1].result() is None
        assert pendings[3].result() is None
        assert not running.handle.is_done()
        assert not pendings[0].is_done()
        running.end()
        for pending in (pendings[0], pendings[2]):
            assert pending.result() is None


@pytest.mark.parametrize("timeout", [0, 0.0, 0.001, 0.05])
def test_join_gives_up_not_before_its_time(running: Running, timeout: float) -> None:
    start = time.monotonic()
    assert running.handle.join(timeout) is None
    assert time.monotonic() - start >= timeout
    assert not running.handle.is_done()


@pytest.mark.parametrize("timeout", [None, -1, -0.5, "largest"])
def test_join_without_end(api: Any, running: Running, timeout: Any) -> None:
    """A negative time-out is none, and so is the largest there is."""
    with workers(api, 1) as [joiner]:
        seconds = api.TIMEOUT_MAX if timeout == "largest" else timeout
        pending = joiner.block(running.handle.join, seconds)
        assert not pending.is_done()
        running.end()
        assert pending.result() is None
    assert running.handle.is_done()


def test_join_of_oneself(api: Any) -> None:
    caught: list[str] = []

    def run() -> None:
        ready.wait(HANG)
        for timeout in ((), (0,), (1,)):
            try:
                handle.join(*timeout)
            except RuntimeError as error:
                caught.append(str(error))

    ready = threading.Event()
    handle = api.start_joinable_thread(run)
    ready.set()
    handle.join()
    assert caught == ["Cannot join current thread"] * 3


def test_threads_join_each_other_in_a_chain(api: Any) -> None:
    handles: list[Any] = []
    order: list[int] = []
    gate = threading.Event()

    def run(number: int) -> None:
        assert gate.wait(HANG)
        if number:
            handles[number - 1].join()
        order.append(number)

    for number in range(10):
        handles.append(api.start_joinable_thread(lambda number=number: run(number)))
    gate.set()
    handles[-1].join()
    assert order == list(range(10))


def test_finalizer_at_the_end_may_join_its_own_thread(api: Any) -> None:
    """It runs in the ending thread: an error, not a wait for ever."""
    caught: list[str] = []

    class Value:
        def __del__(self) -> None:
            try:
                handle.join()
            except RuntimeError as error:
                caught.append(str(error))

    local, ready = api._local(), threading.Event()

    def run() -> None:
        assert ready.wait(HANG)
        local.value = Value()

    handle = api.start_joinable_thread(run)
    ready.set()
    handle.join()
    assert caught == ["Cannot join current thread"]


def test_handle_made_before_the_start(api: Any) -> None:
    handle = api._ThreadHandle()
    assert handle.ident == 0
    with pytest.raises(RuntimeError, match="thread not started"):
        handle.join()
    assert api.start_joinable_thread(lambda: None, handle=handle) is handle
    handle.join()
    assert handle.ident != 0
    with pytest.raises(RuntimeError, match="thread already started"):
        api.start_joinable_thread(lambda: None, handle=handle)


def test_handle_cannot_be_started_twice_at_once(api: Any) -> None:
    """Of many threads that try, one succeeds."""
    for _ in range(20):
        handle = api._ThreadHandle()
        ran: list[int] = []

        def start(handle: Any = handle, ran: list[int] = ran) -> bool:
            try:
                api.start_joinable_thread(lambda: ran.append(1), handle=handle)
            except RuntimeError:
                return False
            return True

        with workers(api, 4) as crew:
            outcomes = [pending.result() for pending in [worker.submit(start) for worker in crew]]
        handle.join()
        assert sorted(outcomes) == [False, False, False, True]
        assert ran == [1]


def test_failed_start_is_done(api: Any) -> None:
    handle = api._ThreadHandle()
    api.stack_size(2**50)
    try:
        with pytest.raises(RuntimeError, match="can't start new thread"):
            api.start_joinable_thread(lambda: None, handle=handle)
    finally:
        api.stack_size(0)
    assert handle.is_done()
    handle.join()
    handle.join(0)


def test_set_done_wakes_joiners(api: Any) -> None:
    """What the interpreter does to the main thread's handle before it waits for the others."""
    handle = api._make_thread_handle(api.get_ident())
    with workers(api, 2) as crew:
        pendings = [joiner.block(handle.join) for joiner in crew]
        assert not handle.is_done()
        handle._set_done()
        assert [pending.result() for pending in pendings] == [None, None]
    assert handle.is_done()
    handle.join()


def test_dropped_handle_lets_its_thread_run(api: Any) -> None:
    for daemon in (True, False):
        thread = Running(api, daemon)
        ident = thread.handle.ident
        reference = weakref.ref(thread)
        del thread.handle
        gc.collect()
        thread.end()
        wait_until_gone(ident, thread.native_id)
        del thread
        collect_until(lambda: reference() is None)  # noqa: B023


def test_dropped_unstarted_handles(api: Any) -> None:
    for _ in range(100):
        api._ThreadHandle()
    gc.collect()


def test_handle_kept_by_its_own_thread(api: Any) -> None:
    """Its last reference dies in the thread that it is of."""
    done = threading.Event()

    def start() -> None:
        def run() -> None:
            with gate:
                box.clear()
            done.set()

        box: list[Any] = []
        gate = stock().allocate_lock()
        with gate:
            box.append(api.start_joinable_thread(run))

    for _ in range(20):
        done.clear()
        start()
        assert done.wait(HANG)


def test_function_is_dropped(api: Any) -> None:
    class Function:
        def __call__(self) -> None:
            pass

    function: Callable[[], None] = Function()
    reference = weakref.ref(function)
    handle = api.start_joinable_thread(function)
    handle.join()
    del function
    assert reference() is None


def test_many_starts_and_joins(api: Any) -> None:
    ran: list[int] = []
    for number in range(300):
        api.start_joinable_thread(lambda number=number: ran.append(number)).join()
    assert ran == list(range(300))


SHUTDOWN = """
import os, {module} as api
def run(name):
    gate.acquire()
    gate.release()
    os.write(1, f"{{name}}\\n".encode())
gate = api.allocate_lock()
gate.acquire()
handles = [api.start_joinable_thread(lambda n=n: run(n), daemon=False) for n in range(3)]
api.start_joinable_thread(lambda: api.allocate_lock().acquire() or run("never"), daemon=True)
api.start_new_thread(gate.release, ())
api._shutdown()
print([handle.is_done() for handle in handles])
"""


@pytest.mark.parametrize("module", ["_thread", "rthread"])
def test_shutdown_waits_for_threads_that_are_not_daemons(module: str) -> None:
    """And for no others; those that are waited for may start more."""
    lines = check_snippet(SHUTDOWN.format(module=module)).splitlines()
    assert lines[-1] == "[True, True, True]"
    assert sorted(lines[:-1]) == ["0", "1", "2"]


@pytest.mark.parametrize("module", ["_thread", "rthread"])
def test_shutdown_waits_for_threads_started_while_it_waits(module: str) -> None:
    output = check_snippet(f"""
        import {module} as api

        def run(depth):
            if depth:
                api.start_joinable_thread(lambda: run(depth - 1), daemon=False)
            else:
                print("last", flush=True)

        api.start_joinable_thread(lambda: run(20), daemon=False)
        api._shutdown()
        print("end")
    """)
    assert output == "last\nend\n"


def test_handles_that_come_and_go_during_a_shutdown() -> None:
    """``_shutdown`` looks at every handle, and must not be the one that ends a handle's life."""
    output = check_snippet("""
import rthread

stop, ended = [], []

def come_and_go():
    while not stop:
        rthread._ThreadHandle()
    ended.append(1)

for _ in range(3):
    rthread.start_new_thread(come_and_go, ())
for _ in range(3000):
    rthread._shutdown()
stop.append(1)
while len(ended) < 3:
    pass
print("fine")
""")
    assert output == "fine\n"
