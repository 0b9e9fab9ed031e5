"""Servers with a thread for each client, under many clients at once."""

from __future__ import annotations

import contextlib
import os
import re
import socket
from pathlib import Path

import pytest

from programs.drive import ENGINES, running
from scenarios.cases.blocked_threads import wait_until_all_blocked
from support import HANG, wait_until

REQUESTS = 200
CLIENTS = 40


def connect(port: int) -> socket.socket:
    return socket.create_connection(("127.0.0.1", port), timeout=HANG)


@pytest.mark.parametrize("engine", ENGINES)
def test_web_server_under_concurrent_requests(engine: str, tmp_path: Path) -> None:
    """`python -m http.server`, which is a ThreadingHTTPServer; all requests are in at once."""
    (tmp_path / "page.txt").write_text("the page\n" * 1000)
    arguments = ("--bind", "127.0.0.1", "--directory", str(tmp_path), "0")
    with running(engine, "-m", "http.server", *arguments) as program:
        announced = re.search(r"port (\d+)", program.hear())
        assert announced is not None
        with contextlib.ExitStack() as stack:
            clients = []
            for number in range(REQUESTS):
                clients.append(stack.enter_context(connect(int(announced[1]))))
                # Not ahead of the server: few may queue up at its door.
                wait_for_threads(program.process.pid, number + 2)
            for client in clients:
                client.sendall(b"GET /page.txt HTTP/1.0\r\n\r\n")
            for client in clients:
                with client.makefile("rb") as answer:
                    head, _, body = answer.read().partition(b"\r\n\r\n")
                assert head.startswith(b"HTTP/1.0 200 OK")
                assert body == b"the page\n" * 1000
        # While threads end, Python code runs in callbacks, and they swallow a KeyboardInterrupt.
        wait_until_all_blocked(program.process.pid)
        program.interrupt()

    assert program.err.count('"GET /page.txt HTTP/1.0" 200 -\n') == REQUESTS
    assert program.err.count("\n") == REQUESTS
    assert (program.status, program.out) == (0, "\nKeyboard interrupt received, exiting.\n")
    assert program.ran_on(engine)
    assert program.threads == REQUESTS


def wait_for_threads(pid: int, count: int) -> None:
    tasks = f"/proc/{pid}/task"
    if os.path.isdir(tasks):
        wait_until(lambda: len(os.listdir(tasks)) == count, f"{count} threads")


@pytest.mark.parametrize("engine", ENGINES)
def test_tcp_server_keeps_its_books(engine: str) -> None:
    with running(engine, "bank.py") as program:
        port = int(program.hear())
        with contextlib.ExitStack() as stack:
            clients = [
                stack.enter_context(stack.enter_context(connect(port)).makefile("rw"))
                for _ in range(CLIENTS)
            ]
            answers = []
            for _ in range(10):
                for number, client in enumerate(clients):
                    client.write(f"pay common 1\nmove common private{number} 1\nall\n")
                    client.flush()
                answers += [[client.readline() for _ in range(3)] for client in clients]
        with connect(port) as last:
            last.sendall(b"pay common x y\nclose\n")
            with last.makefile() as answer:
                assert answer.read() == "what?\n"

    paid, moved, totals = zip(*answers, strict=True)
    assert all(int(amount) > 0 for amount in paid)
    assert set(moved) == {"moved\n"}
    assert max(map(int, totals)) == 10 * CLIENTS
    assert program.out == f"closed with {10 * CLIENTS}\n"
    assert (program.status, program.err) == (0, "")
    assert program.ran_on(engine)
    assert program.threads == CLIENTS + 1


@pytest.mark.parametrize("engine", ENGINES)
def test_asynchronous_server_with_work_in_threads(engine: str) -> None:
    with running(engine, "async_sums.py") as program:
        port = int(program.hear())
        with contextlib.ExitStack() as stack:
            clients = [
                stack.enter_context(stack.enter_context(connect(port)).makefile("rw"))
                for _ in range(CLIENTS)
            ]
            for number, client in enumerate(clients):
                client.write(f"client{number}\n1 2 {number}\n{number} 1\n")
                client.flush()
            for number, client in enumerate(clients):
                assert client.readline() == f"client{number} {3 + number} True\n"
                assert client.readline() == f"client{number} {1 + number} True\n"
            clients[0].write("stop\n")
            clients[0].flush()
            assert clients[0].read() == ""

    assert (program.status, program.out, program.err) == (0, "stopped\n", "")
    assert program.ran_on(engine)
    # One of its own, and at least one to work.
    assert program.threads >= 2
