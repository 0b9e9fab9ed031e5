"""Waiting for queues, for threads and for pools of them; and the table of all waits."""

from __future__ import annotations

import sys
from collections.abc import Callable
from concurrent import futures
from typing import Any

from chosen import MODE, low_level, threading
from chosen_queue import queue
from waits import (
    LONG,
    ForBarrier,
    ForBoundedSemaphore,
    ForCondition,
    ForConditionWithLock,
    ForEvent,
    ForEventWithLock,
    ForLock,
    ForLockByWith,
    ForPredicate,
    ForRLock,
    ForSemaphore,
    Inconsistent,
    Wait,
)


class ForItem(Wait):
    cls = queue.Queue

    def __init__(self) -> None:
        self.queue = type(self).cls()

    def wait(self, timeout: float | None) -> bool:
        try:
            return bool(self.queue.get(True, timeout))
        except queue.Empty:
            return False

    def serve(self) -> object:
        return self.queue.put(1)

    def state(self) -> object:
        return self.queue.qsize(), self.queue.empty()


class ForItemInLifo(ForItem):
    cls = queue.LifoQueue


class ForItemByPriority(ForItem):
    cls = queue.PriorityQueue


class ForItemInSimple(ForItem):
    cls = queue.SimpleQueue


class ForRoom(Wait):
    cls = queue.Queue

    def __init__(self) -> None:
        self.queue = type(self).cls(1)
        self.queue.put(1)

    def wait(self, timeout: float | None) -> bool:
        try:
            self.queue.put(1, True, timeout)
        except queue.Full:
            return False
        return True

    def serve(self) -> object:
        self.queue.task_done()
        return self.queue.get()

    def state(self) -> object:
        return self.queue.qsize(), self.queue.full(), self.queue.unfinished_tasks


class ForRoomInLifo(ForRoom):
    cls = queue.LifoQueue


class ForRoomByPriority(ForRoom):
    cls = queue.PriorityQueue


class ForTasks(Wait):
    """By join() of a queue, which knows no time-outs."""

    def __init__(self) -> None:
        self.queue = queue.Queue()
        self.rearm()

    def rearm(self) -> None:
        self.queue.put(1)
        self.queue.get()

    def wait(self, timeout: float | None) -> bool:
        if timeout is not None and self.queue.unfinished_tasks:
            return False
        self.queue.join()
        return True

    def serve(self) -> object:
        return self.queue.task_done()

    def state(self) -> object:
        return self.queue.qsize(), self.queue.unfinished_tasks


class ForThread(Wait):
    def __init__(self) -> None:
        self.rearm()

    def rearm(self) -> None:
        self.let_go = threading.Event()
        self.ended = threading.Event()
        self.thread = threading.Thread(target=self._run, args=(self.let_go, self.ended))
        self.thread.daemon = True
        self.thread.start()

    @staticmethod
    def _run(let_go: Any, ended: Any) -> None:
        let_go.wait()
        ended.set()

    def wait(self, timeout: float | None) -> bool:
        self.thread.join(timeout)
        return not self.thread.is_alive()

    def serve(self) -> object:
        return self.let_go.set()

    def state(self) -> object:
        return self.let_go.is_set(), self.ended.is_set(), self.thread.is_alive()

    def after_interrupt(self) -> None:
        # Up to 3.12 join() takes a thread for ended after an exception (see bpo-45274).
        if sys.version_info < (3, 13):
            self.let_go.set()
            self.ended.wait()
            self.thread.join()
            self.rearm()

    def in_child(self) -> None:
        if not self.wait(None):
            raise Inconsistent("alive in the child of a fork")
        self.rearm()

    def end(self) -> None:
        self.serve()
        self.thread.join()


class ForHandle(ForThread):
    def rearm(self) -> None:
        self.let_go = threading.Event()
        self.handle = low_level.start_joinable_thread(self.let_go.wait)

    def wait(self, timeout: float | None) -> bool:
        self.handle.join(timeout)
        done: bool = self.handle.is_done()
        return done

    def state(self) -> object:
        return self.let_go.is_set(), self.handle.is_done()

    def after_interrupt(self) -> None:
        pass

    def end(self) -> None:
        self.serve()
        self.handle.join()


class ForResult(Wait):
    """What a thread of a pool is to give."""

    forks = False

    def __init__(self) -> None:
        self.pool = futures.ThreadPoolExecutor(1)
        self.rearm()

    def rearm(self) -> None:
        self.let_go = threading.Event()
        self.future = self.pool.submit(self.let_go.wait)

    def wait(self, timeout: float | None) -> bool:
        try:
            return bool(self.future.result(timeout))
        except futures.TimeoutError:
            return False

    def serve(self) -> object:
        return self.let_go.set()

    def state(self) -> object:
        return self.let_go.is_set(), self.future.done()

    def end(self) -> None:
        self.serve()
        self.pool.shutdown()


class ForShutdown(ForResult):
    """A pool that is waited for as `with` does: it joins its threads."""

    def rearm(self) -> None:
        self.pool = futures.ThreadPoolExecutor(1)
        super().rearm()

    def wait(self, timeout: float | None) -> bool:
        if timeout is not None and not super().wait(timeout):
            return False
        self.pool.shutdown()
        return self.future.done()

    def after_interrupt(self) -> None:
        # Of join() as well.
        if sys.version_info < (3, 13):
            self.serve()
            self.future.result()
            self.rearm()


def _with_timeout(cls: Callable[[], Wait]) -> Callable[[], Wait]:
    def make() -> Wait:
        wait = cls()
        wait.timeout = LONG
        return wait

    return make


_BOTH: dict[str, Callable[[], Wait]] = {
    "Lock.acquire": ForLock,
    "RLock.acquire": ForRLock,
    "Event.wait": ForEvent,
    "Event.wait, holding an RLock": ForEventWithLock,
    "Condition.wait": ForCondition,
    "Condition.wait, over a Lock": ForConditionWithLock,
    "Condition.wait_for": ForPredicate,
    "Semaphore.acquire": ForSemaphore,
    "BoundedSemaphore.acquire": ForBoundedSemaphore,
    "Barrier.wait": ForBarrier,
    "Queue.get": ForItem,
    "LifoQueue.get": ForItemInLifo,
    "PriorityQueue.get": ForItemByPriority,
    "SimpleQueue.get": ForItemInSimple,
    "Queue.put": ForRoom,
    "LifoQueue.put": ForRoomInLifo,
    "PriorityQueue.put": ForRoomByPriority,
    "Thread.join": ForThread,
}
WAITS = {
    **_BOTH,
    **{f"{name}, timed": _with_timeout(cls) for name, cls in _BOTH.items()},
    "with Lock": ForLockByWith,
    "Queue.join": ForTasks,
}
if hasattr(low_level, "start_joinable_thread"):
    WAITS["handle.join"] = ForHandle
    WAITS["handle.join, timed"] = _with_timeout(ForHandle)
# With the shim, the standard library stays on the stock threads.
if MODE != "shim":
    WAITS["Future.result"] = ForResult
    WAITS["Future.result, timed"] = _with_timeout(ForResult)
    WAITS["ThreadPoolExecutor.shutdown"] = ForShutdown
