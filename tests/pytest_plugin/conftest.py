"""What the tests of the plugin for pytest are handed."""

from __future__ import annotations

import functools
from pathlib import Path

import pytest
from pytest_runs import RunPytest, run_pytest_in


@pytest.fixture
def run_pytest(tmp_path: Path) -> RunPytest:
    """Runs tests in a fresh process: see `pytest_runs.run_pytest_in`."""
    return functools.partial(run_pytest_in, tmp_path)
