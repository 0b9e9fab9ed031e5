"""Ways to wait for something, in one form: wait, be served, and look at what is left.

Where the interrupted wait of one thread has left something wrong in the object, another wait for
it, on that thread or another, ends too early, or not at all when it is served, or the counts are
not what they were. `all_waits.py` has the others, and the table.
"""

from __future__ import annotations

from typing import Any

from chosen import threading
from worker_thread import WorkerThread

# Waits with a time-out must not be served differently; nothing here lasts so long.
LONG = 3600.0


class Inconsistent(Exception):
    """An object is not as it should be."""


class Wait:
    """One way to wait.

    `wait(None)` blocks, on any thread, until `serve` is called once on another one. After that
    `rearm`, and the next one blocks again.
    """

    # How the call to be interrupted waits.
    timeout: float | None = None
    # Whether what `serve` did is still there when the one it was done for has left.
    keeps = True
    # Whether it is of use in a child process of `os.fork()`, where the other threads are gone.
    forks = True

    def wait(self, timeout: float | None) -> bool:
        """Whether it was served, and not only timed out."""
        raise NotImplementedError

    def serve(self) -> object:
        raise NotImplementedError

    def rearm(self) -> None:
        """Make waiting possible again, where having been served is not enough."""

    def state(self) -> object:
        """What is the same whenever no waiter has been served without `rearm`."""
        return None

    def after_interrupt(self) -> None:
        """Set right what stock leaves wrong as well."""

    def in_handler(self) -> None:
        """What a signal handler may try while the main thread waits, and has no effect."""
        if self.wait(0.001):
            raise Inconsistent("a signal handler's wait ended without being served")

    def in_child(self) -> None:
        """Get over that other threads, those that hold this, are gone after a fork."""

    def end(self) -> None:
        """Look inside, which would make a native object a Python one, and tidy up."""


def forever(timeout: float | None) -> float:
    return -1 if timeout is None else timeout


def expect_none_in(condition: Any) -> None:
    if condition._waiters:
        raise Inconsistent(f"waiters left: {condition._waiters}")


class ForLock(Wait):
    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.lock.acquire()

    def wait(self, timeout: float | None) -> bool:
        served: bool = self.lock.acquire(True, forever(timeout))
        return served

    def serve(self) -> object:
        return self.lock.release()

    def state(self) -> object:
        return self.lock.locked(), self.lock.acquire(False)


class ForLockByWith(ForLock):
    def wait(self, timeout: float | None) -> bool:
        if timeout is not None:
            return super().wait(timeout)
        with self.lock:
            pass
        return super().wait(timeout)


class ForRLock(Wait):
    """Only its holder can free it, so that is always a third thread."""

    keeps = False

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.holder = WorkerThread()
        self.rearm()

    def rearm(self) -> None:
        self.holder.do(self.lock.acquire)

    def wait(self, timeout: float | None) -> bool:
        if not self.lock.acquire(True, forever(timeout)):
            return False
        # Twice, as only its owner can.
        with self.lock:
            self.lock.release()
        return True

    def serve(self) -> object:
        return self.holder.do(self.lock.release)

    def state(self) -> object:
        return self.lock._is_owned(), self.lock.acquire(False)

    def in_child(self) -> None:
        self.lock._at_fork_reinit()
        self.holder = WorkerThread()
        self.rearm()

    def end(self) -> None:
        self.serve()
        self.holder.end()


class ForEvent(Wait):
    def __init__(self) -> None:
        self.event = threading.Event()

    def wait(self, timeout: float | None) -> bool:
        served: bool = self.event.wait(timeout)
        return served

    def serve(self) -> object:
        return self.event.set()

    def rearm(self) -> None:
        self.event.clear()

    def state(self) -> object:
        return self.event.is_set(), self.event.wait(0)

    def end(self) -> None:
        expect_none_in(self.event._cond)


class ForEventWithLock(ForEvent):
    """The handler takes an RLock that its thread has."""

    def __init__(self) -> None:
        super().__init__()
        self.lock = threading.RLock()

    def wait(self, timeout: float | None) -> bool:
        with self.lock:
            served = super().wait(timeout)
            if not self.lock._is_owned():
                raise Inconsistent("the lock is gone after the wait")
        return served

    def state(self) -> object:
        return super().state(), self.lock._is_owned()

    def in_handler(self) -> None:
        with self.lock, self.lock:
            pass
        if not self.lock._is_owned():
            raise Inconsistent("a signal handler has taken its thread's lock away")


class ForCondition(Wait):
    """A notification reaches the waiters of that moment, and none that comes after."""

    keeps = False
    make_lock = threading.RLock

    def __init__(self) -> None:
        self.condition = threading.Condition(type(self).make_lock())

    def wait(self, timeout: float | None) -> bool:
        # To leave the block raises if the lock was not taken back.
        with self.condition:
            served: bool = self.condition.wait(timeout)
        return served

    def serve(self) -> object:
        with self.condition:
            return self.condition.notify()

    def state(self) -> object:
        taken = self.condition.acquire(False)
        self.condition.release()
        return taken

    def end(self) -> None:
        expect_none_in(self.condition)


class ForConditionWithLock(ForCondition):
    make_lock = threading.Lock


class ForPredicate(ForCondition):
    """By wait_for, the lock being taken twice."""

    keeps = True

    def __init__(self) -> None:
        super().__init__()
        self.served = False

    def wait(self, timeout: float | None) -> bool:
        with self.condition, self.condition:
            served: bool = self.condition.wait_for(lambda: self.served, timeout)
        return served

    def serve(self) -> object:
        with self.condition:
            self.served = True
            return self.condition.notify()

    def rearm(self) -> None:
        self.served = False


class ForSemaphore(Wait):
    cls = threading.Semaphore

    def __init__(self) -> None:
        self.semaphore = type(self).cls(1)
        self.semaphore.acquire()

    def wait(self, timeout: float | None) -> bool:
        served: bool = self.semaphore.acquire(True, timeout)
        return served

    def serve(self) -> object:
        return self.semaphore.release()

    def state(self) -> object:
        return self.semaphore._value, self.semaphore.acquire(False)


class ForBoundedSemaphore(ForSemaphore):
    cls = threading.BoundedSemaphore


class ForBarrier(Wait):
    keeps = False

    def __init__(self) -> None:
        self.barrier = threading.Barrier(2)

    def wait(self, timeout: float | None) -> bool:
        return self.barrier.wait(timeout) in (0, 1)

    def serve(self) -> object:
        return self.barrier.wait()

    def state(self) -> object:
        return self.barrier.n_waiting, self.barrier.broken

    def in_handler(self) -> None:
        """A time-out would break it."""
        if self.barrier.n_waiting > 1:
            raise Inconsistent(f"{self.barrier.n_waiting} threads wait, not one")
