"""Standard error as it was before pytest captures it: for texts that have to be seen at once."""

from __future__ import annotations

import contextlib
import os
import sys

import pytest

__all__ = ["Output"]


class Output:
    """A file that the plugins share, and the plugin that opens and closes it."""

    def __init__(self) -> None:
        self._descriptor = -1

    # Between the start of a session and the first hook here, pytest does not capture.
    @pytest.hookimpl(tryfirst=True)
    def pytest_configure(self) -> None:
        self._descriptor = os.dup(_stderr_descriptor())

    @pytest.hookimpl(trylast=True)
    def pytest_unconfigure(self) -> None:
        descriptor, self._descriptor = self._descriptor, -1
        os.close(descriptor)

    def write(self, text: str) -> None:
        """Write a text. If the file is closed or full, the text is lost."""
        left = text.encode("utf-8", "backslashreplace")
        with contextlib.suppress(OSError):
            while left:
                left = left[os.write(self._descriptor, left) :]


def _stderr_descriptor() -> int:
    # xdist and others put an object there that is no file.
    for file in (sys.stderr, sys.__stderr__):
        try:
            descriptor = file.fileno() if file is not None else -1
        except (AttributeError, OSError, ValueError):
            continue
        if descriptor >= 0:
            return descriptor
    return 2
