"""The report as text or JSON, written to a file."""

import sys

from rthread.debug import _as_json, _ask, _look, _safe, _text

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Literal, Protocol

    class Writable(Protocol):
        def write(self, text: str, /) -> object: ...


__all__ = ["check_format", "dump", "write"]

_FORMATS = {"text": _text.report, "json": _as_json.report}


def dump(file: "Writable | None" = None, format: 'Literal["text", "json"]' = "text") -> bool:
    """Write a report on all threads: their states, stacks and locks, and what is wrong with them.

    The main thread comes first, then the others in the order of their start. At the end there are
    the deadlocks, and the threads that are stuck for good. The report takes no lock of the program,
    imports nothing, and runs no code of the program but the ``write`` and ``flush`` of the file.

    Args:
        file: an object with a ``write`` for text, or for bytes; ``sys.stderr`` if left out.
        format: ``"text"`` for people, or ``"json"`` for one line of JSON, an object with the keys

            - ``format``: 1; greater if the meaning of a key has changed since;
            - ``rthread``, ``python``: versions; ``pid``: the process; ``time``: seconds of
              ``time.monotonic``; ``remarks``: sentences about what could not be seen;
            - ``threads``: objects with ``name``, ``ident`` and ``native_id`` (null if it does not
              run yet), ``number`` (rthread's, 0 if it has never met the thread), ``main``,
              ``daemon`` (null if that is not known), ``state`` (``"running"``, ``"waiting"``,
              ``"waiting for the GIL"``, ``"running signal handlers"``, ``"about to start"``),
              ``waiting_for`` (null or a wait), ``holds`` (objects with ``class``, ``name``,
              ``address``, ``count``, ``by_with`` and ``site``), ``stack`` (null, or frames with
              ``file``, ``line`` and ``function``, the innermost first) and ``note`` (why the stack
              is not complete);
            - a wait has ``kind`` (as `Wait.kind`), ``class``, ``name`` and ``address`` of the
              object, ``owner`` (null, or ``name``, ``ident`` and ``native_id``), ``owner_ended``,
              ``certain`` (only the owner can end it), ``since`` and ``seconds``, and ``timeout``
              (whether there is one);
            - ``deadlocks``: objects with ``certain``, ``threads`` (``name``, ``ident``,
              ``native_id``, ``waiting_for``; each waits for the next one) and ``text``;
            - ``stuck``: objects with ``kind``, ``certain``, ``reason``, ``name``, ``address`` and
              ``threads``.

            A name is null, and an address too, where there is none.

    Returns:
        True if the report was written; False if the file cannot be written, because it is closed,
        or full, or its ``write`` raises.

    Raises:
        ValueError: there is no such format.
        TypeError: `format` is no str, or `file` has no ``write``.
    """
    check_format(format)
    if file is None:
        file = sys.stderr if sys.stderr is not None else sys.__stderr__
        if file is None:
            return False
    if not callable(getattr(file, "write", None)):
        raise TypeError(f"file must have a write method, not {_safe.class_name(file)}")
    return write(file, _look.undisturbed(_report, format))


def check_format(format: object) -> None:
    """Raise what `dump` raises for a format that does not exist."""
    if not isinstance(format, str):
        raise TypeError(f"format must be a str, not {_safe.class_name(format)}")
    if format not in _FORMATS:
        raise ValueError(f"format must be 'text' or 'json', not {format!r}")


def _report(format: str) -> str:
    return _FORMATS[format](_ask.look())


def write(file: "Any", text: str) -> bool:
    """Write a text to a file and flush it; errors of the file are not passed on.

    Args:
        file: an object with a ``write`` for text or bytes.
        text: the text.

    Returns:
        Whether that succeeded.
    """
    try:
        _write(file, text)
        flush = getattr(file, "flush", None)
        if flush is not None:
            flush()
    except Exception:
        return False
    return True


def _write(file: "Any", text: str) -> None:
    try:
        file.write(text)
    except UnicodeEncodeError:
        file.write(text.encode("ascii", "backslashreplace").decode("ascii"))
    except TypeError:
        file.write(text.encode("utf-8", "backslashreplace"))
