"""Sources of programs with a planted fault, for processes of their own.

Each program is put on rthread, and imports `debug`. Its threads are daemons, so that it ends
although they are stuck. Nothing in it waits for a time: it polls, under a watchdog.
"""

from __future__ import annotations

import textwrap

PRELUDE = """
import os, sys, threading, time, rthread
rthread.install()
from rthread import debug

def until(condition):
    deadline = time.monotonic() + 60
    while not condition():
        if time.monotonic() > deadline:
            debug.dump()
            os._exit(3)
        time.sleep(0.002)

def start(name, function, *args):
    thread = threading.Thread(target=function, args=args, name=name, daemon=True)
    thread.start()
    return thread

outcomes = {}

def tell(function, *args):
    # Runs a function of a thread, and keeps how it ends.
    name = threading.current_thread().name
    try:
        function(*args)
        outcomes[name] = "done"
    except debug.DeadlockError as error:
        outcomes[name] = error

def found():
    return debug.find_deadlocks()
"""

# Two threads take two locks in opposite order.
TWO_LOCKS = """
a = threading.Lock()
b = threading.Lock()
meeting = threading.Barrier(2)

def take(first, second):
    with first:
        meeting.wait()
        with second:
            pass

inner_line = take.__code__.co_firstlineno + 3
threads = [start("one", tell, take, a, b), start("two", tell, take, b, a)]
"""

# Three threads in a ring, one of the locks an RLock.
THREE_THREADS = """
locks = [threading.Lock(), threading.RLock(), threading.Lock()]
red, green, blue = locks
meeting = threading.Barrier(3)

def take(first, second):
    with first:
        meeting.wait()
        with second:
            pass

names = ("one", "two", "three")
threads = [start(name, tell, take, locks[i], locks[i - 1]) for i, name in enumerate(names)]
"""

# The joined thread needs the RLock of the thread that joins it.
JOIN_WITH_RLOCK = """
guard = threading.RLock()
taken = threading.Event()

def need():
    taken.wait()
    with guard:
        pass

def join(thread):
    with guard:
        taken.set()
        thread.join()

worker = start("worker", tell, need)
joiner = start("joiner", tell, join, worker)
threads = [worker, joiner]
"""

TWICE = """
once = threading.Lock()

def take_twice():
    with once:
        with once:
            pass

threads = [start("one", tell, take_twice)]
"""

# One thread takes the lock of a condition and needs a lock, the other one the other way round.
CONDITION_AND_LOCK = """
changed = threading.Condition()
table = threading.Lock()
meeting = threading.Barrier(2)

def notify():
    with changed:
        meeting.wait()
        with table:
            changed.notify()

def change():
    with table:
        meeting.wait()
        with changed:
            pass

threads = [start("notifier", tell, notify), start("changer", tell, change)]
"""

# Like TWO_LOCKS, but any thread could release these locks.
BARE_ACQUIRE = """
a = threading.Lock()
b = threading.Lock()
meeting = threading.Barrier(2)

def take(first, second):
    first.acquire()
    meeting.wait()
    second.acquire()

threads = [start("one", tell, take, a, b), start("two", tell, take, b, a)]
"""


def program(*parts: str) -> str:
    """The source of a program.

    Args:
        parts: sources that come after the prelude; they may be indented.
    """
    return "\n".join([PRELUDE, *map(textwrap.dedent, parts)])
