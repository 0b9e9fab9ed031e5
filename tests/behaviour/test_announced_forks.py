"""A fork that is announced to Python, and does not come, is over when Python hears so."""

from __future__ import annotations

import os
import sys
import sysconfig

import pytest

import support

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork")

# A start that waits for a fork gives up after a second: so many are more than a process may take.
ROUNDS = 2 * int(support.PROCESS_HANG)

# Extensions do the first; the others are what is next to it.
ANNOUNCED = {
    "without a fork": "before(); after()",
    "nested": "before(); before(); after(); after()",
    "a start in between": "before(); start(); after()",
    "nested, a start in between": "before(); before(); after(); start(); after()",
    "in a hook": "nest = True; before(); after()",
    "a fork that is refused": "refused()",
    "a fork in between": "before(); fork(); after()",
    "a fork in between, with a start": "before(); fork(); after(); fork()",
}


@pytest.mark.parametrize("mode", ["stock", "rthread"])
@pytest.mark.parametrize("announced", ANNOUNCED)
def test_starts_go_on(announced: str, mode: str) -> None:
    fine = ["without a fork", "a fork that is refused"]
    if not sysconfig.get_config_var("Py_GIL_DISABLED"):
        fine.append("in a hook")
    # The second would wait for the list of threads, which the first has locked; without a GIL the
    # first stops all threads.
    if sys.version_info >= (3, 13) and announced not in fine:
        pytest.skip("from 3.13 on nothing of this can be done between the two calls, on stock too")
    output = support.check_snippet(
        f"""
        import ctypes, os, sys, warnings
        warnings.simplefilter("ignore")
        import threading
        if {mode == "rthread"}:
            import rthread
            rthread.install()
        before, after = ctypes.pythonapi.PyOS_BeforeFork, ctypes.pythonapi.PyOS_AfterFork_Parent
        nest = False

        def hook():
            global nest
            if nest:
                nest = False
                before()
                after()

        os.register_at_fork(before=hook)

        def refuse(event, _):
            if event == "os.fork" and refusing:
                raise PermissionError

        refusing = False
        sys.addaudithook(refuse)

        def refused():
            global refusing
            refusing = True
            try:
                os.fork()
            except PermissionError:
                refusing = False

        def fork():
            if os.fork() == 0:
                start()
                os._exit(0)
            assert os.wait()[1] == 0

        def start():
            thread = threading.Thread(target=int)
            thread.start()
            thread.join()

        for _ in range({ROUNDS}):
            {ANNOUNCED[announced]}
            start()
        print("done")
        """
    )
    assert output == "done\n"
