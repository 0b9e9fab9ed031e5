"""Reports that a signal asks for. The extension has the handler, and the threads that do the work.

`_report` runs in a thread of its own, which exists only for that call and is not in the report.
"""

import sys

from rthread import _rthread, _signal_names
from rthread._install import own
from rthread.debug import _ask, _look, _safe, _text

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Protocol

    class HasFileno(Protocol):
        def fileno(self) -> int: ...


__all__ = ["register", "unregister"]

# The files of the signals that are registered, to be kept open. They are those of the process,
# however often this module is loaded.
_files: "dict[int, Any]" = _look.extension.setdefault("__debug_files__", {})


def register(signum: int, file: "HasFileno | int | None" = None, chain: bool = False) -> None:
    """Have a signal write the report of `dump`, as text.

    The report also comes while the main thread waits for a lock. If a thread keeps the GIL, so that
    no other one can run Python code for two seconds, a report without Python stacks comes first.
    Signals that come during a report are answered by one further report. The children of a fork
    report, too. A file that is closed or full does not hurt the program.

    The program may replace the handler by one of its own, with `signal.signal`. The handler is not
    to be seen in `signal.getsignal`.

    Args:
        signum: the number of the signal. If it is registered already, the other arguments are
            changed.
        file: a file with a descriptor, or a descriptor; ``sys.stderr`` if left out. It is written
            to directly, not through the buffer of the file. It has to stay open.
        chain: whether the signal is then handled as before, too. If no function has handled it,
            that is the system's default, after the report.

    Raises:
        ValueError: there is no such signal, or it cannot be caught, or it tells of a fault, for
            which there is `faulthandler.enable`; or the file is closed or has no descriptor.
        TypeError: `signum` is no int.
        AttributeError: `file` has no ``fileno``.
        OSError: the descriptor is not open.
        RuntimeError: `file` is left out, and ``sys.stderr`` is None or missing; or the caller is in
            a sub-interpreter; or no thread can be started.
    """
    number = _checked(signum)
    if not _look.extension["__is_main__"]:
        raise RuntimeError("register() works in the main interpreter only: signals are its own")
    if file is None:
        file = getattr(sys, "stderr", None)
        if file is None:
            raise RuntimeError("sys.stderr is None or missing, so register() needs a file")
    fd = _descriptor(file)
    _rthread.__register_signal__(number, fd, chain, _report)
    _files[number] = file


def unregister(signum: int) -> bool:
    """End the effect of `register` for a signal.

    The signal is handled as before, unless the program has set a handler of its own since.

    Args:
        signum: the number of the signal.

    Returns:
        Whether the signal was registered.

    Raises:
        ValueError, TypeError: as for `register`.
    """
    number = _checked(signum)
    was_registered = _rthread.__unregister_signal__(number)
    _files.pop(number, None)
    return was_registered


def _checked(signum: int) -> int:
    if not isinstance(signum, int):
        raise TypeError(f"signum must be an int, not {_safe.class_name(signum)}")
    number = int(signum)
    reason = _signal_names.objection(number)
    if reason is not None:
        raise ValueError(reason)
    return number


def _descriptor(file: "HasFileno | int") -> int:
    if isinstance(file, int):
        fd = int(file)
    else:
        fd = file.fileno()
        if not isinstance(fd, int):
            raise ValueError(f"file.fileno() must return an int, not {_safe.class_name(fd)}")
        flush = getattr(file, "flush", None)
        if flush is not None:
            try:
                flush()
            except Exception:
                # What is in the buffer will come after the reports, or never.
                pass
    if not 0 <= fd <= _MOST:
        raise ValueError(f"file is no file descriptor: {fd}")
    return fd


# Descriptors are C's ints.
_MOST = 0x7FFF_FFFF


def _report() -> bytes:
    """Make the report; called by the extension."""
    text: str = _look.undisturbed(_make)
    return text.encode("utf-8", "backslashreplace")


def _make() -> str:
    snapshot = _ask.look()
    caller = own["get_ident"]()
    snapshot.threads = [record for record in snapshot.threads if record.ident != caller]
    snapshot.index()
    return _text.report(snapshot)
