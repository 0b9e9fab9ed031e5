"""Whether an object is consistent after an interrupted wait: wait for it anew, and be served."""

from __future__ import annotations

from blocked_threads import wait_until_all_blocked
from waits import Inconsistent, Wait
from worker_thread import WorkerThread

# By then whatever is over has ended, also where it takes a thread of a pool to do so.
SOON = 60.0


def check(wait: Wait, fresh: object, worker: WorkerThread) -> None:
    """Find out whether no waiter has been served, and the next two each are, once.

    One waits on the worker, the other on the calling thread.

    Args:
        wait: what it is all about; ready to be waited for, before and after.
        fresh: what its state was in the beginning.
        worker: a thread with nothing to do. No other thread may be running.

    Raises:
        Inconsistent: it was not so.
    """
    _compare("at first", wait.state(), fresh)
    _other_waits(wait, worker)
    _compare("after another thread's wait", wait.state(), fresh)
    _own_wait(wait, worker)
    _compare("after its own wait", wait.state(), fresh)


def _compare(when: str, found: object, wanted: object) -> None:
    if found != wanted:
        raise Inconsistent(f"{when}: {found}, not {wanted}")


def _other_waits(wait: Wait, worker: WorkerThread) -> None:
    worker.ask(lambda: wait.wait(wait.timeout))
    wait_until_all_blocked()
    if worker.has_answered():
        raise Inconsistent(f"another thread's wait ended early: {worker.answer()}")
    wait.serve()
    expect_served(worker)
    wait.rearm()


def expect_served(worker: WorkerThread) -> None:
    """
    Raises:
        Inconsistent: the wait that was asked for ends without having been served, or not at all.
    """
    try:
        served = worker.answer(SOON)
    except TimeoutError:
        raise Inconsistent("another thread waits on although it was served") from None
    if not served:
        raise Inconsistent("another thread's wait timed out although it was served")


def _own_wait(wait: Wait, worker: WorkerThread) -> None:
    about_to_serve = False

    def serve() -> None:
        nonlocal about_to_serve
        # The waiting thread is the only one that could run.
        wait_until_all_blocked()
        about_to_serve = True
        wait.serve()

    worker.ask(serve)
    served = wait.wait(wait.timeout)
    if not (served and about_to_serve):
        raise Inconsistent(f"own wait: served: {served}, by another: {about_to_serve}")
    worker.answer()
    wait.rearm()
