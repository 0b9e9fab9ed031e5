"""Sub-interpreters, by the name that each version has for them."""

from __future__ import annotations

import importlib
import sys
from typing import Any

_low: Any = importlib.import_module(
    "_interpreters" if sys.version_info >= (3, 13) else "_xxsubinterpreters"
)

# "legacy" shares the GIL of the main interpreter, where there is one. "isolated" has its own from
# 3.12 on; before, it shares that too and may not start threads.
KINDS = ("legacy", "isolated")


def create(kind: str) -> Any:
    """A new interpreter."""
    if sys.version_info >= (3, 13):
        return _low.create(kind)
    return _low.create(isolated=kind == "isolated")


def allows_threads(kind: str) -> bool:
    return kind == "legacy" or sys.version_info >= (3, 12)


def run(interpreter: Any, code: str) -> None:
    """Run code in an interpreter, in the calling thread.

    Raises:
        RuntimeError: for an exception there, with its words.
    """
    if sys.version_info >= (3, 13):
        failure = _low.exec(interpreter, code)
        if failure is not None:
            raise RuntimeError(getattr(failure, "errdisplay", None) or failure.formatted)
    else:
        _low.run_string(interpreter, code)


def end(interpreter: Any) -> None:
    """End an interpreter. It waits for its threads; before 3.12 there must be none."""
    _low.destroy(interpreter)
