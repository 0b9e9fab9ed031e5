"""What is timed and who takes part: one entry each."""

from __future__ import annotations

import _thread
import threading

import rthread
import rthread.threading
from rthread import _rthread

from .measure import Operation, Rival

STOCK = Rival("stock", {**vars(threading), **vars(_thread)})
RTHREAD = Rival("rthread", {**vars(rthread.threading), **vars(_rthread)})
RIVALS = [STOCK, RTHREAD]

OPERATIONS = [
    Operation(
        "lock: acquire + release",
        takes="allocate_lock",
        setup="lock = allocate_lock()",
        statement="lock.acquire(); lock.release()",
    ),
    Operation(
        "lock: `with`",
        takes="allocate_lock",
        setup="lock = allocate_lock()",
        statement="with lock: pass",
    ),
    Operation(
        "RLock: `with`",
        takes="RLock",
        setup="lock = RLock()",
        statement="with lock: pass",
    ),
    Operation(
        "RLock: `with`, already held",
        takes="RLock",
        setup="lock = RLock(); lock.acquire()",
        statement="with lock: pass",
    ),
    Operation(
        "lock: create",
        takes="allocate_lock",
        statement="allocate_lock()",
    ),
    Operation(
        "local: get",
        takes="_local",
        setup="local = _local(); local.name = 1",
        statement="local.name",
    ),
    Operation(
        "local: set",
        takes="_local",
        setup="local = _local()",
        statement="local.name = 1",
    ),
    Operation(
        "get_ident",
        takes="get_ident",
        statement="get_ident()",
    ),
    Operation(
        "Thread: start + join",
        takes="Thread",
        setup="def target(): pass",
        statement="thread = Thread(target=target); thread.start(); thread.join()",
        unroll=1,
    ),
    Operation(
        "start_new_thread, wait for its release",
        takes="start_new_thread, allocate_lock",
        setup="done = allocate_lock(); done.acquire()",
        statement="start_new_thread(done.release, ()); done.acquire()",
        unroll=1,
    ),
    Operation(
        "ping-pong: two threads, two locks",
        takes="start_new_thread, allocate_lock",
        setup="""\
            ping, pong, ended = allocate_lock(), allocate_lock(), allocate_lock()
            ping.acquire(), pong.acquire(), ended.acquire()
            playing = True
            def answer():
                while True:
                    ping.acquire()
                    if not playing:
                        break
                    pong.release()
                ended.release()
            start_new_thread(answer, ())
        """,
        statement="ping.release(); pong.acquire()",
        teardown="playing = False; ping.release(); ended.acquire()",
        unroll=10,
    ),
]
