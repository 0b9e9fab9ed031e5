"""CPython's ``_thread`` and ``threading`` on a core written in Rust.

``import rthread as _thread`` gives every name that the running interpreter's ``_thread`` has.
``from rthread import threading`` gives the interpreter's own ``threading`` on top of it, and
``rthread.install()`` puts the whole program on rthread.

PYTEST_DONT_REWRITE: pytest would change the asserts of a package that has an entry point for it.
"""

import sys as _sys

from rthread import _rthread
from rthread._install import PatchedWarning as PatchedWarning
from rthread._install import install as install
from rthread._install import is_installed as is_installed
from rthread._install import own as _own
from rthread._install import stock as stock
from rthread._install import uninstall as uninstall

# The interpreter decides which names there are. Names with an underscore count too: threading
# imports several of them.
globals().update(_own)

_LAZY = ("debug", "queue", "threading")

__version__: str = _rthread.__version__


def report() -> object:
    """Tell on which code the program runs.

    Returns:
        An entry for each name of ``_thread``, ``threading`` and ``queue``. It says whether the
        object of the name was made by rthread, the interpreter or another tool. Printed, the
        result is a table.
    """
    from rthread._report import report

    return report()


def __getattr__(name: str) -> object:
    # Running the source of threading once more takes time, and not every program needs that or
    # the queues.
    if name in _LAZY:
        __import__(f"rthread.{name}")
        return _sys.modules[f"rthread.{name}"]
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *_LAZY})
