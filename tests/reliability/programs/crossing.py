"""Operating system threads that go from interpreter to interpreter, and values that must not.

Each thread has a thread state in each interpreter; up to 3.12 the threads that call into one even
take turns with one state. Prints as JSON how many crossings were made.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from typing import Any

from chosen import say, threading
from interpreters import create, end, run

KIND, COUNT = sys.argv[1], int(sys.argv[2])

# Some do without `threading`: up to 3.12 an interpreter that has it can be ended only by the thread
# that has imported it.

# A value is there for a local if and only if it is there for a TSS: both belong to the state.
VALUES = """
import rthread
class Value:
    pass
local, key = rthread._local(), rthread.TSS()
key.create()
def use():
    for _ in range(3):
        assert key.get() is getattr(local, "value", None), (key.get(), vars(local))
        local.value = Value()
        key.set(local.value)
        others = [Value() for _ in range(10)]
        assert type(key.get()) is Value
use()
"""

NEW = """
import rthread
local = rthread._local()
assert not vars(local), vars(local)
local.x = rthread
"""

# What `threading` does for the main thread of an interpreter, which here is not the main one.
SENTINEL = """
import rthread
rthread.install()
import threading
sentinel = rthread._set_sentinel()
sentinel.acquire()
"""

# The thread that drops the outermost queue drops the innermost item, after it has put off the rest.
DEEP = """
import sys
try:
    import _interpreters as interpreters
except ImportError:
    import _xxsubinterpreters as interpreters
from rthread import queue
seen = []
class Inner:
    def __del__(self, where=interpreters.get_current):
        here = where()
        seen.append(here[0] if type(here) is tuple else here)
item = Inner()
for _ in range(200):
    outer = queue.Queue()
    outer.put(item)
    item = outer
del outer
item = None
# Where it is not over yet, what is left is not this interpreter's to drop any more.
assert len(seen) == 1, seen
"""


class Helper:
    """A thread that makes the calls it is handed, one at a time."""

    def __init__(self) -> None:
        self._asked, self._answered = threading.Semaphore(0), threading.Semaphore(0)
        self._call: Callable[..., object] | None = None
        self._args: tuple[Any, ...] = ()
        self._error: BaseException | None = None
        self.thread = threading.Thread(target=self._serve)
        self.thread.start()

    def do(self, call: Callable[..., object] | None, *args: Any) -> None:
        self._call, self._args = call, args
        self._asked.release()
        self._answered.acquire()
        if self._error is not None:
            raise self._error

    def _serve(self) -> None:
        while True:
            self._asked.acquire()
            call = self._call
            try:
                if call is not None:
                    call(*self._args)
            except BaseException as error:
                self._error = error
            self._answered.release()
            if call is None:
                return


def values_stay_with_their_state(count: int) -> int:
    interpreter = create(KIND)
    helpers = [Helper() for _ in range(3)]
    run(interpreter, VALUES)
    for _ in range(count):
        for helper in helpers:
            helper.do(run, interpreter, "use()")
        run(interpreter, "use()")
    # Another one than made it.
    helpers[0].do(end, interpreter)
    for helper in helpers:
        helper.do(None)
        helper.thread.join()
    return count * 4


def new_states_are_empty(count: int) -> int:
    """Even those at the address of one that another thread has ended."""
    user, ender = Helper(), Helper()
    for _ in range(count):
        interpreter = create(KIND)
        user.do(run, interpreter, NEW)
        ender.do(end, interpreter)
    for helper in (user, ender):
        helper.do(None)
        helper.thread.join()
    return count


def own_sentinels_are_released(count: int) -> int:
    """A thread ends, whichever sentinels it has taken in other interpreters."""
    for _ in range(count):
        interpreter, helper = create(KIND), Helper()
        helper.do(run, interpreter, SENTINEL)
        helper.do(end, interpreter)
        helper.do(None)
        helper.thread.join()
    return count


class Crossing:
    """Dies in the main interpreter and has a sub-interpreter do its dying."""

    def __init__(self, interpreter: Any, done: list[bool]) -> None:
        self.interpreter, self.done = interpreter, done

    def __del__(self) -> None:
        run(self.interpreter, DEEP)
        self.done.append(True)


def items_die_at_home(count: int) -> int:
    from rthread import queue

    interpreter = create(KIND)
    done: list[bool] = []
    for _ in range(count):
        items: Any = queue.Queue()
        items.put(Crossing(interpreter, done))
        del items
    end(interpreter)
    assert len(done) == count, "a finalizer failed"
    return count


crossings = 0
for crossing in (
    values_stay_with_their_state,
    new_states_are_empty,
    own_sentinels_are_released,
    items_die_at_home,
):
    crossings += crossing(COUNT)
say(json.dumps({"crossings": crossings}))
