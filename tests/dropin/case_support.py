"""For the programs of this folder: how a case is declared, and how it says its outcome.

A case is a function that prints. It runs in a process of its own, on stock and on rthread, and has
to print the same on both. This module is imported by that process: it knows neither pytest nor
rthread, and holds `_thread` as it was at its import, so that cases may replace names elsewhere.
"""

from __future__ import annotations

import _thread
import os
import re
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, overload

# A thread that has not ended by then waits for ever.
FOR_EVER = 10.0
# Kinds of rthread that a case is compared on.
MODES = ("rthread", "queue")
# Lines about a thread: its state, and how often it has given way.
_SCHEDULED = ("State:", "voluntary_ctxt_switches:", "nonvoluntary_ctxt_switches:")

_start, _allocate = _thread.start_new_thread, _thread.allocate_lock
_sleep, _monotonic = time.sleep, time.monotonic


@dataclass(frozen=True)
class Case:
    """A function that prints, and the conditions on its comparison.

    `only` names the one mode it is run in, `since` the first version, `until` the last one, and
    `needs` packages that have to be there. A `plain` case installs rthread itself, by `install()`.
    One with `gil` depends on it: no other thread runs between two calls.
    `expect` is the output wanted of rthread, where stock's depends on luck. Exit status 0 then.
    """

    function: Callable[[], object]
    only: str = ""
    since: tuple[int, int] = (3, 0)
    until: tuple[int, int] = (4, 0)
    needs: tuple[str, ...] = ()
    plain: bool = False
    free_threaded: bool = False
    gil: bool = False
    expect: str | None = None

    @property
    def name(self) -> str:
        return self.function.__name__


# The cases of the module that is being imported, by name.
_CASES: dict[str, dict[str, Case]] = {}


@overload
def case(function: Callable[[], object], /) -> Callable[[], object]: ...
@overload
def case(**conditions: Any) -> Callable[[Callable[[], object]], Callable[[], object]]: ...
def case(function: Callable[[], object] | None = None, /, **conditions: Any) -> Any:
    """Declare a case: `@case`, or `@case(only="queue")`."""
    if function is None:
        return lambda function: _declare(Case(function, **conditions))
    return _declare(Case(function))


def _declare(declared: Case) -> Callable[[], object]:
    file = declared.function.__code__.co_filename
    _CASES.setdefault(file, {})[declared.name] = declared
    return declared.function


def cases(file: str) -> dict[str, Case]:
    """The cases that an imported file has declared."""
    return _CASES.get(file, {})


def install() -> None:
    """In a plain case: put rthread in place, or on stock do nothing."""
    mode = os.environ["CASE"]
    if mode != "stock":
        import rthread

        rthread.install(queue=mode == "queue")


# Words


ADDRESS = re.compile(r"0x[0-9a-fA-F]{4,}|id='\d+'")


def tell(*words: object) -> None:
    """Print without addresses."""
    print(ADDRESS.sub("0x…", " ".join(map(str, words))), flush=True)


def outcome(function: Callable[..., object], /, *args: Any, **kwargs: Any) -> str:
    """The value of a call, or the exception that it raised, in words."""
    try:
        return repr(function(*args, **kwargs))
    except BaseException as error:
        return f"{type(error).__name__}: {error}"


def attempt(name: str, function: Callable[..., object], /, *args: Any, **kwargs: Any) -> None:
    """Make a call and print its outcome."""
    tell(f"{name}: {outcome(function, *args, **kwargs)}")


# Threads


class Waiter:
    """A thread that makes one call. Nothing of `threading` is used for it."""

    def __init__(self, function: Callable[..., object], *args: Any, **kwargs: Any) -> None:
        self._said = "waits for ever"
        self._end = _allocate()
        self._end.acquire()
        self._id = 0
        self.ident = _start(self._run, (function, args, kwargs))

    def _run(self, function: Callable[..., object], args: Any, kwargs: Any) -> None:
        self._id = _thread.get_native_id()
        try:
            self._said = outcome(function, *args, **kwargs)
        finally:
            self._end.release()

    def block(self) -> Waiter:
        """Return when the thread sleeps, or has ended."""
        until(lambda: self._id or not self._end.locked())
        until_asleep(self._id, lambda: not self._end.locked())
        return self

    def said(self, timeout: float = FOR_EVER) -> str:
        """The outcome of the call; "waits for ever" if there is none in time."""
        if self._end.acquire(True, timeout):
            self._end.release()
        return self._said


def until_asleep(thread: int, ended: Callable[[], object] = bool) -> None:
    """Wait until a thread sleeps and does not so much as wake for the GIL, or `ended()` is true.

    Args:
        thread: its `get_native_id()`.
    """
    looks = 0
    last: list[str] = []
    name = f"/proc/self/task/{thread}/status"
    deadline = _monotonic() + FOR_EVER
    while looks < 4 and not ended() and _monotonic() < deadline:
        _sleep(0.0007)
        try:
            with open(name, encoding="ascii", errors="replace") as file:
                status = [line for line in file if line.startswith(_SCHEDULED)]
        except OSError:
            # It has ended, or there is no such folder here.
            _sleep(0.05)
            return
        same = status == last and any(line.split()[1] == "S" for line in status)
        looks = looks + 1 if same else 0
        last = status


def waiting(function: Callable[..., object], *args: Any, **kwargs: Any) -> Waiter:
    """A thread that is blocked in the call."""
    return Waiter(function, *args, **kwargs).block()


def within(function: Callable[..., object], *args: Any, **kwargs: Any) -> str:
    """The outcome of a call made in another thread, for calls that may never return."""
    return Waiter(function, *args, **kwargs).said()


def until(condition: Callable[[], object]) -> bool:
    """Wait until `condition()` is true; False if it stays false."""
    deadline = _monotonic() + FOR_EVER
    while not condition():
        if _monotonic() > deadline:
            return False
        _sleep(0.001)
    return True


def leave() -> None:
    """End the process at once, whatever threads still wait."""
    sys.stdout.flush()
    os._exit(0)
