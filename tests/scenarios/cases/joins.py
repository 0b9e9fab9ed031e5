"""Joining threads in all the ways there are, by many threads at once, and by one's successor."""

from __future__ import annotations

import sys
from collections.abc import Callable

from blocked_threads import wait_until_all_blocked
from chosen import say, threading

Scenario = Callable[[], object]
SCENARIOS: dict[str, Scenario] = {}


def scenario(function: Scenario) -> Scenario:
    SCENARIOS[function.__name__] = function
    return function


def join_by_many(rounds: int, all_wait_first: bool) -> None:
    problems: list[object] = []
    threading.excepthook = lambda hook_args: problems.append(hook_args.exc_value)
    joined = 0
    for _ in range(rounds):
        let_go = threading.Event()
        thread = threading.Thread(target=let_go.wait)
        thread.start()
        seen: list[bool] = []

        def join(thread: threading.Thread = thread, seen: list[bool] = seen) -> None:
            thread.join()
            seen.append(thread.is_alive())

        joiners = [threading.Thread(target=join) for _ in range(6)]
        for joiner in joiners:
            joiner.start()
        if all_wait_first:
            wait_until_all_blocked()
        let_go.set()
        for joiner in joiners:
            joiner.join()
        joined += seen.count(False)
    say("joined", joined, "problems", problems)


@scenario
def by_many() -> None:
    """All of them wait when the thread ends, and each has to see that it is over."""
    join_by_many(30, all_wait_first=True)


@scenario
def by_many_at_the_last_moment() -> None:
    """Some begin to wait in the very moment in which the thread ends and others go on."""
    join_by_many(600, all_wait_first=False)


@scenario
def by_its_successor() -> None:
    """A thread may join one that has had its ident before it."""
    outcomes: list[object] = []
    for _ in range(200):
        first = threading.Thread(target=int)
        first.start()
        first.join()

        def join(first: threading.Thread = first) -> None:
            if threading.get_ident() == first.ident:
                outcomes.append(first.join())

        second = threading.Thread(target=join)
        second.start()
        second.join()
        if outcomes:
            break
    say("joined one with the same ident:", outcomes)


@scenario
def oneself() -> None:
    def join() -> None:
        try:
            threading.current_thread().join()
        except RuntimeError as error:
            say(error)

    join()
    thread = threading.Thread(target=join)
    thread.start()
    thread.join()


@scenario
def with_time_outs() -> None:
    let_go = threading.Event()
    thread = threading.Thread(target=let_go.wait)
    try:
        thread.join(0)
    except RuntimeError as error:
        say(error)
    thread.start()
    for timeout in (0, -1, 0.001, 1e-9):
        say(timeout, thread.join(timeout), thread.is_alive())
    for bad in ("soon", float("nan"), 1e100):
        try:
            thread.join(bad)
        except (TypeError, ValueError, OverflowError) as error:
            say(type(error).__name__, error)
    let_go.set()
    say(thread.join(3600), thread.is_alive(), thread.join(), thread.join(0))


@scenario
def each_other() -> None:
    """Two threads that join each other go on when one of them gives up."""
    threads: list[threading.Thread] = []
    ready = threading.Event()

    def join(number: int, timeout: float | None) -> None:
        ready.wait()
        threads[1 - number].join(timeout)

    threads += [threading.Thread(target=join, args=args) for args in ((0, 0.01), (1, None))]
    for thread in threads:
        thread.start()
    ready.set()
    for thread in threads:
        thread.join()
    say("both over", not any(thread.is_alive() for thread in threads))


if __name__ == "__main__":
    SCENARIOS[sys.argv[1]]()
