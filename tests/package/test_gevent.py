"""gevent and eventlet patch ``_thread`` and ``threading``, before ``install()`` or after it."""

from __future__ import annotations

import importlib.util
import textwrap

import pytest

import support

LIBRARIES = {
    "gevent": "from gevent import monkey; monkey.patch_all()",
    "eventlet": """
        import warnings
        warnings.simplefilter("ignore", DeprecationWarning)
        import eventlet; eventlet.monkey_patch()
    """,
}
ORDERS = ("stock", "before", "after")

# Greenlets in all that threading offers: were one to block the hub, nothing would come of it.
GREEN = """
import _thread, queue, threading, time
told = queue.Queue()
def work(number):
    time.sleep(0.01)
    told.put(number)
threads = [threading.Thread(target=work, args=(number,)) for number in range(5)]
for thread in threads: thread.start()
print(sorted(told.get(timeout=30) for _ in threads))
for thread in threads: thread.join()

def later(function):
    def call():
        time.sleep(0.05)
        function()
    threading.Thread(target=call).start()
event, semaphore, condition = threading.Event(), threading.Semaphore(0), threading.Condition()
barrier, lock = threading.Barrier(2), threading.Lock()
later(event.set)
print(event.wait(30))
later(semaphore.release)
print(semaphore.acquire(timeout=30))
def notify():
    with condition: condition.notify_all()
later(notify)
with condition: print(condition.wait(30))
later(barrier.wait)
print(barrier.wait(30) in (0, 1))
lock.acquire()
later(lock.release)
print(lock.acquire(timeout=30))
local = threading.local()
local.x = 1
seen = []
thread = threading.Thread(target=lambda: seen.append(hasattr(local, "x")))
thread.start(); thread.join()
print(seen, _thread.__name__)
"""

# The threads of the operating system behind gevent's loop.
POOL = """
import gevent, time, _thread
from gevent import monkey
print(type(monkey.get_original("_thread", "start_new_thread")).__name__)
ident = monkey.get_original("_thread", "get_ident")
pool = gevent.get_hub().threadpool
print(pool.apply(ident) != ident())
beats = []
def beat():
    for _ in range(5):
        gevent.sleep(0.01)
        beats.append(1)
beating = gevent.spawn(beat)
done = monkey.get_original("_thread", "allocate_lock")()
done.acquire()
# The pool waits in a thread until the greenlet has run, and would wait for ever in the hub.
waiting = pool.spawn(done.acquire)
beating.join()
done.release()
print(waiting.get(timeout=30), len(beats))
"""

# One of the operating system's threads each.
TPOOL = """
from eventlet import patcher, tpool
original = patcher.original("threading")
print(tpool.execute(original.get_ident) != original.get_ident())
tpool.killall()
"""


def run(library: str, order: str, program: str, options: str = "") -> str:
    # Not by an import, which would stay with the tests that come after.
    if importlib.util.find_spec(library) is None:
        pytest.skip(f"needs {library}")
    patch = textwrap.dedent(LIBRARIES[library])
    install = textwrap.dedent(
        f"""
        import warnings, rthread
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            rthread.install({options})
        told = [w for w in caught if w.category is rthread.PatchedWarning]
        assert bool(told) is ({order!r} == "before"), told
        assert not told or "_thread.start_new_thread (" in str(told[0].message)
        """
    )
    steps = {"stock": [patch], "before": [patch, install], "after": [install, patch]}
    finished = support.run_python("-c", "\n".join([*steps[order], program]))
    assert finished.returncode == 0, finished.stderr
    return finished.stdout


@pytest.mark.parametrize("library", LIBRARIES)
@pytest.mark.parametrize(
    ("order", "options"),
    [("before", ""), ("before", "queue=True"), ("after", "native=False")],
)
def test_green_threads(library: str, order: str, options: str) -> None:
    assert run(library, order, GREEN, options) == run(library, "stock", GREEN)


@pytest.mark.parametrize("order", ["before", "after"])
def test_originals_of_gevent_are_native(order: str) -> None:
    expected = "builtin_function_or_method\nTrue\nTrue 5\n"
    assert run("gevent", "stock", POOL) == expected
    assert run("gevent", order, POOL) == expected


@pytest.mark.parametrize("order", ["before", "after"])
def test_originals_of_eventlet_are_native(order: str) -> None:
    assert run("eventlet", order, TPOOL) == run("eventlet", "stock", TPOOL) == "True\n"


@pytest.mark.parametrize("library", LIBRARIES)
def test_uninstall_under_patches(library: str) -> None:
    """Patches that came while rthread was installed stay, on the stock module."""
    uninstall = """
import sys, rthread
assert rthread.is_installed()
rthread.uninstall()
assert sys.modules["_thread"] is not rthread._rthread
assert rthread._rthread.allocate_lock is rthread.allocate_lock
"""
    assert run(library, "after", uninstall + GREEN) == run(library, "stock", GREEN)
    assert run(library, "before", uninstall + GREEN) == run(library, "stock", GREEN)
