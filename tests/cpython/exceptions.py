"""Tests that pass on the stock modules and do not on rthread, each with its versions and reason.

An entry whose test passes, or that stock does not pass, fails the run: nothing stays here that is
no longer true.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass

from .suites import FREE_THREADED


@dataclass(frozen=True)
class Known:
    """A failure that is known.

    Attributes:
        test: the test's full name, as `test.test_threading.ThreadTests.test_name`.
        reason: why rthread cannot or must not pass it.
        since, until: the first and the last version that this holds for.
        free_threaded: on which builds: True, False, or None for both.
    """

    test: str
    reason: str
    since: tuple[int, int] = (3, 10)
    until: tuple[int, int] = (3, 99)
    free_threaded: bool | None = None

    def applies(self) -> bool:
        return self.since <= sys.version_info[:2] <= self.until and self.free_threaded in (
            None,
            FREE_THREADED,
        )


KNOWN: list[Known] = []


def reasons() -> dict[str, str]:
    """The reasons that hold for this interpreter, by test."""
    return {known.test: known.reason for known in KNOWN if known.applies()}
