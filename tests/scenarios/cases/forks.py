"""`os.fork()` in a program whose other threads hold and wait for all kinds of things.

The argument names what the child does. It says what it finds, ends, and the parent adds how; the
parent's own threads must not notice anything.
"""

from __future__ import annotations

import os
import queue
import sys
import warnings
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from blocked_threads import wait_until_all_blocked
from chosen import low_level, say, threading

Check = Callable[["Threads"], object]
CHECKS: dict[str, Check] = {}


def check(function: Check) -> Check:
    CHECKS[function.__name__] = function
    return function


class Threads:
    """Threads that hold a lock each, wait for one, and wait for one another."""

    def __init__(self) -> None:
        self.let_go = threading.Event()
        self.lock = threading.Lock()
        self.rlock = threading.RLock()
        self.condition = threading.Condition()
        self.never_started = threading.Thread(target=say, args=("never started runs",))
        self.ended = threading.Thread(target=int)
        self.ended.start()
        self.ended.join()
        self.blocked = [
            threading.Thread(target=self.hold, name="holder"),
            threading.Thread(target=self.wait_on_condition, name="waiter"),
            threading.Thread(target=self.let_go.wait, name="daemon", daemon=True),
        ]
        for thread in self.blocked:
            thread.start()
        self.blocked.append(threading.Thread(target=self.blocked[0].join, name="joiner"))
        self.blocked[-1].start()
        wait_until_all_blocked()

    def hold(self) -> None:
        with self.lock, self.rlock:
            self.let_go.wait()

    def wait_on_condition(self) -> None:
        with self.condition:
            self.condition.wait()

    def end(self) -> None:
        self.let_go.set()
        with self.condition:
            self.condition.notify_all()
        for thread in self.blocked:
            thread.join()


def names() -> list[str]:
    return sorted(thread.name for thread in threading.enumerate())


def run_thread(function: Callable[[], object], daemon: bool = False) -> None:
    thread = threading.Thread(target=function, name="of the child", daemon=daemon)
    thread.start()
    thread.join()
    say("joined", thread.is_alive())


@check
def only_one_is_left(threads: Threads) -> None:
    say(names(), threading.active_count())
    main = threading.current_thread()
    say(main is threading.main_thread(), main.name, main.is_alive(), main.daemon)
    say(main.ident == threading.get_ident(), main.native_id == os.getpid())


@check
def dead_threads_can_be_joined(threads: Threads) -> None:
    for thread in [*threads.blocked, threads.ended]:
        say(thread.name, thread.is_alive(), thread.join(), thread.join(timeout=3600))


@check
def new_threads(threads: Threads) -> None:
    run_thread(lambda: say(names(), threading.current_thread().name))
    run_thread(lambda: run_thread(lambda: say("nested", names())))
    run_thread(lambda: say("a daemon", threading.current_thread().daemon), daemon=True)
    done = threading.Lock()
    done.acquire()
    low_level.start_new_thread(done.release, ())
    say("bare", done.acquire())


@check
def thread_not_started(threads: Threads) -> None:
    threads.never_started.start()
    threads.never_started.join()
    say(threads.never_started.is_alive())


@check
def locks(threads: Threads) -> None:
    """A lock that a dead thread holds stays taken; any thread may free it. New ones are free."""
    say(threads.lock.locked(), threads.lock.acquire(False), threads.lock.acquire(timeout=0.01))
    threads.lock.release()
    say(threads.lock.acquire(), threads.lock.locked())
    say(threads.rlock.acquire(False), threads.rlock._is_owned())
    threads.rlock._at_fork_reinit()
    say(threads.rlock.acquire(False), threads.rlock._is_owned())
    mine: Any = threading.Lock()
    mine.acquire()
    mine._at_fork_reinit()
    say(mine.locked())


@check
def hand_over(threads: Threads) -> None:
    """Waiting between threads of the child, with nothing left of the parent's waiters."""
    questions: queue.Queue[int] = queue.Queue()
    answers: queue.Queue[int] = queue.Queue()

    def answer() -> None:
        for _ in range(20):
            answers.put(questions.get() + 1)

    def ask() -> None:
        number = 0
        for _ in range(20):
            questions.put(number)
            number = answers.get()
        say("counted to", number)

    thread = threading.Thread(target=answer)
    thread.start()
    ask()
    thread.join()
    condition = threading.Condition()
    with condition:
        say("not notified", condition.wait(0.01))


@check
def pool(threads: Threads) -> None:
    with ThreadPoolExecutor(4) as executor:
        say(list(executor.map(abs, range(-3, 3))))


@check
def thread_local(threads: Threads) -> None:
    values = threading.local()
    values.mine = "the main thread's"
    run_thread(lambda: say(hasattr(values, "mine")))
    say(values.mine)


@check
def fork_again(threads: Threads) -> None:
    run_thread(lambda: say("child"))
    in_child(lambda: run_thread(lambda: say("grandchild", names())))


@check
def left_running(threads: Threads) -> None:
    """The child waits for its own threads at its end, and for them only."""
    go = threading.Event()

    def late() -> None:
        go.wait()
        say("ran on")

    threading.Thread(target=late).start()
    threading.Thread(target=threading.Event().wait, daemon=True).start()
    go.set()


@check
def from_another_thread(threads: Threads) -> None:
    """The fork itself is made by a thread that is not the main one, and becomes it."""
    main = threading.main_thread()
    say(main is threading.current_thread(), main.name, names(), main.is_alive())
    say(main.ident == threading.get_ident())
    run_thread(lambda: say("a thread", names()))


@check
def holding_it(threads: Threads) -> None:
    """The forking thread holds locks, and so holds them in the child too."""
    say(lock_of_main.locked(), rlock_of_main._is_owned())
    rlock_of_main.release()
    say(rlock_of_main._is_owned())
    lock_of_main.release()
    run_thread(lambda: say(lock_of_main.acquire(False), rlock_of_main.acquire(False)))


lock_of_main = threading.Lock()
rlock_of_main = threading.RLock()


def in_child(function: Callable[[], object]) -> None:
    """Fork, run `function` in the child to the end of its interpreter, and say how that was."""
    pid = os.fork()
    if pid == 0:
        function()
        # Not os._exit(): the end is part of what is tried.
        sys.exit(7)
    say("child ended with", os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))


def main() -> None:
    # Fork is not to be recommended here, as 3.12 and later say.
    warnings.simplefilter("ignore", DeprecationWarning)
    name = sys.argv[1]
    threads = Threads()

    def work() -> None:
        in_child(lambda: CHECKS[name](threads))

    if name == "holding_it":
        lock_of_main.acquire()
        rlock_of_main.acquire()
        work()
        say(lock_of_main.locked(), rlock_of_main._is_owned())
    elif name == "from_another_thread":
        thread = threading.Thread(target=work, name="the one that forks")
        thread.start()
        thread.join()
    else:
        work()
    threads.end()
    say("parent", names())


if __name__ == "__main__":
    main()
