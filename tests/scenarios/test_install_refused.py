"""The switch is refused while other threads are alive."""

from __future__ import annotations

import pytest

from scenarios.run import run


@pytest.mark.parametrize("way", ["threading", "daemon", "bare", "shim", "ours"])
@pytest.mark.parametrize(("call", "then"), [("install", "rthread"), ("uninstall", "stock")])
def test_with_another_thread_alive(call: str, then: str, way: str) -> None:
    outcome = run("plain", "install_refused", call, way)

    assert (outcome.status, outcome.err) == (0, "")
    refusal, unchanged = outcome.lines[:2]
    assert refusal.startswith(f"RuntimeError rthread.{call}() ")
    assert "another thread is alive" in refusal
    # The name can be told of threads that threading knows.
    assert ("the other" in refusal) == (way not in ("bare", "ours"))
    assert unchanged == "nothing changed: True"
    assert outcome.lines[2:] == [
        refusal,
        unchanged,
        "done afterwards: True True",
        f"_thread is {then}",
    ]
