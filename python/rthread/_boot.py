"""Puts a child process on rthread at its start; ``rthread.pth`` imports this when told to.

``python -m rthread --children`` sets RTHREAD_CHILDREN=1, which processes started by the program
inherit. Each of them that finds ``rthread.pth`` in its site-packages comes through here before
anything of the program runs.
"""

import sys


def boot() -> None:
    """Install rthread, except in a sub-interpreter that cannot have it."""
    try:
        import rthread
    except ImportError:
        # Sub-interpreters run the .pth files too. One in which the extension cannot be loaded
        # stays on the stock _thread; nobody has asked for more than the process as a whole.
        if _is_main_interpreter():
            raise
    else:
        rthread.install()


def _is_main_interpreter() -> bool:
    if sys.version_info >= (3, 12):
        return bool(sys.modules["_thread"]._is_main_interpreter())
    # Private, but the one thing before 3.12 that can tell.
    interpreters = __import__("_xxsubinterpreters")
    return bool(interpreters.get_current() == interpreters.get_main())


boot()
