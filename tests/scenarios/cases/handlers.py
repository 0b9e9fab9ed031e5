"""Signal handlers that meddle with what the main thread is waiting for.

The argument names the scenario. All of them begin in a wait of the main thread that would last
for ever; then the signal comes.
"""

from __future__ import annotations

import contextlib
import signal
import sys
from collections.abc import Callable, Iterator
from typing import Any

from chosen import ask_for, say, threading

Handler = Callable[[int, Any], object]
Scenario = Callable[[], object]
SCENARIOS: dict[str, Scenario] = {}

LONG = 3600


class FromHandler(Exception):
    pass


def scenario(function: Scenario) -> Scenario:
    SCENARIOS[function.__name__] = function
    return function


def on(name: str, handler: Handler) -> None:
    signal.signal(signal.Signals[name], handler)


class Holder:
    """A thread that holds a lock until it is told to free it."""

    def __init__(self, lock: Any) -> None:
        self._lock = lock
        self._taken = threading.Event()
        self._let_go = threading.Event()
        self._freed = threading.Event()
        self._thread = threading.Thread(target=self._hold)
        self._thread.start()
        self._taken.wait()

    def _hold(self) -> None:
        with self._lock:
            self._taken.set()
            self._let_go.wait()
        self._freed.set()

    def free(self) -> None:
        """Return when the lock is free."""
        self._let_go.set()
        self._freed.wait()

    def end(self) -> None:
        self.free()
        self._thread.join()


@contextlib.contextmanager
def reported(what: str) -> Iterator[None]:
    try:
        yield
    except FromHandler as error:
        say(what, "raised", error)


def raise_it(*_: object) -> None:
    say("handler raises")
    raise FromHandler("out of the handler")


@scenario
def frees() -> None:
    """The handler gives free what this very thread had taken before."""
    lock = threading.Lock()
    lock.acquire()
    on("SIGUSR1", lambda *_: say("handler frees", lock.release()))
    ask_for("SIGUSR1")
    say("acquired", lock.acquire(), lock.locked())


@scenario
def frees_with_timeout() -> None:
    lock = threading.Lock()
    lock.acquire()
    on("SIGUSR1", lambda *_: say("handler frees", lock.release()))
    ask_for("SIGUSR1")
    say("acquired", lock.acquire(timeout=LONG), lock.locked())


def takes_and_frees_case(lock: Any, *args: object) -> None:
    """The handler takes and frees the lock while the wait for it, under the handler, goes on."""
    holder = Holder(lock)

    def handler(*_: object) -> None:
        holder.free()
        with lock:
            say("handler has it")
        say("handler has freed it")

    on("SIGUSR1", handler)
    ask_for("SIGUSR1")
    say("acquired", lock.acquire(*args))
    lock.release()
    say("free again", lock.acquire(False))
    holder.end()


@scenario
def takes_and_frees() -> None:
    takes_and_frees_case(threading.Lock())


@scenario
def takes_and_frees_with_timeout() -> None:
    takes_and_frees_case(threading.Lock(), True, LONG)


@scenario
def takes_and_frees_rlock() -> None:
    takes_and_frees_case(threading.RLock())


@scenario
def takes_and_keeps() -> None:
    """The wait must not take the handler's lock for its own, nor miss that it is given free."""
    lock = threading.Lock()
    holder = Holder(lock)

    def take(*_: object) -> None:
        holder.free()
        say("handler has it", lock.acquire())
        # The next signal comes when the main thread is back in its wait.
        ask_for("SIGUSR2")

    on("SIGUSR1", take)
    on("SIGUSR2", lambda *_: say("handler frees", lock.release()))
    ask_for("SIGUSR1")
    say("acquired", lock.acquire())
    say("locked", lock.locked())
    holder.end()


@scenario
def waits_in_vain() -> None:
    """A handler that waits itself, for the same lock, and gives up."""
    lock = threading.Lock()
    holder = Holder(lock)

    def handler(*_: object) -> None:
        say("handler", lock.acquire(timeout=0.001), lock.acquire(False))
        ask_for("SIGUSR2")

    on("SIGUSR1", handler)
    on("SIGUSR2", lambda *_: holder.free())
    ask_for("SIGUSR1")
    say("acquired", lock.acquire())
    holder.end()


@scenario
def nested() -> None:
    """A handler that waits for the same lock is interrupted by another, which has it freed."""
    lock = threading.Lock()
    holder = Holder(lock)

    def wait_too(*_: object) -> None:
        ask_for("SIGUSR2")
        say("handler acquired", lock.acquire())
        lock.release()

    on("SIGUSR1", wait_too)
    on("SIGUSR2", lambda *_: holder.free())
    ask_for("SIGUSR1")
    say("acquired", lock.acquire())
    holder.end()


@scenario
def raises_in_lock() -> None:
    lock = threading.Lock()
    holder = Holder(lock)
    on("SIGUSR1", raise_it)
    for args in ((), (True, LONG)):
        ask_for("SIGUSR1")
        with reported("acquire"):
            lock.acquire(*args)
    ask_for("SIGUSR1")
    with reported("with"):
        with lock:
            say("inside")
    holder.end()
    say("free", lock.acquire(False))


@scenario
def raises_having_taken() -> None:
    """An exception after the handler has freed the lock must not leave it taken."""
    lock = threading.Lock()
    lock.acquire()

    def handler(*_: object) -> None:
        lock.release()
        raise_it()

    on("SIGUSR1", handler)
    ask_for("SIGUSR1")
    with reported("acquire"):
        lock.acquire()
    say("locked", lock.locked())


@scenario
def raises_in_rlock() -> None:
    lock = threading.RLock()
    holder = Holder(lock)
    on("SIGUSR1", raise_it)
    ask_for("SIGUSR1")
    with reported("acquire"):
        lock.acquire()
    say("owned", lock._is_owned())
    holder.end()
    say("acquired", lock.acquire(False), lock.acquire(False), lock._is_owned())


@scenario
def raises_in_condition() -> None:
    condition = threading.Condition()
    on("SIGUSR1", raise_it)
    with condition:
        ask_for("SIGUSR1")
        with reported("wait"):
            condition.wait()
        say("owned", condition._is_owned(), "waiters", len(condition._waiters))


@scenario
def raises_in_join() -> None:
    let_go = threading.Event()
    thread = threading.Thread(target=let_go.wait)
    thread.start()
    on("SIGUSR1", raise_it)
    ask_for("SIGUSR1")
    with reported("join"):
        thread.join()
    # Up to 3.12 an interrupted join has made the thread look stopped (see bpo-45274).
    let_go.set()
    thread.join()
    say("alive", thread.is_alive())


@scenario
def raises_in_event() -> None:
    event = threading.Event()
    on("SIGUSR1", raise_it)
    ask_for("SIGUSR1")
    with reported("wait"):
        event.wait()
    event.set()
    say("set", event.wait())


@scenario
def sets_event() -> None:
    """What a handler does to an event that is waited for ends the wait."""
    event = threading.Event()
    on("SIGUSR1", lambda *_: event.set())
    ask_for("SIGUSR1")
    say("waited", event.wait())


@scenario
def only_on_main() -> None:
    """A signal that hits another thread in its wait is handled by the main one; both wait on."""
    lock = threading.Lock()
    lock.acquire()
    served = threading.Event()

    def wait() -> None:
        say("other acquired", lock.acquire())
        served.set()

    other = threading.Thread(target=wait)
    other.start()

    def hand_on(*_: object) -> None:
        signal.pthread_kill(other.ident, signal.SIGUSR2)

    def handler(*_: object) -> None:
        say("handled on the main thread", threading.current_thread() is threading.main_thread())
        lock.release()

    on("SIGUSR1", hand_on)
    on("SIGUSR2", handler)
    ask_for("SIGUSR1")
    # Only a signal that hits the main thread ends its wait, so it has to look up by itself.
    while not served.wait(0.01):
        pass
    other.join()
    say("joined")


if __name__ == "__main__":
    SCENARIOS[sys.argv[1]]()
