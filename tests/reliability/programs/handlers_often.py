"""Signal handlers that meddle with each wait of the main thread; signals to another one that waits.

The argument says how many tries there are; where they are fewer than the ways and the waits have
pairs, a second one chooses, which may be any word. The last line of the output is in JSON: how many
tries of each way there were, how many handlers ran, and what was wrong.
"""

from __future__ import annotations

import itertools
import json
import os
import random
import signal
import sys
import warnings
from collections.abc import Callable

from all_waits import WAITS
from blocked_threads import wait_until_all_blocked
from chosen import say
from consistency import SOON, check, expect_served
from signal_sender import Sender
from waits import Inconsistent, Wait
from worker_thread import WorkerThread

# From 3.12 on, and what is done here on purpose.
warnings.filterwarnings("ignore", ".*multi-threaded.*", DeprecationWarning)

# How often a thread is signalled in one wait.
SIGNALS = 3


class FromHandler(Exception):
    pass


class InChild(BaseException):
    """Raised by the handler in a child process, out of the wait."""


class Tries:
    """One object and what is done to the threads that wait for it."""

    def __init__(self, wait: Wait, sender: Sender, worker: WorkerThread) -> None:
        self.wait = wait
        self.handled = 0
        self._sender = sender
        self._worker = worker
        self._fresh = wait.state()
        self._serving = False

    def raises(self) -> None:
        """The handler raises."""

        def handler() -> None:
            raise FromHandler

        self._expect_raised(handler)

    def serves_and_raises(self) -> None:
        """What the handler gave before it raised is there for the next one."""

        def handler() -> None:
            self.wait.serve()
            raise FromHandler

        self._expect_raised(handler, then=self._take)

    def serves(self) -> None:
        """The handler ends the very wait that it interrupts."""
        served = self._interrupted(self.wait.serve)
        if not served:
            raise Inconsistent("the wait timed out although the handler served it")
        self.wait.rearm()
        self._check()

    def takes(self) -> None:
        """The handler waits for the same thing, in vain, and returns: the wait goes on."""

        def handler() -> None:
            self.wait.in_handler()
            self._worker.ask(self._serve)

        self._expect_served(handler)

    def forks(self) -> None:
        """The handler forks: the child can use the object, starts a thread, and ends clean."""
        status = None

        def handler() -> None:
            nonlocal status
            pid = os.fork()
            if pid == 0:
                raise InChild
            status = os.waitpid(pid, 0)[1]
            self._worker.ask(self._serve)

        try:
            self._expect_served(handler)
        except InChild:
            self._be_child()
        if status != 0:
            raise Inconsistent(f"the child ended with {status}")

    def hits_another(self) -> None:
        """Signals hit another thread in its wait, which goes on, and is served."""
        self._worker.ask(lambda: self.wait.wait(self.wait.timeout))
        for _ in range(SIGNALS):
            wait_until_all_blocked()
            signal.pthread_kill(self._worker.ident, signal.SIGUSR2)
        wait_until_all_blocked()
        if self._worker.has_answered():
            raise Inconsistent(f"a signal ended another thread's wait: {self._worker.answer()}")
        self.wait.serve()
        expect_served(self._worker)
        self.wait.rearm()
        self._check()

    def _interrupted(self, handler: Callable[[], object]) -> bool:
        """Wait, with a handler to run meanwhile; whether it was served."""

        def handle(*_: object) -> None:
            self.handled += 1
            handler()

        signal.signal(signal.SIGUSR1, handle)
        self._sender.ask_for("SIGUSR1")
        try:
            return self.wait.wait(self.wait.timeout)
        finally:
            # A child comes by here too; what is in the pipe is its parent's.
            if not isinstance(sys.exc_info()[1], InChild):
                self._sender.sent_at()

    def _expect_raised(
        self, handler: Callable[[], object], then: Callable[[], object] = lambda: None
    ) -> None:
        try:
            served = self._interrupted(handler)
        except FromHandler:
            then()
            self.wait.after_interrupt()
            self._check()
        else:
            raise Inconsistent(f"the handler's exception is lost, served: {served}")

    def _serve(self) -> None:
        """On the worker: when the main thread is back in its wait."""
        wait_until_all_blocked()
        self._serving = True
        self.wait.serve()

    def _expect_served(self, handler: Callable[[], object]) -> None:
        self._serving = False
        if not self._interrupted(handler):
            raise Inconsistent("the wait timed out although it was served")
        if not self._serving:
            raise Inconsistent("the handler ended the wait")
        self._worker.answer()
        self.wait.rearm()
        self._check()

    def _take(self) -> None:
        if not self.wait.wait(SOON):
            raise Inconsistent("what the handler did is lost")
        self.wait.rearm()

    def _check(self) -> None:
        check(self.wait, self._fresh, self._worker)

    def _be_child(self) -> None:
        """Does not return. What goes wrong is seen by the exit status, and on standard error."""
        self.wait.in_child()
        worker = WorkerThread()
        check(self.wait, self._fresh, worker)
        worker.end()
        sys.exit()


WAYS: dict[str, Callable[[Wait], bool]] = {
    "raises": lambda wait: True,
    "serves_and_raises": lambda wait: wait.keeps,
    "serves": lambda wait: True,
    "takes": lambda wait: True,
    "forks": lambda wait: wait.forks and hasattr(os, "fork"),
    "hits_another": lambda wait: True,
}


class Report:
    """What is printed: its attributes."""

    def __init__(self) -> None:
        self.tries = dict.fromkeys(WAYS, 0)
        self.handled = 0
        self.wrong: list[str] = []

    def others(self, *_: object) -> None:
        self.handled += 1

    def add(self, name: str, ways: list[str], sender: Sender) -> None:
        """Try these ways with one object, in this order."""
        wait, worker = WAITS[name](), WorkerThread()
        tries = Tries(wait, sender, worker)
        way = ""
        try:
            for way in ways:
                if WAYS[way](wait):
                    getattr(tries, way)()
                    self.tries[way] += 1
            wait.end()
            worker.end()
        except Inconsistent as error:
            # The worker may be in a wait that no thread ends any more.
            self.wrong.append(f"{name}, {way}: {error}")
        self.handled += tries.handled


def plan(count: int, word: str) -> dict[str, list[str]]:
    """Which ways to try with each wait: all as often, but for the rest, which `word` chooses."""
    pairs = list(itertools.product(WAITS, WAYS))
    often, rest = divmod(count, len(pairs))
    chosen = pairs * often + random.Random(word).sample(pairs, rest)
    return {name: [way for found, way in chosen if found == name] for name in WAITS}


def main() -> None:
    report = Report()
    signal.signal(signal.SIGUSR2, report.others)
    with Sender() as sender:
        for name, ways in plan(int(sys.argv[1]), sys.argv[2]).items():
            report.add(name, ways, sender)
    say(json.dumps(vars(report)))
    if report.wrong:
        # Threads that wait in vain would keep this process from ending.
        os._exit(0)


if __name__ == "__main__":
    main()
