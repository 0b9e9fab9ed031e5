"""Processes for the tests of the view from outside: what runs in them, and how to look at them."""

from __future__ import annotations

import contextlib
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import support

# What the programs below begin with. A program says "ready" when its threads are on their way, and
# ends when its standard input does.
PRELUDE = """\
import os, sys, time
import rthread
rthread.install(queue=True)
import queue, threading

def start(function, *args, name=None):
    thread = threading.Thread(target=function, args=args, name=name, daemon=True)
    thread.start()
    return thread

def ready(*words):
    print("ready", *words, flush=True)

def wait_for_the_end():
    sys.stdin.readline()
    os._exit(0)
"""

TWO_LOCKS = """
a, b = threading.Lock(), threading.Lock()
barrier = threading.Barrier(2)

def take(first, second):
    with first:
        barrier.wait()
        with second:
            pass

one = start(take, a, b, name="one")
two = start(take, b, a, name="two")
ready(one.native_id, two.native_id)
wait_for_the_end()
"""


class Target:
    """A process to look at.

    Attributes:
        process: the process.
        pid: its number.
        words: what it has said behind "ready".
    """

    def __init__(self, process: subprocess.Popen[str], words: list[str]) -> None:
        self.process = process
        self.pid = process.pid
        self.words = words

    def numbers(self) -> list[int]:
        """What it has said, as numbers."""
        return [int(word) for word in self.words]


@contextlib.contextmanager
def target(
    source: str,
    *,
    prelude: str = PRELUDE,
    env: Mapping[str, str] | None = None,
    command: tuple[str, ...] = (),
) -> Iterator[Target]:
    """A process that runs `source`, from when it is ready; it is killed at the end.

    Args:
        source: the program.
        prelude: what it begins with.
        env: variables to add to this process's own.
        command: what to put before the command that runs it.
    """
    code = prelude + textwrap.dedent(source)
    process = subprocess.Popen(
        [*command, sys.executable, "-c", code],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=support._child_environment({"RTHREAD_DEADLOCKS": "off", **(env or {})}),
    )
    assert process.stdout is not None
    try:
        words = process.stdout.readline().split()
        assert words[:1] == ["ready"], words
        yield Target(process, words[1:])
    finally:
        process.kill()
        process.communicate()


def run_debug(*argv: str, **options: Any) -> subprocess.CompletedProcess[str]:
    """Run ``python -m rthread.debug``."""
    return support.run_python("-m", "rthread.debug", *argv, **options)


def wait_until_seen(look: Callable[[], Any], condition: Callable[[Any], object]) -> Any:
    """Look again and again until what is seen meets a condition; gives the last look."""
    seen: list[Any] = []

    def meets() -> object:
        seen[:] = [look()]
        return condition(seen[0])

    support.wait_until(meets, "what is to be seen")
    return seen[0]
