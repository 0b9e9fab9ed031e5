"""A ``Thread.start`` that raises where the interpreter's own waits for ever (gh-140746).

``Thread.start`` waits until the new thread has said that it runs. If that fails before it gets so
far, as it does without memory, nobody ever says so. Here the extension ends the wait (see
``src/thread/waiting.rs``) and sees to it that the thread has no ident; what is left is to raise.
"""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

__all__ = ["raising"]

# Made once for each class: install() finds again what it has put there.
_made: "dict[Callable[[Any], None], Callable[[Any], None]]" = {}


def raising(names: "dict[str, Any]") -> "Callable[[Any], None]":
    """Make a method that stands in for ``Thread.start``.

    Args:
        names: the namespace of a ``threading`` module, with a ``Thread`` that has the
            interpreter's own method.

    Returns:
        The method.
    """
    start_and_wait: Callable[[Any], None] = names["Thread"].start
    if start_and_wait in _made:
        return _made[start_and_wait]

    def start(self: "Any") -> None:
        start_and_wait(self)
        if self._ident is None:
            # Looked up here: a fork makes new ones.
            with names["_active_limbo_lock"]:
                names["_limbo"].pop(self, None)
            # As after any other start that failed: it has not been started.
            self._started.clear()
            raise RuntimeError("can't start new thread")

    for name in ("__module__", "__name__", "__qualname__", "__doc__"):
        setattr(start, name, getattr(start_and_wait, name))
    start.__wrapped__ = start_and_wait  # type: ignore[attr-defined]
    _made[start_and_wait] = start
    return start
