"""Forks in the moments in which threads begin and end."""

from __future__ import annotations

import sysconfig

import pytest

from behaviour.fork_with_threads import both, check
from fork_snippets import needs_fork

pytestmark = needs_fork

both_where_stock_can = pytest.mark.parametrize(
    "module",
    [
        pytest.param(
            "_thread",
            marks=pytest.mark.skipif(
                bool(sysconfig.get_config_var("Py_GIL_DISABLED")),
                reason="stock clears the state of a thread that ends once more, and crashes",
            ),
        ),
        "rthread",
    ],
)


@both_where_stock_can
def test_fork_while_threads_start_and_end(module: str) -> None:
    """Every table has to be whole whenever the fork comes."""
    check(
        module,
        """
stop = False
local, key = api._local(), rthread.TSS()
key.create()
def once():
    local.x = key
    key.set(local)
    rthread._set_sentinel()
def churn():
    while not stop:
        api.start_new_thread(once, ())
        if hasattr(api, "start_joinable_thread"):
            api.start_joinable_thread(once).join()
        while api._count() > 20 and not stop:
            time.sleep(0)
for _ in range(2):
    thread(churn)
def child():
    global stop
    stop = True
    once()
    use(api.allocate_lock())
    if hasattr(api, "start_joinable_thread"):
        api.start_joinable_thread(once).join()
    key.delete()
    gc.collect()
for _ in range(15):
    assert in_child(child) == 0
stop = True
print("fine")
""",
    )


@both
def test_fork_by_what_an_end_destroys(module: str) -> None:
    check(
        module,
        """
statuses = []
def child():
    use(api.allocate_lock())
    assert in_child(lambda: use(api.allocate_lock())) == 0
class Forks:
    def __del__(self):
        statuses.append(in_child(child))
local = api._local()
def run():
    local.value = Forks()
for count in 1, 2:
    api.start_new_thread(run, ())
    while len(statuses) < count:
        time.sleep(0.001)
assert statuses == [0, 0]
assert in_child(child) == 0
print("fine")
""",
    )


@both
def test_fork_while_what_an_end_destroys_waits_for_it(module: str) -> None:
    """A fork that waits for threads that end does not do so for ever."""
    check(
        module,
        """
lock = api.allocate_lock()
lock.acquire()
events = []
class Waits:
    def __del__(self):
        events.append("waits")
        events.append(lock.acquire(True, 60))
local = api._local()
def run():
    local.value = Waits()
api.start_new_thread(run, ())
while not events:
    time.sleep(0.001)
assert in_child(lambda: use(api.allocate_lock())) == 0
assert events == ["waits"]
lock.release()
while len(events) < 2:
    time.sleep(0.001)
assert events == ["waits", True]
print("fine")
""",
    )


@pytest.mark.parametrize("give", ["local.value = {}", "key.set({})"])
def test_fork_while_a_value_is_dropped(give: str) -> None:
    """Nothing is locked meanwhile that a thread waits for, and that is not released in the child.

    Without a GIL a dict would be: its lock is handed over to a thread that waits for it, which the
    fork keeps from hearing of that.
    """
    check(
        "rthread",
        f"""
local, key = api._local(), rthread.TSS()
key.create()
events = []
class Slow:
    def __del__(self):
        events.append("dropped")
        end = time.monotonic() + 60
        while "forked" not in events and time.monotonic() < end:
            pass
def first():
    {give.format("Slow()")}
def second():
    {give.format(2)}
    events.append("set")
def child():
    {give.format(3)}
    assert key.get() == 3 or local.value == 3
    key.delete()
api.start_new_thread(first, ())
while "dropped" not in events:
    time.sleep(0.001)
api.start_new_thread(second, ())
end = time.monotonic() + 1
while "set" not in events and time.monotonic() < end:
    time.sleep(0.001)
assert in_child(child) == 0
events.append("forked")
while "set" not in events:
    time.sleep(0.001)
print("fine")
""",
    )
