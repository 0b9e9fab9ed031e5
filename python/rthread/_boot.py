"""Puts a process on rthread at its start; ``rthread.pth`` imports this module if it is told to.

This happens with ``RTHREAD=1`` in the environment, in each process that finds ``rthread.pth`` in
its site-packages. The module runs before any code of the program, and in each sub-interpreter too.
``python -m rthread --children`` sets the variable, and processes started by the program inherit it.
"""

import sys

from rthread import _install, _rthread, _settings


def _say(sentence: object) -> None:
    if sys.stderr is not None:
        print(f"rthread: {sentence}", file=sys.stderr)


def _boot() -> None:
    wanted = _settings.wants_rthread()
    # Complain once in a process, not in each of its interpreters.
    if vars(_rthread)["__is_main__"]:
        names = ("RTHREAD", *_settings.INSTALL_VARIABLES) if wanted else ("RTHREAD",)
        for complaint in filter(None, map(_settings.complaint, names)):
            _say(complaint)
    if wanted:
        try:
            _install.install(**_settings.of_environment())
        except RuntimeError as error:
            # Another .pth file has started a thread. The program runs without rthread then.
            _say(error)


_boot()
