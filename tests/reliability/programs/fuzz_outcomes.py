"""Where rthread and the stock classes differ in how they refuse something, and why."""

from __future__ import annotations

import re
from collections.abc import Callable
from types import FunctionType
from typing import Any, NamedTuple


class Outcome(NamedTuple):
    """What a call came to: "gives", "raises" or "waits", and of what type and in which words."""

    kind: str
    type_name: str
    words: str


# Methods are functions of Python's or of C's, and say so.
_FUNCTIONS = {
    "builtin_function_or_method",
    "builtin_method",
    "function",
    "getset_descriptor",
    "member_descriptor",
    "method",
    "method-wrapper",
    "method_descriptor",
    "property",
    "wrapper_descriptor",
}
_FUNCTION_WORDS = re.compile(rf"'({'|'.join(_FUNCTIONS)})' object")
_VARIES = re.compile(r"0x[0-9a-fA-F]+|\b\d{9,}\b")
_OF = re.compile(r"\b\w+\.(?=\w+\(\))")
# C types say their module in front, as classes written in Python do not.
_MODULES = re.compile(r"\b(threading|queue|_queue|_thread|rthread|derived)\.(?=\w)")


def gives(value: object) -> Outcome:
    name = type(value).__name__
    # Not isinstance(), which asks the value.
    words = str(value) if value is None or type(value) is bool else ""
    return Outcome("gives", "function" if name in _FUNCTIONS else name, words)


def raises(error: BaseException) -> Outcome:
    try:
        words = _MODULES.sub("", _VARIES.sub("…", str(error)))
        words = _OF.sub("", _FUNCTION_WORDS.sub("'function' object", words))
    except BaseException:
        words = "(none)"
    # Where the recursion was when it had gone too deep, is chance.
    words = "" if isinstance(error, RecursionError) else words
    return Outcome("raises", type(error).__name__, words)


class Reason(NamedTuple):
    """Why two outcomes may differ.

    Attributes:
        words: the reason.
        holds: whether it is the one, told the case and both outcomes.
        python: whether it is one only where the stock class is written in Python.
    """

    words: str
    holds: Callable[[Any, Outcome, Outcome], object]
    python: bool = True


_OF_THE_LOCK = ("acquire", "release", "_release_save", "_acquire_restore", "_is_owned", "locked")


def _says(pattern: str) -> Callable[[Any, Outcome, Outcome], object]:
    search = re.compile(pattern).search
    return lambda case, mine, theirs: mine.type_name == "TypeError" and search(mine.words)


REASONS = [
    Reason(
        "join() of queues takes a time-out",
        lambda case, mine, theirs: (
            case.target.name == "join"
            and re.search(r"join\(\) (takes 1|got an unexpected)", theirs.words)
        ),
    ),
    Reason(
        "a method in C says in other words that it was not called with its arguments",
        lambda case, mine, theirs: (
            not case.fits and mine.type_name == "TypeError" and theirs.kind == "raises"
        ),
    ),
    Reason(
        "a method in C is only called for objects of its type",
        _says(r"doesn't apply to|requires an? .* (object|instance)|needs an argument"),
    ),
    Reason(
        "a type in C makes only its own objects",
        _says(r"is not safe, use|is not a subtype|is not a type object|not enough arguments"),
        python=False,
    ),
    Reason(
        "a native object does its work before __init__ too",
        lambda case, mine, theirs: "bare" in case.words or case.how.startswith("new "),
    ),
    Reason(
        "queues can be shut down on every version",
        lambda case, mine, theirs: "shutdown" in case.words or "shutdown" in theirs.words,
    ),
    Reason(
        "what a native object has is not compared with a name in its dict",
        lambda case, mine, theirs: "ActsStr('" in case.words,
    ),
    Reason(
        "the lock of a native condition cannot be replaced",
        lambda case, mine, theirs: (
            mine.words == "the lock of a condition cannot be replaced"
            or (case.target.owner == "Condition" and "('__init__'" in case.words)
        ),
    ),
    Reason(
        "the waiters of a native condition are shown as a tuple",
        lambda case, mine, theirs: "'_waiters'" in case.words,
    ),
    Reason("the dict of an object of a type in C stays", _says("cannot delete __dict__")),
    Reason(
        "a property in C says in other words that it cannot be set",
        lambda case, mine, theirs: (
            mine.type_name == theirs.type_name == "AttributeError"
            and "not writable" in mine.words
            and theirs.words.startswith(("property", "can't"))
        ),
    ),
    Reason(
        "a native object is not pickled, and says so itself",
        lambda case, mine, theirs: (
            mine.words.startswith("cannot pickle") and theirs.words.startswith("cannot pickle")
        ),
    ),
    Reason(
        "a native object tells only copy.copy() what it is made of",
        lambda case, mine, theirs: (
            case.how in ("reduce", "pickle", "deepcopy")
            or case.target.name in ("__reduce__", "__reduce_ex__", "__getstate__")
            or "'__copy__'" in case.words
            or "('__getstate__'" in case.words
        ),
    ),
    Reason(
        "object.__getstate__, by way of whatever type, finds no dict in a native object",
        lambda case, mine, theirs: (
            case.target.name == "__getstate__"
            and (mine.words, theirs.type_name) == ("None", "dict")
        ),
        python=False,
    ),
    Reason(
        "a native condition is not copied, as its lock is not",
        lambda case, mine, theirs: case.how == "copy" and case.target.owner == "Condition",
    ),
    Reason(
        "a type in C is laid out unlike others",
        lambda case, mine, theirs: "object layout differs" in mine.words,
    ),
    Reason(
        "methods of the lock are attributes of a Python condition and methods of a native one",
        lambda case, mine, theirs: (
            case.target.owner == "Condition"
            and (
                case.target.name in _OF_THE_LOCK
                or any(f"('{name}'" in case.words for name in _OF_THE_LOCK)
            )
        ),
    ),
    Reason(
        "to make a native object no attribute of its class is asked",
        lambda case, mine, theirs: case.how.startswith("class level"),
    ),
    Reason(
        "an object that is initialised anew in the middle of a call has new parts, or the old ones",
        lambda case, mine, theirs: "('__init__'" in case.words,
    ),
    Reason(
        "reading the annotations of a type leaves a dict in it, unless it is immutable",
        lambda case, mine, theirs: case.target.name == "__annotations__",
        python=False,
    ),
    Reason(
        "a class in Python adds time-outs to the clock, and numbers may be too large for that",
        lambda case, mine, theirs: theirs.type_name == "OverflowError",
    ),
    Reason(
        "the methods that make up wait() have the barrier's lock by themselves",
        lambda case, mine, theirs: (
            case.target.owner == "Barrier" and theirs.words == "cannot wait on un-acquired lock"
        ),
    ),
    Reason(
        "a call asks its arguments in another order, or sooner, and they have changed the object",
        lambda case, mine, theirs: any(
            f"('{path}'" in case.words for path in ("__dict__.clear", "gc", "_at_fork_reinit")
        ),
    ),
    Reason(
        "__exit__ takes what `with` gives it, and no names",
        lambda case, mine, theirs: case.target.name == "__exit__" and "keyword" in mine.words,
    ),
    Reason(
        "a hostile name in its dict is compared with what a stock object is asked for",
        lambda case, mine, theirs: theirs.words == "asked" and theirs.type_name == "LookupError",
    ),
    Reason(
        "what is wrong in two ways is refused for one of them",
        lambda case, mine, theirs: not case.fits and mine.kind == theirs.kind == "raises",
        python=False,
    ),
    Reason(
        "on 3.10 a class derived from SimpleQueue takes any arguments",
        lambda case, mine, theirs: (
            theirs.kind == "gives" and mine.words.startswith("SimpleQueue() takes no")
        ),
        python=False,
    ),
    Reason(
        "up to 3.12 get_nowait() swallows keywords that it does not know",
        lambda case, mine, theirs: str(case.target) == "SimpleQueue.get_nowait" and not case.fits,
        python=False,
    ),
    Reason(
        "an attribute of a type in C is not told its name",
        lambda case, mine, theirs: case.how == "__set_name__",
    ),
    Reason(
        "the name in a message is the one in use, or the equal one in the dict",
        lambda case, mine, theirs: "ActsStr('" in case.words and "is read-only" in mine.words,
        python=False,
    ),
]


# What only ours is asked, and why not the stock one too.
SPARED: list[Callable[[Any], bool]] = [
    # It takes for a str what says that it equals one, and reads what is not there (CPython's bug).
    lambda case: (
        case.target.owner == "_local" and "attr" in case.target.name and "Acts" in case.words
    ),
    # Asked for a method for what is no type, it says so with a pointer for a name (CPython's bug).
    lambda case: case.target.owner == "SimpleQueue" and case.how == "__get__",
    # The methods of a class written in Python work on classes as well, and spoil them.
    lambda case: case.how.startswith("unbound") and " of type " in case.words,
]


def spared(case: Any) -> bool:
    """Is the stock object not to be asked?"""
    return any(holds(case) for holds in SPARED)


def reason(case: Any, mine: Outcome, theirs: Outcome, stock: type | None) -> str:
    """Why the outcomes may differ; nothing if they may not."""
    python = stock is not None and any(isinstance(of, FunctionType) for of in vars(stock).values())
    for known in REASONS:
        if (python or not known.python) and known.holds(case, mine, theirs):
            return known.words
    return ""
