"""What is left of thread handles in the child of a fork."""

from __future__ import annotations

import pytest

from behaviour.fork_with_threads import both, check
from fork_snippets import needs_fork
from support import stock

pytestmark = [
    needs_fork,
    pytest.mark.skipif(
        not hasattr(stock(), "_ThreadHandle"), reason="_thread._ThreadHandle is new in 3.13"
    ),
]


@both
@pytest.mark.parametrize("daemon", [True, False])
def test_handles_of_other_threads_are_done_in_the_child(module: str, daemon: bool) -> None:
    """Those of other threads are done, and `_shutdown` does not wait for them."""
    check(
        module,
        f"""
stay = api.allocate_lock()
stay.acquire()
running = api.start_joinable_thread(stay.acquire, daemon={daemon})
ended = api.start_joinable_thread(lambda: None)
ended.join()
def child():
    assert running.is_done()
    running.join()
    running.join(0)
    ended.join()
    ran = []
    api.start_joinable_thread(lambda: ran.append(1), daemon=False).join()
    assert ran == [1]
    api._shutdown()
assert in_child(child) == 0
assert not running.is_done()
stay.release()
running.join()
print("fine")
""",
    )


def test_handle_that_is_not_started() -> None:
    """It can be started on both sides. The stock module of 3.13.0 takes it for done."""
    check(
        "rthread",
        """
fresh = api._ThreadHandle()
ran = []
def start():
    assert not fresh.is_done()
    assert api.start_joinable_thread(lambda: ran.append(1), handle=fresh) is fresh
    fresh.join()
    assert ran == [1]
assert in_child(start) == 0
start()
print("fine")
""",
    )


@both
def test_handle_with_joiners(module: str) -> None:
    """Joiners at the time of the fork are gone in the child, and go on in the parent."""
    check(
        module,
        """
stay = api.allocate_lock()
stay.acquire()
running = api.start_joinable_thread(stay.acquire)
joined = []
def join():
    running.join()
    joined.append(1)
for _ in range(3):
    thread(join)
def child():
    assert running.is_done()
    running.join()
    assert joined == []
assert in_child(child) == 0
assert joined == []
stay.release()
running.join()
while len(joined) < 3:
    time.sleep(0.001)
print("fine")
""",
    )


@both
def test_handle_of_the_forking_thread(module: str) -> None:
    """It is not done in the child: the thread goes on there, and cannot join itself."""
    check(
        module,
        """
statuses = []
def child():
    assert not handle.is_done()
    try:
        handle.join()
    except RuntimeError as error:
        assert "Cannot join current thread" in str(error), error
    else:
        raise AssertionError("joined itself")
def fork():
    ready.acquire()
    statuses.append(in_child(child))
ready = api.allocate_lock()
ready.acquire()
handle = api.start_joinable_thread(fork)
ready.release()
handle.join()
assert statuses == [0]
print("fine")
""",
    )
