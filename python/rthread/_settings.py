"""Environment variables that say on what a program is to run.

``RTHREAD=1`` puts a process on rthread at its start; ``RTHREAD_QUEUE=1`` and ``RTHREAD_NATIVE=0``
say which classes it gets. Child processes inherit all of them.
"""

import os

__all__ = ["chosen", "complaint", "of_environment", "wants_rthread"]

_VALUES = {"1": True, "0": False}


def _switch(name: str) -> "bool | None":
    """True for 1, False for 0, None if the variable is not set, empty, or something else."""
    return _VALUES.get(os.environ.get(name, ""))


def chosen(asked: "bool | None", name: str, otherwise: bool) -> bool:
    """Decide between an argument, an environment variable, and the usual.

    Args:
        asked: the argument; None if the caller leaves it open.
        name: the environment variable.
        otherwise: the usual.
    """
    for choice in (asked, _switch(name)):
        if choice is not None:
            return bool(choice)
    return otherwise


def of_environment() -> "dict[str, bool]":
    """What the environment says of each argument of `rthread.install`."""
    return {
        "native": chosen(None, "RTHREAD_NATIVE", True),
        "queue": chosen(None, "RTHREAD_QUEUE", False),
    }


def wants_rthread() -> bool:
    """Tell whether this process is to come up on rthread."""
    # RTHREAD_CHILDREN is the older name, which has no 0. RTHREAD=0 takes a process out.
    asked = _switch("RTHREAD")
    return os.environ.get("RTHREAD_CHILDREN") == "1" if asked is None else asked


def complaint(name: str) -> "str | None":
    """A sentence about a variable whose value has no meaning; None if it has one."""
    value = os.environ.get(name, "")
    if not value or value in _VALUES:
        return None
    return f"{name}={value} is ignored: set it to 1 for yes or 0 for no"
