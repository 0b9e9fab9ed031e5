"""`find_stuck(collect=True)`: objects that can be reached only from threads that wait."""

from __future__ import annotations

import sys

import planted
import pytest

import support

HAS_GIL = getattr(sys, "_is_gil_enabled", lambda: True)()
MODES = ["", "queue=True", "native=False"]

HELPERS = """
import queue
end_of_test = threading.Event()

def wait(condition):
    with condition:
        condition.wait()

def wait_and_set(own, other):
    own.wait()
    other.set()

def lost():
    return sorted({
        thread.name
        for found in debug.find_stuck(collect=True)
        if found.kind == "unreachable"
        for thread in found.threads
    })

def all_wait():
    # No function of the program refers to the objects that some threads wait for.
    from rthread.debug import _look
    records = _look.take(locks=False).snapshot.threads
    waiting = {record.name for record in records if record.state == 1}
    return waiting >= {thread.name for thread in threading.enumerate() if thread.name[0] == "t"}
"""


def program(mode: str, *parts: str) -> str:
    source = planted.program(HELPERS, *parts)
    return source.replace("rthread.install()", f"rthread.install({mode})")


@pytest.mark.skipif(not HAS_GIL, reason="needs the variables of other threads")
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(
    ("function", "arguments"),
    [
        ("lambda: threading.Event().wait()", ""),
        ("threading.Event().wait", ""),
        ("lambda event: event.wait()", "threading.Event()"),
        ("wait", "threading.Condition()"),
        ("lambda q: q.get()", "queue.Queue()"),
        ("lambda s: s.acquire()", "threading.Semaphore(0)"),
        ("lambda b: b.wait()", "threading.Barrier(2)"),
        ("lambda lock: [lock.acquire(), lock.acquire()]", "threading.Lock()"),
        ("lambda objects: objects[0]['key'].wait()", "[{'key': threading.Event()}]"),
    ],
)
def test_an_object_of_one_thread(function: str, arguments: str, mode: str) -> None:
    support.check_snippet(
        program(
            mode,
            f"""
            start("t1", {function}, {arguments})
            until(all_wait)
            until(lost)
            (found,) = debug.find_stuck(collect=True)
            assert found.reason.endswith(" can be reached only from threads that wait"), found
            assert not found.is_certain
            assert found.object is not None
            assert [thread.name for thread in found.threads] == ["t1"]
            assert found.text().startswith("Possibly stuck: "), found.text()
            # It costs a collection, and is not in every report.
            assert debug.find_stuck() == []
            """,
        )
    )


@pytest.mark.skipif(not HAS_GIL, reason="needs the variables of other threads")
@pytest.mark.parametrize("mode", MODES)
def test_threads_that_could_only_wake_each_other(mode: str) -> None:
    support.check_snippet(
        program(
            mode,
            """
            one, two = threading.Event(), threading.Event()
            three, four = threading.Event(), threading.Event()
            start("t1", wait_and_set, one, two)
            start("t2", wait_and_set, two, one)
            start("t3", wait_and_set, three, four)
            start("t4", wait_and_set, four, three)
            del one, two, four
            until(all_wait)
            # The third one is a variable of the module. It wakes the fourth one.
            until(lambda: lost() == ["t1", "t2"])
            three.set()
            """,
        )
    )


@pytest.mark.parametrize("mode", MODES)
def test_objects_in_use(mode: str) -> None:
    support.check_snippet(
        program(
            mode,
            """
            import atexit, functools, signal

            class Owner:
                def __init__(self):
                    self.event = threading.Event()
                def run(self):
                    self.event.wait()

            def generator(event):
                yield
                event.set()

            def hold(event):
                # A variable of a thread that runs.
                while not end_of_test.is_set():
                    pass

            in_module = threading.Event()
            start("t1", in_module.wait)
            owner = Owner()
            start("t2", owner.run)
            suspended = generator(threading.Event())
            next(suspended)
            start("t3", suspended.gi_frame.f_locals["event"].wait)
            event = threading.Event()
            start("t4", event.wait)
            start("holder", hold, event)
            event = threading.Event()
            start("t5", event.wait)
            atexit.register(event.set)
            event = threading.Event()
            start("t6", event.wait)
            signal.signal(signal.SIGTERM, lambda *args, event=event: event.set())
            event = threading.Event()
            start("t7", event.wait)
            signal.signal(signal.SIGINT, event.set)
            event = threading.Event()
            start("t8", event.wait)
            timer = threading.Timer(600, event.set)
            timer.daemon = True
            timer.start()
            event = threading.Event()
            start("t9", event.wait)
            Owner.method = functools.partial(event.set)
            # It ends by itself.
            start("limited", threading.Event().wait, 600)
            del event, timer
            until(all_wait)
            for _ in range(5):
                assert lost() == [], debug.find_stuck(collect=True)
            end_of_test.set()
            """,
        )
    )


@pytest.mark.skipif(HAS_GIL, reason="with a GIL variables can be read")
def test_without_a_gil_there_are_no_such_findings() -> None:
    support.check_snippet(
        program(
            "",
            """
            start("t1", threading.Event().wait)
            until(all_wait)
            assert debug.find_stuck(collect=True) == []
            """,
        )
    )
