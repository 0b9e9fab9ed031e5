"""Each case of a file is a test in each mode: the same output on rthread as on stock."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import case_runner
import case_support
import pytest


@pytest.fixture(scope="session")
def runner() -> Iterator[case_runner.CaseRunner]:
    running = case_runner.CaseRunner()
    yield running
    running.close()


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "case" not in metafunc.fixturenames:
        return
    declared = case_support.cases(metafunc.module.__file__)
    assert declared, f"{metafunc.module.__file__} has no case"
    rows = [
        pytest.param(case, mode, id=f"{case.name}-{mode}")
        for case in declared.values()
        for mode in case_support.MODES
        if not case.only or case.only == mode
    ]
    metafunc.parametrize(("case", "mode"), rows)


@pytest.fixture
def compare(
    runner: case_runner.CaseRunner,
    case: case_support.Case,
    mode: str,
    request: pytest.FixtureRequest,
) -> Callable[[], None]:
    """Compares the case of this test."""
    reason = case_runner.skipped(case, mode)
    if reason:
        pytest.skip(reason)
    # Those of the same file that come afterwards are run ahead.
    for item in request.session.items:
        if item.path == request.path and hasattr(item, "callspec"):
            case_, mode_ = (item.callspec.params.get(name) for name in ("case", "mode"))
            if case_ and not case_runner.skipped(case_, mode_):
                for kind in {"stock", mode_} if case_.expect is None else {mode_}:
                    runner.ahead(kind, str(request.path), case_)
    return lambda: runner.compare(str(request.path), case, mode)
