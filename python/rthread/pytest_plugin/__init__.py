"""The plugin for pytest: runs the tests on rthread, and tells of deadlocks, leaks and hangs.

pytest finds it through ``_rthread_pytest``, which has the options and calls `begin` if one of them
is given. ``-p rthread.pytest_plugin`` loads it where plugins are not found by themselves.
"""

from __future__ import annotations

import pytest

import rthread

# pytest looks for these in this module, if it is named to it.
from _rthread_pytest import pytest_addoption as pytest_addoption
from _rthread_pytest import pytest_configure as pytest_configure
from _rthread_pytest import pytest_load_initial_conftests as pytest_load_initial_conftests
from rthread import debug
from rthread.pytest_plugin._deadlocks import Deadlocks, PytestRThreadDeadlockWarning
from rthread.pytest_plugin._leaks import Leaks, PytestRThreadLeakWarning
from rthread.pytest_plugin._output import Output
from rthread.pytest_plugin._sections import Sections
from rthread.pytest_plugin._timeouts import Timeouts
from rthread.pytest_plugin._workers import Workers, restore_environment

TYPE_CHECKING = False
if TYPE_CHECKING:
    from _rthread_pytest import Settings

__all__ = ["PytestRThreadDeadlockWarning", "PytestRThreadLeakWarning", "begin"]


def begin(config: pytest.Config, settings: Settings) -> None:
    """Put the session on rthread, and add the plugins that the settings ask for.

    Args:
        config: the session, before or while it is configured.
        settings: what the options ask for.

    Raises:
        pytest.UsageError: the process cannot be put on rthread.
    """
    restore_environment()
    _install(settings)
    manager = config.pluginmanager
    output = Output()
    manager.register(output, "rthread-output")
    manager.register(_Header(settings), "rthread-header")
    manager.register(Sections(), "rthread-sections")
    manager.register(Timeouts(output), "rthread-timeouts")
    manager.register(Workers(settings), "rthread-workers")
    manager.register(Deadlocks(settings.deadlocks, output), "rthread-deadlocks")
    manager.register(Leaks(settings.leaks, settings.ignored), "rthread-leaks")


def _install(settings: Settings) -> None:
    try:
        rthread.install(queue=True if settings.queue else None)
    # A warning, where the configuration makes errors of warnings.
    except (RuntimeError, Warning) as error:
        raise pytest.UsageError(f"the tests cannot be run on rthread: {error}") from error


class _Header:
    """The line about rthread at the beginning of the output."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    def pytest_report_header(self) -> str:
        settings = self._settings
        parts = [rthread.__version__]
        if settings.queue:
            parts.append("with its queues")
        # The environment may have chosen it.
        if debug.deadlock_policy() != "off":
            parts.append(f"deadlocks: {debug.deadlock_policy()}")
        if settings.leaks != "off":
            parts.append(f"leaks: {settings.leaks}")
        return f"rthread: {', '.join(parts)}"
