"""What is written while cases run, and what they write themselves."""

from __future__ import annotations

import os

LINE = 4000


class Journal:
    """The cases that are running, in a file with a line for each thread."""

    def __init__(self, path: str) -> None:
        self._file = os.open(path, os.O_CREAT | os.O_WRONLY | os.O_TRUNC)

    def write(self, text: str, line: int = 0) -> None:
        data = text.encode(errors="backslashreplace")[: LINE - 1].ljust(LINE - 1) + b"\n"
        os.pwrite(self._file, data, line * LINE)


class Sink:
    """Where the output of cases goes."""

    def write(self, text: str) -> int:
        return len(text)

    def flush(self) -> None:
        pass
