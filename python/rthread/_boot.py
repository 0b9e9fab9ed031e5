"""Puts a child process on rthread at its start; ``rthread.pth`` imports this when told to.

``python -m rthread --children`` sets RTHREAD_CHILDREN=1, which processes started by the program
inherit. Each of them that finds ``rthread.pth`` in its site-packages comes through here before
anything of the program runs.
"""

import sys


def boot() -> None:
    """Install rthread, unless this is a sub-interpreter.

    Those run the .pth files too, but what was asked for is the process; a sub-interpreter in which
    the extension cannot be loaded has to start without a word all the same.
    """
    if _is_main_interpreter():
        import rthread

        rthread.install()


def _is_main_interpreter() -> bool:
    if sys.version_info >= (3, 12):
        return bool(sys.modules["_thread"]._is_main_interpreter())
    # Private, but the one thing before 3.12 that can tell.
    interpreters = __import__("_xxsubinterpreters")
    return bool(interpreters.get_current() == interpreters.get_main())


boot()
