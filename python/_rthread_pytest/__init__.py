"""The entry point for pytest: rthread's options, and nothing else.

Every run of pytest in an environment with rthread imports this module. It is therefore outside of
the package ``rthread``, whose import loads the extension. ``rthread.pytest_plugin`` does the work,
and is imported if an option asks for it.
"""

from __future__ import annotations

import weakref
from typing import NamedTuple

import pytest

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Literal

    Policy = Literal["raise", "warn", "exit", "off"]

__all__ = ["LEAKS", "POLICIES", "Settings", "settings_of"]

POLICIES = ("raise", "warn", "exit", "off")
LEAKS = ("warn", "error", "off")

_MARKERS = (
    "rthread_expects_deadlock: this test provokes deadlocks and handles each DeadlockError",
    "rthread_leaks(what): 'warn', 'error' or 'off' for this test, as --rthread-leaks",
)


class Settings(NamedTuple):
    """What the command line and the configuration file ask for."""

    # Whether the session runs on rthread.
    install: bool
    # Whether the classes of `queue` are rthread's, too.
    queue: bool
    # One of POLICIES; None if the policy is to stay as it is.
    deadlocks: Policy | None
    # One of LEAKS.
    leaks: str
    # Patterns for the names of threads that may outlive a test.
    ignored: tuple[str, ...]


# Not in config.stash: this module has to do no harm to a pytest that is too old to have it.
_settings: weakref.WeakKeyDictionary[pytest.Config, Settings] = weakref.WeakKeyDictionary()
_OLDEST = 8


def pytest_addoption(parser: pytest.Parser, pluginmanager: pytest.PytestPluginManager) -> None:
    group = parser.getgroup("rthread", "threads on rthread")
    # `-p rthread.pytest_plugin` brings the same function once more.
    if group.options:
        return
    group.addoption(
        "--rthread",
        action="store_true",
        default=None,
        help="Run the tests on rthread.",
    )
    group.addoption(
        "--rthread-queue",
        action="store_true",
        default=None,
        help="Run the tests on rthread, with its classes in queue, too.",
    )
    group.addoption(
        "--rthread-deadlocks",
        choices=POLICIES,
        default=None,
        help="Run the tests on rthread. A deadlock makes its test fail (raise), is told on "
        "standard error (warn), or ends the process with status 66 (exit).",
    )
    group.addoption(
        "--rthread-leaks",
        choices=LEAKS,
        default=None,
        help="Run the tests on rthread. A test that leaves locks held or threads alive gets a "
        "warning (warn) or an error (error).",
    )
    parser.addini("rthread", "Run the tests on rthread, as --rthread.", type="bool", default=False)
    parser.addini(
        "rthread_queue",
        "Use rthread's classes in queue, as --rthread-queue.",
        type="bool",
        default=False,
    )
    parser.addini("rthread_deadlocks", "As --rthread-deadlocks.", default="")
    parser.addini("rthread_leaks", "As --rthread-leaks.", default="")
    parser.addini(
        "rthread_leaks_ignore",
        "Patterns for the names of threads that may outlive a test.",
        type="linelist",
        default=[],
    )
    _leave_asserts_alone(pluginmanager)


def _leave_asserts_alone(pluginmanager: pytest.PytestPluginManager) -> None:
    """Import rthread as it is, without names that the rewriting of asserts adds to each module.

    pytest marks all packages of a distribution that has an entry point for it.
    """
    hook = getattr(pluginmanager, "rewrite_hook", None)
    marked = getattr(hook, "_must_rewrite", None)
    cache = getattr(hook, "_marked_for_rewrite_cache", None)
    if isinstance(marked, set) and isinstance(cache, dict):
        marked.discard("rthread")
        cache.clear()


# Before any conftest.py, so that what it imports and starts is on rthread.
@pytest.hookimpl(tryfirst=True)
def pytest_load_initial_conftests(early_config: pytest.Config) -> None:
    _begin(early_config, early_config.known_args_namespace)


# For a plugin that is named by a conftest.py and so comes too late for the hook above.
@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    for line in _MARKERS:
        config.addinivalue_line("markers", line)
    _begin(config, config.option)


def settings_of(config: pytest.Config) -> Settings:
    """The settings of a session that has begun."""
    return _settings[config]


def _begin(config: pytest.Config, options: object) -> None:
    if config in _settings:
        return
    found = _settings[config] = _read(config, options)
    # Only to show them: a help text needs no threads.
    wants_text = getattr(options, "help", False) or getattr(options, "version", False)
    if not found.install or wants_text:
        return
    if int(pytest.__version__.partition(".")[0]) < _OLDEST:
        raise pytest.UsageError(f"rthread needs pytest {_OLDEST} or later")
    try:
        # Not at the top: see above.
        from rthread import pytest_plugin
    except ImportError as error:
        raise pytest.UsageError(f"rthread cannot be imported: {error}") from error
    pytest_plugin.begin(config, found)


def _read(config: pytest.Config, options: object) -> Settings:
    def is_on(name: str) -> bool:
        given = getattr(options, name, None)
        return _switch_in_file(config, name) if given is None else bool(given)

    def choice(name: str, choices: tuple[str, ...]) -> Any:
        given = getattr(options, name, None)
        return _choice_in_file(config, name, choices) if given is None else given

    queue = is_on("rthread_queue")
    deadlocks = choice("rthread_deadlocks", POLICIES)
    leaks = choice("rthread_leaks", LEAKS) or "off"
    implied = queue or leaks != "off" or deadlocks not in (None, "off")
    return Settings(
        install=is_on("rthread") or implied,
        queue=queue,
        deadlocks=deadlocks,
        leaks=leaks,
        ignored=tuple(config.getini("rthread_leaks_ignore")),
    )


def _switch_in_file(config: pytest.Config, name: str) -> bool:
    try:
        return bool(config.getini(name))
    # A pytest.UsageError in some versions, which does not name the setting.
    except Exception as error:
        raise pytest.UsageError(
            f"{name} in the configuration file must be true or false: {error}"
        ) from error


def _choice_in_file(config: pytest.Config, name: str, choices: tuple[str, ...]) -> str | None:
    value = config.getini(name)
    if not value:
        return None
    if value not in choices:
        listed = ", ".join(choices)
        raise pytest.UsageError(
            f"{name} in the configuration file is {value!r}, and must be one of: {listed}"
        )
    return str(value)
