"""The environment variables by which a program is put on rthread.

``RTHREAD=1`` puts a process on rthread at its start. ``RTHREAD_QUEUE=1`` and ``RTHREAD_NATIVE=0``
select the classes, ``RTHREAD_REUSE_THREADS=8`` the number of finished threads to keep,
``RTHREAD_DEADLOCKS=raise`` what happens at a deadlock, and ``RTHREAD_DUMP_ON=SIGQUIT`` the signal
that asks for a report. Child processes inherit all of them.
"""

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

__all__ = [
    "DEADLOCKS",
    "INSTALL_VARIABLES",
    "MOST_THREADS",
    "RECORD_SITES",
    "chosen",
    "chosen_number",
    "chosen_policy",
    "chosen_signal",
    "complaint",
    "number_of_signal",
    "number_of_threads",
    "of_environment",
    "signals_to_choose",
    "wants_rthread",
]

# `install` reads these where its arguments are None.
_REUSE = "RTHREAD_REUSE_THREADS"
_DEADLOCKS = "RTHREAD_DEADLOCKS"
_DUMP_ON = "RTHREAD_DUMP_ON"
RECORD_SITES = "RTHREAD_RECORD_SITES"
INSTALL_VARIABLES = (
    *("RTHREAD_NATIVE", "RTHREAD_QUEUE", _REUSE, _DEADLOCKS, _DUMP_ON, RECORD_SITES),
)

# What may happen at a deadlock, see `rthread.debug.set_deadlock_policy`.
DEADLOCKS = ("raise", "warn", "exit", "off")

# The most finished threads that are kept: each has a stack.
MOST_THREADS = 9999

_VALUES = {"1": True, "0": False}


def _switch(name: str) -> "bool | None":
    """True for 1, False for 0, None if the variable is not set, empty, or something else."""
    return _VALUES.get(os.environ.get(name, ""))


def chosen(asked: "bool | None", name: str, otherwise: bool) -> bool:
    """Decide between an argument, an environment variable, and a default.

    Args:
        asked: the argument; None if the caller leaves it open.
        name: the environment variable.
        otherwise: the default.
    """
    for choice in (asked, _switch(name)):
        if choice is not None:
            return bool(choice)
    return otherwise


def number_of_threads(text: str) -> "int | None":
    """The number of threads in a text; None if it is no such number, or too large."""
    if not (text.isascii() and text.isdigit() and len(text) <= len(str(MOST_THREADS))):
        return None
    return int(text)


def chosen_number(asked: "int | None") -> int:
    """The number of finished threads to keep: from the argument, the environment, or 0.

    Args:
        asked: the argument; None if the caller leaves it open.

    Raises:
        TypeError: the argument is no int.
        ValueError: it is negative or above `MOST_THREADS`.
    """
    if asked is None:
        return number_of_threads(os.environ.get(_REUSE, "")) or 0
    if isinstance(asked, bool) or not isinstance(asked, int):
        raise TypeError(f"reuse_threads must be an int or None, not {type(asked).__name__}")
    if not 0 <= asked <= MOST_THREADS:
        raise ValueError(f"reuse_threads must be between 0 and {MOST_THREADS}, not {asked}")
    return asked


def chosen_policy() -> "str | None":
    """What the environment wants to happen at a deadlock; None if it does not say."""
    value = os.environ.get(_DEADLOCKS, "")
    return value if value in DEADLOCKS else None


def chosen_signal() -> "int | None":
    """The signal by which the environment wants reports to be asked for; None if there is none."""
    return number_of_signal(os.environ.get(_DUMP_ON, ""))


def number_of_signal(text: str) -> "int | None":
    """The number of a signal that can ask for a report; None if the text means no such signal.

    Args:
        text: the name, with or without SIG, or the number.
    """
    if not text or os.name == "nt":
        return None
    # Not at the top: only a few programs ask for it.
    from rthread import _signal_names

    return _signal_names.number_of(text)


def signals_to_choose() -> str:
    """The words for the signals that can ask for a report."""
    if os.name == "nt":
        return "a system with signals"
    from rthread import _signal_names

    return f"one of {', '.join(_signal_names.choices())}, or its number"


def of_environment() -> "dict[str, Any]":
    """The value of each argument of `rthread.install` according to the environment."""
    return {
        "native": chosen(None, "RTHREAD_NATIVE", True),
        "queue": chosen(None, "RTHREAD_QUEUE", False),
        "reuse_threads": chosen_number(None),
    }


def wants_rthread() -> bool:
    """Tell whether this process is to start on rthread."""
    # RTHREAD_CHILDREN is the older name, which has no 0. RTHREAD=0 keeps a process on stock.
    asked = _switch("RTHREAD")
    return os.environ.get("RTHREAD_CHILDREN") == "1" if asked is None else asked


def complaint(name: str) -> "str | None":
    """A sentence about a variable if its value has no meaning, else None."""
    value = os.environ.get(name, "")
    if name == _REUSE:
        if not value or number_of_threads(value) is not None:
            return None
        return f"{name}={value} is ignored: set it to a number of threads from 0 to {MOST_THREADS}"
    if name == _DEADLOCKS:
        if not value or value in DEADLOCKS:
            return None
        *first, last = DEADLOCKS
        return f"{name}={value} is ignored: set it to {', '.join(first)} or {last}"
    if name == _DUMP_ON:
        if not value or number_of_signal(value) is not None:
            return None
        return f"{name}={value} is ignored: it needs {signals_to_choose()}"
    if not value or value in _VALUES:
        return None
    return f"{name}={value} is ignored: set it to 1 for yes or 0 for no"
