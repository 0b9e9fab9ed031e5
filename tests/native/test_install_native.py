"""Native classes in a whole program: install(), RTHREAD_NATIVE, queue=True, uninstall().

Each scenario is a process of its own, for what it changes belongs to the whole process.
"""

from __future__ import annotations

from typing import Any

import pytest

from support import check_snippet

PRELUDE = """
import sys, threading, types
import rthread
NAMES = ("Barrier", "BoundedSemaphore", "Condition", "Event", "Semaphore")
stock = {name: getattr(threading, name) for name in NAMES}
def is_native(cls):
    method = {"Event": "set", "Condition": "notify", "Barrier": "wait"}.get(cls.__name__)
    # isinstance() takes a native method for a function, as inspect is to do.
    return type(getattr(cls, method or "release")) is not types.FunctionType
assert not any(map(is_native, stock.values()))
"""


def check(scenario: str, **options: Any) -> None:
    import textwrap

    assert check_snippet(PRELUDE + textwrap.dedent(scenario), **options) == "fine\n"


def test_native_by_default() -> None:
    check(
        """
        from rthread import threading as shim
        assert all(is_native(getattr(shim, name)) for name in NAMES)
        rthread.install()
        for name in NAMES:
            assert is_native(getattr(threading, name)), name
            # One class for both modules: an object of either is an object of the other.
            assert getattr(threading, name) is getattr(shim, name)
            assert getattr(threading, name).__module__ == "threading"
        rthread.uninstall()
        for name in NAMES:
            assert getattr(threading, name) is stock[name], name
        rthread.install()
        assert is_native(threading.Event)
        print("fine")
        """
    )


@pytest.mark.parametrize(
    ("argument", "variable", "expected"),
    [
        ("", "0", False),
        ("", "1", True),
        ("", "", True),
        ("native=None", "0", False),
        ("native=False", "1", False),
        ("native=True", "0", True),
    ],
)
def test_asked_for_or_not(argument: str, variable: str, expected: bool) -> None:
    check(
        f"""
        rthread.install({argument})
        assert rthread.is_installed()
        for name in NAMES:
            assert is_native(getattr(threading, name)) is {expected}, name
            assert (getattr(threading, name) is stock[name]) is not {expected}
        event = threading.Event()
        thread = threading.Thread(target=event.set)
        thread.start()
        assert event.wait(60)
        thread.join()
        rthread.uninstall()
        assert all(getattr(threading, name) is stock[name] for name in NAMES)
        print("fine")
        """,
        env={"RTHREAD_NATIVE": variable},
    )


@pytest.mark.parametrize(("variable", "expected"), [("0", False), ("1", True)])
def test_the_variable_and_the_other_ways_in(variable: str, expected: bool) -> None:
    source = """
        import threading, types
        print(type(threading.Event.set) is not types.FunctionType)
        """
    import textwrap

    said = check_snippet(
        """
        import subprocess, sys
        subprocess.run([sys.executable, "-m", "rthread", "-c", sys.argv[1]], check=True)
        """,
        textwrap.dedent(source),
        env={"RTHREAD_NATIVE": variable},
    )
    assert said == f"{expected}\n"
    check(
        f"""
        from rthread import threading as shim
        assert all(is_native(getattr(shim, name)) is {expected} for name in NAMES)
        print("fine")
        """,
        env={"RTHREAD_NATIVE": variable},
    )


def test_names_that_other_modules_hold() -> None:
    check(
        """
        module = types.ModuleType("holder")
        sys.modules["holder"] = module
        exec("from threading import Event, Condition as C, Semaphore", vars(module))
        module.mine = stock["Event"]()
        rthread.install()
        assert module.Event is threading.Event and is_native(module.Event)
        assert module.C is threading.Condition
        # Objects stay what they are, and go on working.
        assert type(module.mine) is stock["Event"]
        module.mine.set()
        assert module.mine.wait()
        rthread.uninstall()
        assert module.Event is stock["Event"] and module.C is stock["Condition"]
        print("fine")
        """
    )


def test_a_module_imported_in_between_is_put_back() -> None:
    check(
        """
        rthread.install()
        module = types.ModuleType("late")
        sys.modules["late"] = module
        exec("from threading import Event\\nclass Child(Event): pass", vars(module))
        # In a list: a name of a module would be put back too.
        native = [module.Event]
        rthread.uninstall()
        assert module.Event is stock["Event"]
        # A class stays a subclass of what it was made from.
        assert issubclass(module.Child, native[0])
        child = module.Child()
        child.set()
        assert child.wait()
        print("fine")
        """
    )


def test_objects_made_on_either_side_work_together() -> None:
    check(
        """
        before = [stock["Event"](), stock["Semaphore"](0), stock["Condition"]()]
        rthread.install()
        after = [threading.Event(), threading.Semaphore(0), threading.Condition()]
        def use(event, semaphore, condition):
            def other():
                event.set()
                semaphore.release()
                with condition:
                    condition.notify()
            with condition:
                thread = threading.Thread(target=other)
                thread.start()
                assert event.wait(60)
                assert semaphore.acquire(timeout=60)
                assert condition.wait(60)
            thread.join()
            event.clear()
        use(*before), use(*after)
        rthread.uninstall()
        use(*before), use(*after)
        print("fine")
        """
    )


def test_subclasses_made_before_stay() -> None:
    check(
        """
        class Child(threading.Event):
            def set(self):
                self.count = getattr(self, "count", 0) + 1
                super().set()
        old = Child()
        rthread.install()
        new = Child()
        for child in (old, new):
            assert isinstance(child, Child) and isinstance(child, stock["Event"])
            thread = threading.Thread(target=child.set)
            thread.start()
            assert child.wait(60)
            thread.join()
            assert child.count == 1
        assert Child.__bases__ == (stock["Event"],)
        print("fine")
        """
    )


def test_timer_is_a_thread_with_a_native_event() -> None:
    check(
        """
        rthread.install()
        done = threading.Event()
        timer = threading.Timer(0.01, done.set)
        assert is_native(type(timer.finished))
        timer.start()
        assert done.wait(60)
        timer.join()
        assert timer.finished.is_set()
        print("fine")
        """
    )


@pytest.mark.parametrize("when", ["before", "after"])
def test_multiprocessing_barrier(when: str) -> None:
    """Its class derives from threading.Barrier, whichever it was then, and sets its own parts."""
    load = "import multiprocessing, multiprocessing.synchronize"
    check(
        f"""
        import os
        if {when == "before"}:
            {load}
        rthread.install()
        {load}
        barrier = multiprocessing.get_context("fork").Barrier(2)
        assert isinstance(barrier, multiprocessing.synchronize.Barrier)
        assert (barrier.parties, barrier.n_waiting, barrier.broken) == (2, 0, False)
        sums = []
        for _ in range(3):
            results = []
            thread = threading.Thread(target=lambda: results.append(barrier.wait(60)))
            thread.start()
            results.append(barrier.wait(60))
            thread.join()
            assert sorted(results) == [0, 1], results
        pid = os.fork()
        if pid == 0:
            os._exit(barrier.wait(60))
        mine = barrier.wait(60)
        theirs = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        assert sorted((mine, theirs)) == [0, 1]
        barrier.abort()
        try:
            barrier.wait()
        except threading.BrokenBarrierError:
            print("fine")
        """,
        flags=("-W", "ignore::DeprecationWarning"),
    )


USES = """
import concurrent.futures, multiprocessing.pool, queue, logging.handlers, sched
def use():
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        assert sum(pool.map(lambda n: n * n, range(200))) == sum(n * n for n in range(200))
        futures = [pool.submit(pow, 2, n) for n in range(20)]
        done, not_done = concurrent.futures.wait(futures, 60)
        assert len(done) == 20 and not not_done
        assert {f.result() for f in concurrent.futures.as_completed(futures, 60)} == {
            2 ** n for n in range(20)}
    with multiprocessing.pool.ThreadPool(3) as pool:
        assert pool.map(abs, range(-50, 0)) == list(range(50, 0, -1))
        assert pool.apply_async(divmod, (7, 2)).get(60) == (3, 1)
        assert sorted(pool.imap_unordered(abs, range(20))) == list(range(20))
    records = queue.Queue()
    listener = logging.handlers.QueueListener(records, logging.NullHandler())
    listener.start()
    logging.handlers.QueueHandler(records).emit(logging.makeLogRecord({"msg": "hello"}))
    listener.stop()
    assert records.empty()
"""


@pytest.mark.parametrize("when", ["before", "after"])
def test_the_standard_library_on_it(when: str) -> None:
    install = "rthread.install()"
    uses = (USES, install) if when == "before" else (install, USES)
    check_snippet(PRELUDE + "\n".join(uses) + "\nuse()\nassert is_native(threading.Event)")


# The queues


def test_queues_are_left_alone_unless_asked_for() -> None:
    check(
        """
        import queue
        before = {name: getattr(queue, name) for name in queue.__all__}
        rthread.install()
        for name, value in before.items():
            assert getattr(queue, name) is value
        q = queue.Queue()
        q.put(1)
        assert q.get() == 1
        print("fine")
        """
    )


def test_queues_for_a_whole_program() -> None:
    check(
        """
        import queue
        from rthread import queue as ours
        holder = types.ModuleType("holder")
        sys.modules["holder"] = holder
        exec("from queue import Queue, SimpleQueue as S, Empty", vars(holder))
        before = dict(vars(queue))
        class Child(queue.Queue): pass
        rthread.install(queue=True)
        for name in ("Queue", "LifoQueue", "PriorityQueue", "SimpleQueue"):
            assert getattr(queue, name) is getattr(ours, name)
            assert getattr(queue, name).__module__ in ("queue", "_queue")
        assert holder.Queue is ours.Queue and holder.S is ours.SimpleQueue
        assert holder.Empty is queue.Empty is ours.Empty
        assert Child.__bases__ == (before["Queue"],)
        child = Child()
        child.put(1)
        assert child.get() == 1
        try:
            queue.Queue().get(False)
        except queue.Empty:
            pass
        rthread.uninstall()
        for name in queue.__all__:
            assert getattr(queue, name) is before[name], name
        assert holder.Queue is before["Queue"] and holder.S is before["SimpleQueue"]
        print("fine")
        """
    )


@pytest.mark.parametrize("when", ["before", "after"])
def test_the_standard_library_on_our_queues(when: str) -> None:
    install = "rthread.install(queue=True)"
    uses = (USES, install) if when == "before" else (install, USES)
    check_snippet(
        PRELUDE
        + "\n".join(uses)
        + "\nuse()\nfrom rthread import queue as ours\nassert queue.Queue is ours.Queue"
    )


def test_queues_imported_after_install() -> None:
    check(
        """
        assert "queue" not in sys.modules
        rthread.install(queue=True)
        import queue
        from rthread import queue as ours
        assert queue.Queue is ours.Queue
        print("fine")
        """
    )
