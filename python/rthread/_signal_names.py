"""Which signals can ask for a report, by number and by name."""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

__all__ = ["choices", "number_of", "objection"]

# After one of these a program is not to go on. The interpreter itself can report them.
_FAULTS = ("SIGABRT", "SIGBUS", "SIGFPE", "SIGILL", "SIGSEGV")
_UNCATCHABLE = ("SIGKILL", "SIGSTOP")

# Not `signal`, which makes enumerations that most programs do not need. Type checkers do not know
# this module.
_signal: "Any" = __import__("_signal")

_numbers: "dict[str, int]" = {
    name: int(value)
    for name, value in vars(_signal).items()
    if name[:3] == "SIG" and name[3:4] != "_" and isinstance(value, int)
}


def objection(number: int) -> "str | None":
    """A sentence that says why a signal cannot ask for a report; None if it can."""
    if number not in _signal.valid_signals():
        return f"there is no signal {number} that a program can use"
    for name in _UNCATCHABLE:
        if _numbers.get(name) == number:
            return f"{name} cannot be caught"
    for name in _FAULTS:
        if _numbers.get(name) == number:
            return f"{name} tells of a fault: faulthandler.enable() reports it"
    return None


def number_of(text: str) -> "int | None":
    """The number of a signal that can ask for a report; None if the text means no such signal.

    Args:
        text: the name, with or without SIG, or the number.
    """
    if text.isascii() and text.isdigit() and len(text) < 5:
        number: int | None = int(text)
    else:
        name = text.upper()
        number = _numbers.get(name if name[:3] == "SIG" else f"SIG{name}")
    return None if number is None or objection(number) is not None else number


def choices() -> "list[str]":
    """The names of the signals that can ask for a report, each signal once, by number."""
    names: dict[int, str] = {}
    # In this order SIGCHLD comes before its other name.
    for name, number in sorted(_numbers.items()):
        if objection(number) is None:
            names.setdefault(number, name)
    return [names[number] for number in sorted(names)]
