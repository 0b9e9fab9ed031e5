"""A class that is called Thread, and has attributes of `threading.Thread`, is another one."""

from __future__ import annotations

import pytest

import support

LOOK_ALIKE = """
    import _thread, threading
    if {ours}:
        import rthread
        rthread.install()

    class Thread:
        def __init__(self):
            self._started = threading.Event()
            self.go = threading.Event()
            self.over = threading.Event()

        def _bootstrap(self):
            self.go.wait()
            if {says}:
                self._started.set()
            self.over.set()

    {derived}
    thread = Kind()
    _thread.{start}
    print("started", thread._started.is_set())
    thread.go.set()
    thread.over.wait()
    while _thread._count():
        pass
    print("over", thread._started.is_set(), thread._started.wait(0.01))
"""


@pytest.mark.parametrize("says", [True, False])
@pytest.mark.parametrize(
    "derived",
    [
        "Kind = Thread",
        "Kind = type('Kind', (Thread,), {})",
        "Kind = type('Kind', (threading.Thread,), dict(Thread.__dict__, _os_thread_handle=None))",
    ],
)
@pytest.mark.parametrize(
    "start", ["start_new_thread(thread._bootstrap, ())", "start_joinable_thread(thread._bootstrap)"]
)
def test_a_look_alike(start: str, derived: str, says: bool) -> None:
    if not hasattr(support.stock(), start.partition("(")[0]):
        pytest.skip("new in 3.13")
    outputs = [
        support.check_snippet(LOOK_ALIKE.format(ours=ours, says=says, start=start, derived=derived))
        for ours in (False, True)
    ]
    assert outputs[0].splitlines() == ["started False", f"over {says} {says}"]
    assert outputs[1] == outputs[0]
