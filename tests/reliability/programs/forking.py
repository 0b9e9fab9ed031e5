"""Forks again and again, while threads hold, wait for and use objects of all kinds.

Arguments: how many forks, and what forks: "main" for the main thread, "other" for another thread,
"child" for a child of a fork. Each child tries everything. The last line says how often what
happened, in JSON.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import tempfile
import time
import traceback
import warnings
from collections import Counter
from collections.abc import Callable
from typing import IO

# For what they add to CASES.
import fork_locks  # noqa: F401
import fork_queues_and_threads  # noqa: F401
from chosen import say, threading
from fork_kit import CASES, Check, called

# Far longer than a child takes on a machine with a hundred threads that want to run.
HANG = 300.0


def main() -> None:
    # Fork is not to be recommended here, as 3.12 and later say.
    warnings.simplefilter("ignore", DeprecationWarning)
    count, forker = int(sys.argv[1]), sys.argv[2]
    # So that threads that are not blocked meet a fork at many points.
    sys.setswitchinterval(0.0002)
    checks = {name: make() for name, make in CASES.items()}
    let_children_run()
    counts: Counter[str] = Counter(forks=0, status=0, spoke=0, hung=0)

    def fork_all() -> None:
        for number in range(count):
            try_one(checks, ends_itself=number % 2 == 0 and forker != "other", counts=counts)

    if forker == "other":
        thread = threading.Thread(target=fork_all)
        thread.start()
        thread.join()
    elif forker == "child":
        with tempfile.TemporaryFile("w+") as answer:
            status, err = ended(lambda: grandchildren(fork_all, counts, answer), count * HANG)
            answer.seek(0)
            if status != 0 or err:
                say("the child that forks ended with", status, err)
            counts.update(json.load(answer))
        counts["status"] += status != 0
        counts["spoke"] += err != ""
    else:
        fork_all()
    say(json.dumps(counts))
    # Threads that start others would be told that it is too late. What becomes of all the threads
    # at the end of an interpreter is another proof's business.
    os._exit(0)


def let_children_run() -> None:
    """Lower the priority of all threads but this one, which makes the children or their maker.

    Without a GIL a child would compete with a hundred busy threads, and take seconds.
    """
    if sys.platform == "linux":
        own = threading.get_native_id()
        for name in os.listdir("/proc/self/task"):
            try:
                if int(name) != own:
                    os.setpriority(os.PRIO_PROCESS, int(name), 15)
            except ProcessLookupError:
                # It has ended.
                pass


def grandchildren(fork_all: Callable[[], None], counts: Counter[str], answer: IO[str]) -> None:
    """In a child: fork on, with threads of its own around."""
    waiting = threading.Event()
    threading.Thread(target=waiting.wait, daemon=True).start()
    fork_all()
    json.dump(counts, answer)
    answer.flush()
    os._exit(0)


def try_one(checks: dict[str, Check], ends_itself: bool, counts: Counter[str]) -> None:
    def child() -> None:
        for name, check in checks.items():
            try:
                check()
            except Exception as error:
                raise AssertionError(name) from error
        assert called(int) == 0
        if not ends_itself:
            os._exit(0)

    status, err = ended(child)
    counts["forks"] += 1
    counts["hung"] += status is None
    counts["status"] += status not in (0, None)
    counts["spoke"] += err != ""
    if status != 0 or err:
        say("child", counts["forks"], "ended with", status, err)


def ended(function: Callable[[], None], hang: float = HANG) -> tuple[int | None, str]:
    """Call it in a child, which then goes on to the end of its interpreter.

    Args:
        function: what the child does.
        hang: seconds after which it counts as hung.

    Returns:
        The child's status, None if it hung, and what it wrote to its standard error.
    """
    with tempfile.TemporaryFile("w+", errors="backslashreplace") as err:
        pid = os.fork()
        if pid == 0:
            os.dup2(err.fileno(), 2)
            try:
                function()
            except Exception:
                traceback.print_exc()
                sys.stderr.flush()
                os._exit(1)
            # Through all frames below, and through the interpreter's own end.
            sys.exit(0)
        status = wait_for(pid, hang)
        err.seek(0)
        return status, err.read()


def wait_for(pid: int, hang: float) -> int | None:
    deadline = time.monotonic() + hang
    while time.monotonic() < deadline:
        found, status = os.waitpid(pid, os.WNOHANG)
        if found:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.001)
    # faulthandler, switched on by the environment, answers this one.
    os.kill(pid, signal.SIGABRT)
    time.sleep(1)
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    return None


if __name__ == "__main__":
    main()
