"""Tests that are not asked of rthread, each with its versions and its reason.

`KNOWN`: they pass on the stock modules and do not on rthread. An entry whose test passes, or that
stock does not pass, fails the run: nothing stays here that is no longer true.

`UNSTABLE`: they fail at random on the stock modules too, by a bug of CPython's that has nothing to
do with `_thread`. Neither side runs them.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass

from .suites import FREE_THREADED, Suite


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


@dataclass(frozen=True)
class Unstable:
    """A test that stock passes or fails by chance, until CPython's bug is mended.

    Attributes:
        module: as test_threading.
        test: its last name, or a pattern of the last two.
        reason: the bug, with its number if it has one.
        mended: the first release without it, of each series that got it; none if none has.
    """

    module: str
    test: str
    reason: str
    mended: tuple[tuple[int, int, int], ...]

    def applies(self, version: tuple[int, ...] = sys.version_info[:3]) -> bool:
        if not self.mended:
            return True
        of_series = [release for release in self.mended if release[:2] == version[:2]]
        return version < (of_series or [min(self.mended)])[0]


_SHUTDOWN_DEADLOCK = (
    "gh-125451: ProcessPoolExecutor deadlocks with itself when it is shut down just as a task "
    "cannot be pickled (on stock 3.13.0 in 4 of 60 runs)"
)

_SHUTDOWN_HANG = (
    "ProcessPoolExecutor may wait for ever in its shutdown when map() has just raised (on stock "
    "3.11.2 once in 400 times)"
)
_COUNTED_LATE = (
    "ProcessPoolExecutor gives out a result before it counts the process as idle, and may start "
    "another one (on stock 3.14.7 in 16 of 1,000 times, with a switch interval of a microsecond)"
)

UNSTABLE = [
    Unstable("test_concurrent_futures", test, reason, mended)
    for test, reason, mended in [
        ("test_shutdown_deadlock_pickle", _SHUTDOWN_DEADLOCK, ((3, 12, 8), (3, 13, 1))),
        ("test_processes_terminate", _SHUTDOWN_DEADLOCK, ((3, 12, 8), (3, 13, 1))),
        # Not seen since.
        ("ProcessPool*.test_map_exception", _SHUTDOWN_HANG, ((3, 11, 7),)),
        ("test_idle_process_reuse_one", _COUNTED_LATE, ()),
    ]
]


def left_out(suite: Suite) -> dict[str, str]:
    """The reasons for what neither side runs of a module, by the pattern of the tests' names."""
    return {
        f"*.{unstable.test}": unstable.reason
        for unstable in UNSTABLE
        if unstable.applies() and suite.name.split(".")[0] == unstable.module
    }
