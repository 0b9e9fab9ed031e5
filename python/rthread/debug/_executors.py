"""Finds pools of threads that are stuck: all workers wait for what only their own queue can bring.

A task that submits another task to its own pool and waits for the result takes a worker away. When
every worker waits like this, no worker is left for the tasks in the queue. The workers of one pool
may also wait for another pool that is stuck.

No frame is needed for this: what a worker waits for is compared with what the results in the queue
have their waiters wait for. Only a result that another worker computes at this moment is known
from local variables alone.
"""

import collections
import gc
from _weakref import ReferenceType as _Reference

from rthread.debug import _kinds, _safe, _snapshot
from rthread.debug._snapshot import Snapshot, StuckRecord, ThreadRecord

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FrameType
    from typing import Any

    Frames = dict[int, list[FrameType]]

__all__ = ["starved"]

# Tasks in a queue that are looked at.
_MOST_TASKS = 100_000

_EXECUTOR = "concurrent.futures.thread"
_POOL = "multiprocessing.pool"

_Function: "Any" = type(lambda: None)


class _Pool:
    """The workers of one ``ThreadPoolExecutor`` or ``ThreadPool``, and its queue."""

    noun = ""

    def __init__(self, queue: object) -> None:
        self.queue = queue
        self.workers: list[ThreadRecord] = []
        # Other pools that the workers wait for.
        self.others: set[int] = set()
        self.certain = True

    def is_complete(self) -> bool:
        """Whether the pool has as many workers as it may ever have."""
        raise NotImplementedError

    def describe(self) -> str:
        raise NotImplementedError

    def subject(self) -> object:
        raise NotImplementedError

    def awaited(self, task: object) -> "Iterator[tuple[int, bool]]":
        """The ids of what threads wait for that wait for the result of a task in the queue.

        Returns:
            With each id, whether this result has to be there before the wait ends.
        """
        raise NotImplementedError

    def awaited_of_worker(self, variables: "dict[str, Any]") -> "Iterator[tuple[int, bool]]":
        """The same for the task that a worker runs, by the variables of its outermost function."""
        raise NotImplementedError


class _Executor(_Pool):
    noun = "executor"

    def __init__(self, queue: object, executor: object, thread: object) -> None:
        super().__init__(queue)
        self._executor = executor
        self._attributes = _safe.attributes(executor)
        self._prefix = _safe.exact(self._attributes.get("_thread_name_prefix"))
        self._fallback = _safe.exact(_safe.attributes(thread).get("_name")).rpartition("_")[0]

    def is_complete(self) -> bool:
        # Without the executor no task can be added, and no worker.
        return self._executor is None or self._attributes.get("_max_workers") == len(self.workers)

    def describe(self) -> str:
        return self._prefix or self._fallback or "a ThreadPoolExecutor"

    def subject(self) -> object:
        return self._executor

    def awaited(self, task: object) -> "Iterator[tuple[int, bool]]":
        future = _safe.attributes(_safe.attributes(task).get("future"))
        yield from _notifications(future.get("_condition"))
        waiters = future.get("_waiters")
        for waiter in list(waiters) if type(waiters) is list else ():
            # The others end with the first result.
            needs_all = _safe.class_name(waiter) == "_AllCompletedWaiter"
            for ident, _all in _notifications(_safe.attributes(waiter).get("event")):
                yield ident, needs_all

    def awaited_of_worker(self, variables: "dict[str, Any]") -> "Iterator[tuple[int, bool]]":
        return self.awaited(variables.get("work_item"))


class _ThreadPool(_Pool):
    noun = "pool"

    def __init__(self, queue: object, results: "Any") -> None:
        super().__init__(queue)
        # By the number of a job, its result. The class is derived from dict.
        self._results: dict[Any, Any] = results if issubclass(type(results), dict) else {}
        self._pool: object = None

    def is_complete(self) -> bool:
        # A pool starts all workers at once.
        return True

    def describe(self) -> str:
        if self._pool is None:
            return "a ThreadPool"
        return f"{_safe.class_name(self._pool)} at {id(self._pool):#x}"

    def subject(self) -> object:
        return self._pool

    def awaited(self, task: object) -> "Iterator[tuple[int, bool]]":
        if type(task) is tuple and task and type(task[0]) is int:
            yield from self._awaited(task[0])

    def awaited_of_worker(self, variables: "dict[str, Any]") -> "Iterator[tuple[int, bool]]":
        job = variables.get("job")
        return self._awaited(job) if type(job) is int else iter(())

    def _awaited(self, job: int) -> "Iterator[tuple[int, bool]]":
        result = _safe.attributes(dict.get(self._results, job))
        if result:
            self._pool = result.get("_pool")
        yield from _notifications(result.get("_event"))


def _notifications(waited_for: object) -> "Iterator[tuple[int, bool]]":
    if waited_for is not None:
        for ident in _kinds.parts(waited_for):
            yield ident, True


def starved(snapshot: Snapshot, frames: "Frames") -> "list[StuckRecord]":
    """The pools all of whose workers wait for what only their own queue, or another such pool's,
    can bring.

    Args:
        snapshot: a snapshot of this process.
        frames: by the id of a record, frames whose variables may be read.
    """
    pools = [pool for pool in _pools(snapshot) if pool.is_complete() and _all_wait(pool)]
    if not pools:
        return []
    # By the id of what threads wait for: the pool that has to bring it, and whether it has to.
    sources: dict[int, tuple[_Pool, bool]] = {}
    for pool in pools:
        for task in _contents(pool.queue):
            sources.update((ident, (pool, needed)) for ident, needed in pool.awaited(task))
        for record in pool.workers:
            variables = _variables_of_worker(frames.get(id(record), []))
            for ident, needed in pool.awaited_of_worker(variables):
                sources.setdefault(ident, (pool, needed))
    stuck = _fixpoint(pools, sources)
    by_id = {id(pool): pool for pool in pools}
    return [_record(pool, by_id) for pool in stuck]


def _pools(snapshot: Snapshot) -> "list[_Pool]":
    executor_worker = _safe.namespace(_EXECUTOR).get("_worker")
    pool_worker = _safe.namespace(_POOL).get("worker")
    caches = _caches(snapshot)
    pools: dict[int, _Pool] = {}
    for record in snapshot.threads:
        attributes = _safe.attributes(record.thread)
        target, args = attributes.get("_target"), attributes.get("_args")
        if target is None or type(args) is not tuple or len(args) < 3:
            continue
        if target is executor_worker:
            # The queue is the second argument, from 3.14 on the third.
            queue = args[2] if len(args) == 3 else args[1]
            if id(queue) not in pools:
                executor = args[0]() if type(args[0]) is _Reference else None
                pools[id(queue)] = _Executor(queue, executor, record.thread)
        elif target is pool_worker:
            queue = args[0]
            if id(queue) not in pools:
                pools[id(queue)] = _ThreadPool(queue, caches.get(id(args[1])))
        else:
            continue
        pools[id(queue)].workers.append(record)
    return list(pools.values())


def _caches(snapshot: Snapshot) -> "dict[int, Any]":
    """By the id of the queue of results of a ``ThreadPool``, the results that are awaited."""
    caches = {}
    for record in snapshot.threads:
        attributes = _safe.attributes(record.thread)
        target: Any = attributes.get("_target")
        args = attributes.get("_args")
        is_handler = type(target) is _Function and target.__code__.co_name == "_handle_results"
        if is_handler and target.__module__ == _POOL and type(args) is tuple and len(args) == 3:
            caches[id(args[0])] = args[2]
    return caches


def _all_wait(pool: _Pool) -> bool:
    return all(record.state == _snapshot.WAITING and not record.timed for record in pool.workers)


def _contents(queue: object) -> "Iterator[object]":
    """The items of a queue, and what else it refers to."""
    # A SimpleQueue does not show its items, but tells the collector of them.
    level = [queue]
    seen = 0
    for _ in range(3):
        inner: list[Any] = []
        for value in gc.get_referents(*level):
            seen += 1
            if seen > _MOST_TASKS:
                return
            if type(value) in (list, dict, collections.deque):
                inner.append(value)
            else:
                yield value
        if not inner:
            return
        level = inner


def _variables_of_worker(frames: "list[FrameType]") -> "dict[str, Any]":
    for frame in reversed(frames):
        home = _safe.globals_of(frame).get("__name__")
        if (home, frame.f_code.co_name) in ((_EXECUTOR, "_worker"), (_POOL, "worker")):
            return _safe.locals_of(frame)
    return {}


def _fixpoint(pools: "list[_Pool]", sources: "dict[int, tuple[_Pool, bool]]") -> "list[_Pool]":
    """The pools of which each worker waits for one of these pools."""
    stuck = list(pools)
    while True:
        still = [pool for pool in stuck if _waits_for(pool, stuck, sources)]
        if len(still) == len(stuck):
            return still
        stuck = still


def _waits_for(pool: _Pool, stuck: "list[_Pool]", sources: "dict[int, tuple[_Pool, bool]]") -> bool:
    pool.others = set()
    pool.certain = True
    for record in pool.workers:
        source = sources.get(id(record.object)) or sources.get(id(record.inner))
        if source is None or all(source[0] is not other for other in stuck):
            return False
        if source[0] is not pool:
            pool.others.add(id(source[0]))
        pool.certain &= source[1]
    return True


def _record(pool: _Pool, pools: "dict[int, _Pool]") -> StuckRecord:
    count = len(pool.workers)
    workers = "the only worker" if count == 1 else f"all {count} workers"
    waits = "waits for results" if count == 1 else "wait for results"
    if pool.others:
        names = " and ".join([pools[ident].describe() for ident in sorted(pool.others)])
        bring = f"{names} can compute, and is stuck as well"
        if len(pool.others) > 1:
            bring = f"{names} can compute, and are stuck as well"
    else:
        bring = f"this {pool.noun} can compute"
    return StuckRecord(
        kind="executor",
        reason=f"{workers} of {pool.describe()} {waits} that only {bring}",
        address=0 if pool.subject() is None else id(pool.subject()),
        threads=pool.workers,
        certain=pool.certain,
        object=pool.subject(),
    )
