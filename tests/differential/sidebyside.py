"""One call on the stock object and on ours, and what each came to.

The arguments are made to be wrong: of every type, out of every range, and with methods that raise.
A step that would wait for ever on the stock object is left out, by asking the stock object.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any, NamedTuple

from hypothesis import strategies as st

import support

STOCK = support.stock()
OURS: Any = support.load_ours()

# A wait that is short enough to be taken many times, and long enough to be one.
SHORT = 0.001


# How a test has a thread of the `callers` fixture make a call.
Runner = Callable[..., Any]


class Outcome(NamedTuple):
    """What a call gave or raised, in words that do not depend on addresses."""

    kind: str
    type_name: str
    words: str
    cause: str = ""


def outcome(function: Callable[..., object], /, *args: Any, **kwargs: Any) -> Outcome:
    try:
        value = function(*args, **kwargs)
    except (Exception, SystemExit, KeyboardInterrupt) as error:
        cause = type(error.__cause__ or error.__context__).__qualname__
        words = support.without_addresses(str(error))
        return Outcome("raises", type(error).__qualname__, words, cause)
    words = support.without_addresses(repr(value))
    return Outcome("gives", type(value).__qualname__, words)


# Arguments


class Spiteful:
    """Raises whatever is asked of it."""

    def __bool__(self) -> bool:
        raise ZeroDivisionError("bool")

    def __index__(self) -> int:
        raise ZeroDivisionError("index")

    def __int__(self) -> int:
        raise ZeroDivisionError("int")

    def __float__(self) -> float:
        raise ZeroDivisionError("float")

    def __repr__(self) -> str:
        return "Spiteful()"


class Lies:
    """Answers with the wrong types."""

    def __bool__(self) -> bool:
        return 2  # type: ignore[return-value]  # noqa: PLE0304

    def __index__(self) -> int:
        return "1"  # type: ignore[return-value]  # noqa: PLE0305

    def __float__(self) -> float:
        return 1

    def __repr__(self) -> str:
        return "Lies()"


class Index:
    """A number where an index is asked for."""

    def __init__(self, value: int) -> None:
        self.value = value

    def __index__(self) -> int:
        return self.value

    def __repr__(self) -> str:
        return f"Index({self.value})"


class Float:
    """A number where a float is asked for."""

    def __float__(self) -> float:
        return SHORT

    def __repr__(self) -> str:
        return "Float()"


class Falsy:
    """A number by no method, false."""

    def __bool__(self) -> bool:
        return False

    def __repr__(self) -> str:
        return "Falsy()"


class IntChild(int):
    """A subclass, where an exact type check would refuse it."""


class FloatChild(float):
    """A subclass, where an exact type check would refuse it."""


class StrChild(str):
    """A subclass, where an exact type check would refuse it."""


class TupleChild(tuple):  # type: ignore[type-arg]
    """A subclass, where an exact type check would refuse it."""


class DictChild(dict):  # type: ignore[type-arg]
    """A subclass, where an exact type check would refuse it."""


NAN, INF = float("nan"), float("inf")
# 2**63 ns is 292 years: around there, seconds stop fitting into the interpreter's clock type.
LIMITS = [2**31 - 1, 2**31, 2**32, 2**63 // 10**9, 2**63 // 10**9 + 1, 2**63 - 1, 2**63, 2**64]

BAD_THINGS: list[Any] = [
    *("", "1", "True", "\0", "\udc80", StrChild("x"), b"", b"1", bytearray(b"1")),
    *((), (1,), (1, 2), TupleChild(), [], [1], {}, {"a": 1}, DictChild(), {1: 2}, set()),
    *(object, int, print, len, lambda: None, 1j, NotImplemented, ..., range(3)),
    *(Spiteful(), Lies(), Index(-1), Index(0), Index(1), Index(2**70), Float(), Falsy()),
]
bad_things = st.sampled_from(BAD_THINGS)
NUMBERS: list[list[Any]] = [
    [0, 1, -1, True, False, 0.0, -0.0, -1.0, -0.5, -1.5, 1e-9, 5e-10, -1e-9],
    [NAN, INF, -INF, 1e300, -1e300, 5e-324, STOCK.TIMEOUT_MAX, 9223372036.8],
    [*LIMITS, *(-limit for limit in LIMITS), float(2**63), float(2**64)],
    [IntChild(-1), IntChild(1), FloatChild(-1.0), FloatChild(0.001), SHORT],
]
numbers = st.one_of(
    *map(st.sampled_from, NUMBERS),
    st.integers(),
    st.floats(),
)
anything = st.one_of(numbers, st.none(), bad_things)


def arguments(*keywords: str, most: int = 3) -> st.SearchStrategy[tuple[Any, Any]]:
    """Positional arguments, too many at times, and keywords, wrong at times."""
    names = st.sampled_from([*keywords, "spam", "self"])
    return st.tuples(
        st.lists(anything, max_size=most).map(tuple),
        st.one_of(st.just({}), st.dictionaries(names, anything, max_size=2)),
    )


NO_ARGUMENTS: tuple[Any, Any] = ((), {})


# Guards

_acquire_signature = inspect.Signature(
    [
        inspect.Parameter("blocking", inspect.Parameter.POSITIONAL_OR_KEYWORD, default=True),
        inspect.Parameter("timeout", inspect.Parameter.POSITIONAL_OR_KEYWORD, default=-1),
    ]
)


def waits_long(method: str, free: Any, args: Any, kwargs: Any) -> bool:
    """Would this way to acquire a held lock wait long? `free` is a stock lock of the same kind."""
    try:
        getattr(free, method)(*args, **kwargs)
    except Exception:
        return False
    bound = _acquire_signature.bind_partial(*args, **kwargs)
    bound.apply_defaults()
    timeout = bound.arguments["timeout"]
    if not bound.arguments["blocking"]:
        return False
    return not (isinstance(timeout, (int, float)) and 0 <= timeout <= 10 * SHORT)


class Step(NamedTuple):
    """One call on both objects: by which thread, of what, with what."""

    thread: int
    method: str
    args: Any
    kwargs: Any


def describe(steps: list[Step]) -> str:
    return "\n".join(f"  thread {s.thread}: {s.method}(*{s.args!r}, **{s.kwargs!r})" for s in steps)
