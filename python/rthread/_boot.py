"""Puts a process on rthread at its start; ``rthread.pth`` imports this when told to.

With ``RTHREAD=1`` in the environment each process that finds ``rthread.pth`` in its site-packages
comes through here before anything of the program runs, and so does each sub-interpreter.
``python -m rthread --children`` sets the variable, which processes started by the program inherit.
"""

import sys

from rthread import _install, _rthread, _settings


def _say(sentence: object) -> None:
    if sys.stderr is not None:
        print(f"rthread: {sentence}", file=sys.stderr)


def _boot() -> None:
    wanted = _settings.wants_rthread()
    # Once in a process, not in each of its interpreters.
    if vars(_rthread)["__is_main__"]:
        names = ("RTHREAD", *_settings.INSTALL_VARIABLES) if wanted else ("RTHREAD",)
        for complaint in filter(None, map(_settings.complaint, names)):
            _say(complaint)
    if wanted:
        try:
            _install.install(**_settings.of_environment())
        except RuntimeError as error:
            # Another .pth file has started a thread. The program goes on without rthread.
            _say(error)


_boot()
