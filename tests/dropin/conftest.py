"""Each case of a file is a test in each mode: the same output on rthread as on stock."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import beside
import hosts as hosts_module
import pytest


@pytest.fixture(scope="session")
def hosts() -> Iterator[hosts_module.Hosts]:
    running = hosts_module.Hosts()
    yield running
    running.close()


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "case" not in metafunc.fixturenames:
        return
    declared = beside.cases(metafunc.module.__file__)
    assert declared, f"{metafunc.module.__file__} has no case"
    rows = [
        pytest.param(case, mode, id=f"{case.name}-{mode}")
        for case in declared.values()
        for mode in beside.MODES
        if not case.only or case.only == mode
    ]
    metafunc.parametrize(("case", "mode"), rows)


@pytest.fixture
def compare(
    hosts: hosts_module.Hosts, case: beside.Case, mode: str, request: pytest.FixtureRequest
) -> Callable[[], None]:
    """Compares the case of this test."""
    reason = hosts_module.skipped(case, mode)
    if reason:
        pytest.skip(reason)
    return lambda: hosts.compare(str(request.path), case, mode)
