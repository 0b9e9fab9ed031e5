"""Makes a test fail in which threads have come into a deadlock.

The thread that would close the cycle gets a `DeadlockError`. In the thread of the test it makes the
test fail like any other exception. In another thread it would end that thread only, or be handled
there, and the test would go on as if nothing had been. So each deadlock is noted when it is found.
"""

from __future__ import annotations

import os
import threading
from collections import deque
from typing import NamedTuple

import _pytest
import pluggy
import pytest

from rthread import debug
from rthread._install import own
from rthread.debug import _policy
from rthread.pytest_plugin._sections import add_section

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator
    from types import ModuleType
    from typing import Any

    from rthread.debug._policy import Policy
    from rthread.pytest_plugin._output import Output

__all__ = ["Deadlocks", "PytestRThreadDeadlockWarning"]

_TITLE = "rthread: deadlock"

# How the lines of a report begin that are frames.
_FRAME = '  File "'


def _frames_of(package: ModuleType) -> str:
    return f"{_FRAME}{os.path.dirname(package.__file__ or '')}{os.sep}"


_PYTEST = (_frames_of(_pytest), _frames_of(pytest), _frames_of(pluggy))
# The frame that starts a phase of a test.
_RUNNER = f"{_PYTEST[0]}runner.py"


class PytestRThreadDeadlockWarning(pytest.PytestWarning):
    """Threads have come into a deadlock, and no test has failed by it."""

    __module__ = "rthread.pytest_plugin"


class _Met(NamedTuple):
    # The thread that would have closed the cycle.
    ident: int
    # The policy at that time.
    policy: str
    report: str


class Deadlocks:
    """The plugin that tells of each deadlock.

    Args:
        policy: the policy for the session, None to leave it as it is.
        output: for deadlocks that end no test.
    """

    def __init__(self, policy: Policy | None, output: Output) -> None:
        self._policy = policy
        self._output = output
        self._policy_before: Policy | None = None
        self._hook_before: Callable[..., Any] | None = None
        self._met: deque[_Met] = deque()
        # Those that no test was there for.
        self._outside: list[_Met] = []

    @pytest.hookimpl(trylast=True)
    def pytest_configure(self) -> None:
        if self._policy is not None:
            self._policy_before = debug.set_deadlock_policy(self._policy)
        _policy.observers.append(self._note)
        # After pytest's own plugin, which makes a warning of each exception.
        self._hook_before = threading.excepthook
        threading.excepthook = self._on_exception

    def pytest_unconfigure(self) -> None:
        if self._hook_before is not None:
            threading.excepthook = self._hook_before
            _policy.observers.remove(self._note)
        if self._policy_before is not None:
            debug.set_deadlock_policy(self._policy_before)

    def _note(self, policy: str, report: str) -> None:
        """Note a deadlock, in the thread that would close it."""
        self._met.append(_Met(own["get_ident"](), policy, report))
        if policy != "raise":
            # pytest has the standard error of a test, and shows it when the test is over, which
            # this one will perhaps never be.
            test = os.environ.get("PYTEST_CURRENT_TEST", "outside of the tests")
            self._output.write(f"\n{test}\n{report}\n")

    def _on_exception(self, args: Any) -> None:
        # `_tell` tells of it.
        if not issubclass(args.exc_type, debug.DeadlockError) and self._hook_before is not None:
            self._hook_before(args)

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_setup(self, item: pytest.Item) -> Generator[None, object, object]:
        return (yield from self._tell(item))

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_call(self, item: pytest.Item) -> Generator[None, object, object]:
        return (yield from self._tell(item))

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_teardown(self, item: pytest.Item) -> Generator[None, object, object]:
        return (yield from self._tell(item))

    def _tell(self, item: pytest.Item) -> Generator[None, object, object]:
        """Run a phase of a test, and tell of the deadlocks that it has met."""
        try:
            result = yield
        except BaseException as error:
            shown = {*map(_tidy, filter(_is_deadlock, _chain(error)))}
            for each in self._take():
                if each.report not in shown:
                    add_section(item, _TITLE, _without_pytest(each.report))
            raise
        met = self._take()
        if item.get_closest_marker("rthread_expects_deadlock") is not None:
            return result
        ident: int = own["get_ident"]()
        if any(each.policy == "raise" and each.ident != ident for each in met):
            pytest.fail("\n\n".join(_without_pytest(each.report) for each in met), pytrace=False)
        for each in met:
            item.warn(PytestRThreadDeadlockWarning(_without_pytest(each.report)))
        return result

    def _take(self) -> list[_Met]:
        # One by one, because threads add to it meanwhile.
        met = []
        while self._met:
            met.append(self._met.popleft())
        return met

    @pytest.hookimpl(wrapper=True)
    def pytest_collection(self) -> Generator[None, object, object]:
        try:
            return (yield)
        finally:
            self._outside += self._take()

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> Generator[None, object, object]:
        result = yield
        for met in [*self._outside, *self._take()]:
            self._output.write(f"\noutside of the tests\n{_without_pytest(met.report)}\n")
            if met.policy == "raise" and session.exitstatus == pytest.ExitCode.OK:
                session.exitstatus = pytest.ExitCode.TESTS_FAILED
        return result


def _chain(error: BaseException) -> Iterator[BaseException]:
    """An exception, and all that it refers to as its cause, its context or a part of it."""
    seen: set[int] = set()
    rest: list[BaseException | None] = [error]
    while rest:
        each = rest.pop()
        if each is not None and id(each) not in seen:
            seen.add(id(each))
            yield each
            rest += [each.__cause__, each.__context__, *getattr(each, "exceptions", ())]


def _is_deadlock(error: BaseException) -> bool:
    return isinstance(error, debug.DeadlockError)


def _tidy(error: BaseException) -> str:
    """Leave out of a `DeadlockError` what is neither the program's nor the test's.

    Returns:
        The text that it had before.
    """
    report = str(error)
    error.args = (_without_pytest(report),)
    last = None
    entry = error.__traceback__
    while entry is not None:
        module = entry.tb_frame.f_globals.get("__name__")
        if last is not None and str(module).startswith("rthread.debug."):
            last.tb_next = None
            break
        last, entry = entry, entry.tb_next
    return report


def _without_pytest(report: str) -> str:
    """A report without the frames of pytest, and those that have started it."""
    lines = []
    is_of_test = True
    for line in report.splitlines():
        # The innermost frames come first.
        is_of_test = not line.startswith(_RUNNER) and (is_of_test or not line.startswith(_FRAME))
        if is_of_test and not line.startswith(_PYTEST):
            lines.append(line)
    return "\n".join(lines)
