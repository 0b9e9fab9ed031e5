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
        import _thread

        return bool(_thread._is_main_interpreter())
    import _xxsubinterpreters

    return bool(_xxsubinterpreters.get_current() == _xxsubinterpreters.get_main())


boot()
