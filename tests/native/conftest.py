"""Each test of a class runs on the stock one first: what stock fails is a wrong test."""

from __future__ import annotations

from typing import Any

import kits
import pytest


@pytest.fixture(params=kits.NAMES)
def kit(request: pytest.FixtureRequest) -> kits.Kit:
    """Stock, then rthread."""
    return kits.kit(request.param)


@pytest.fixture
def ours() -> kits.Kit:
    """rthread alone, for what stock does not promise."""
    return kits.kit("rthread")


@pytest.fixture(params=kits.NAMES)
def shut_kit(request: pytest.FixtureRequest) -> Any:
    """Those whose queues can be shut down: rthread's on every version."""
    found = kits.kit(request.param)
    if not hasattr(found.queue, "ShutDown"):
        assert found.is_stock, "rthread.queue has ShutDown on every version"
        pytest.skip("the stock queue has no shutdown() before 3.13")
    return found
