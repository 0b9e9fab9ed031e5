"""Native classes in the place of those that ``threading`` and ``queue`` write in Python.

The extension makes them when it is given the Python classes: it takes their docstrings and
signatures, and calls their functions for whatever a native object does not do itself.
"""

import os

from rthread import _rthread

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from rthread import _stock

__all__ = ["THREADING", "in_threading", "wanted"]

# What `threading` has of them.
THREADING = ("Barrier", "BoundedSemaphore", "Condition", "Event", "Semaphore")
# Raised by native objects too.
_EXCEPTIONS = ("BrokenBarrierError",)


def wanted() -> bool:
    """Tell whether native classes are to be used where nothing else has been said.

    Returns:
        False if the environment variable ``RTHREAD_NATIVE`` is ``0``.
    """
    return os.environ.get("RTHREAD_NATIVE") != "0"


def in_threading(evidence: "_stock.Dependencies | None" = None) -> "list[tuple[type, type]]":
    """The classes of ``threading`` that have a native counterpart, and these.

    A class that is not the interpreter's own, or uses what is not, has none.

    Args:
        evidence: what is known of that already.

    Returns:
        Pairs of a Python class and the native one.
    """
    import threading

    from rthread import _stock

    evidence = evidence or _stock.Dependencies()
    state: dict[str, Any] = vars(_rthread).setdefault("__native_state__", {})
    known: dict[str, tuple[type, type]] = state.setdefault("threading", {})
    names = vars(threading)
    missing = [name for name in THREADING if name not in known]
    classes = {name: names[name] for name in missing if evidence.fits(names.get(name), threading)}
    # Its base may have been replaced where a class itself was not.
    bases = [object, *classes.values(), *(old for old, _new in known.values())]
    classes = {name: old for name, old in classes.items() if all(b in bases for b in old.__bases__)}
    if classes:
        native = make({**classes, **{name: names[name] for name in _EXCEPTIONS}})
        known.update((name, (classes[name], native[name])) for name in classes)
    return list(known.values())


def make(classes: "dict[str, Any]") -> "dict[str, type]":
    """Make native types.

    Args:
        classes: the Python classes, and the exceptions that belong to them, by their names.

    Returns:
        The native types by their names.
    """
    docs = {name: _texts(of) for name, of in classes.items()}
    made: dict[str, type] = vars(_rthread)["__make_native__"](classes, docs)
    return made


def _texts(of: "Any") -> "dict[str, bytes]":
    """The docstrings of a class and its methods, with their signatures, as C has them."""
    texts = {}
    for base in reversed(of.__mro__[:-1]):
        for name, value in vars(base).items():
            # Not inspect.signature(): importing inspect takes longer than all of rthread.
            if type(value) is type(make):
                texts[name] = _text(name, "$self", value, value.__doc__)
    init = of.__init__
    if type(init) is type(make):
        texts[""] = _text(of.__name__, "", init, of.__doc__)
    return texts


def _text(name: str, first: str, function: "Any", doc: "str | None") -> bytes:
    code = function.__code__
    names = list(code.co_varnames[1 : code.co_argcount])
    defaults = function.__defaults__ or ()
    plain = len(names) - len(defaults)
    given = [first] if first else []
    given += names[:plain]
    given += [f"{name}={value!r}" for name, value in zip(names[plain:], defaults, strict=True)]
    if code.co_flags & 0x04:  # CO_VARARGS
        given.append("*" + code.co_varnames[code.co_argcount + code.co_kwonlyargcount])
    return f"{name}({', '.join(given)})\n--\n\n{doc or ''}".encode()
