"""Starting threads, and what two threads hand to each other."""

from __future__ import annotations

from ..measure import Operation

# A server in a thread, which answers each request in a thread of its own; and its client.
SERVER = """\
import socket
server = Server()
address = server.server_address
serving = Thread(target=server.serve_forever, args=(0.01,))
serving.start()
def ask():
    with socket.create_connection(address) as client:
        client.sendall(b"GET / HTTP/1.0\\r\\n\\r\\n")
        while client.recv(4096):
            pass
"""
REQUEST = "ask()"
END = "server.shutdown(); serving.join(); server.server_close()"

OPERATIONS = [
    Operation(
        "Thread: start + join",
        takes="Thread",
        setup="def target(): pass",
        statement="thread = Thread(target=target); thread.start(); thread.join()",
        unroll=1,
    ),
    Operation(
        "Thread: start + join, reused",
        takes="Thread, keep_threads",
        setup="keep_threads(8)\ndef target(): pass",
        statement="thread = Thread(target=target); thread.start(); thread.join()",
        teardown="keep_threads(0)",
        unroll=1,
    ),
    Operation(
        "ThreadingHTTPServer: a request",
        takes="Server, Thread",
        setup=SERVER,
        statement=REQUEST,
        teardown=END,
        unroll=1,
    ),
    Operation(
        "ThreadingHTTPServer: a request, threads reused",
        takes="Server, Thread, keep_threads",
        setup=f"keep_threads(8)\n{SERVER}",
        statement=REQUEST,
        teardown=f"{END}\nkeep_threads(0)",
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
    Operation(
        "ping-pong: two threads, one Condition",
        takes="start_new_thread, allocate_lock, Condition",
        setup="""\
            turned, ended = Condition(), allocate_lock()
            ended.acquire()
            turn = "ask"
            def answer():
                nonlocal turn
                with turned:
                    while turn != "over":
                        if turn == "answer":
                            turn = "ask"
                            turned.notify()
                        turned.wait()
                ended.release()
            start_new_thread(answer, ())
        """,
        statement="""\
            with turned:
                turn = "answer"
                turned.notify()
                while turn == "answer":
                    turned.wait()
        """,
        teardown="""\
            with turned:
                turn = "over"
                turned.notify()
            ended.acquire()
        """,
        unroll=10,
    ),
    Operation(
        "ping-pong: two threads, two events",
        takes="start_new_thread, allocate_lock, Event",
        setup="""\
            ping, pong, ended = Event(), Event(), allocate_lock()
            ended.acquire()
            playing = True
            def answer():
                while True:
                    ping.wait()
                    ping.clear()
                    if not playing:
                        break
                    pong.set()
                ended.release()
            start_new_thread(answer, ())
        """,
        statement="ping.set(); pong.wait(); pong.clear()",
        teardown="playing = False; ping.set(); ended.acquire()",
        unroll=10,
    ),
    Operation(
        "ping-pong: two threads, two queues",
        takes="start_new_thread, allocate_lock, Queue",
        setup="""\
            ping, pong, ended = Queue(), Queue(), allocate_lock()
            ended.acquire()
            def answer():
                while ping.get():
                    pong.put(True)
                ended.release()
            start_new_thread(answer, ())
        """,
        statement="ping.put(True); pong.get()",
        teardown="ping.put(False); ended.acquire()",
        unroll=10,
    ),
    Operation(
        "Barrier of two: a round",
        takes="start_new_thread, allocate_lock, Barrier, BrokenBarrierError",
        setup="""\
            barrier, ended = Barrier(2), allocate_lock()
            ended.acquire()
            def meet():
                try:
                    while True:
                        barrier.wait()
                except BrokenBarrierError:
                    ended.release()
            start_new_thread(meet, ())
        """,
        statement="barrier.wait()",
        # The other one may still be on its way out of the last round; it breaks either way.
        teardown="barrier.abort(); ended.acquire()",
        unroll=10,
    ),
]
