"""Has pytest-xdist start its workers on rthread.

A worker has a second thread before pytest begins in it, and `rthread.install` needs a process with
one. So the environment puts a worker on rthread at its start. The worker then gives its tests the
environment that they would have without workers.
"""

from __future__ import annotations

import json
import os

import pytest

TYPE_CHECKING = False
if TYPE_CHECKING:
    from _rthread_pytest import Settings

__all__ = ["Workers", "restore_environment"]

# Holds the values that the other variables had before, for the worker.
_BEFORE = "RTHREAD_PYTEST_WORKER"


def restore_environment() -> None:
    """Undo in a worker what its controller has changed in the environment."""
    before = os.environ.pop(_BEFORE, None)
    if before is None:
        return
    for name, value in json.loads(before).items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value


class Workers:
    """The plugin that has pytest-xdist start its workers on rthread."""

    def __init__(self, settings: Settings) -> None:
        self._wanted = {"RTHREAD": "1"}
        if settings.queue:
            self._wanted["RTHREAD_QUEUE"] = "1"

    # A worker that replaces a crashed one is started later, in the same environment.
    @pytest.hookimpl(optionalhook=True)
    def pytest_xdist_setupnodes(self) -> None:
        if _BEFORE not in os.environ:
            before = {name: os.environ.get(name) for name in self._wanted}
            os.environ.update(self._wanted, **{_BEFORE: json.dumps(before)})

    def pytest_unconfigure(self) -> None:
        restore_environment()
