"""Signal handlers that take, free or keep what the main thread waits for, or that raise."""

from __future__ import annotations

import pytest

from scenarios.run import MODES, run

# What each has to say after the line that asks for its signal, on every version.
SAID = {
    "frees": ["handler frees None", "acquired True True"],
    "frees_with_timeout": ["handler frees None", "acquired True True"],
    "takes_and_frees": [
        "handler has it",
        "handler has freed it",
        "acquired True",
        "free again True",
    ],
    "takes_and_frees_with_timeout": [
        "handler has it",
        "handler has freed it",
        "acquired True",
        "free again True",
    ],
    "takes_and_frees_rlock": [
        "handler has it",
        "handler has freed it",
        "acquired True",
        "free again True",
    ],
    "takes_and_keeps": [
        "handler has it True",
        "signal SIGUSR2",
        "handler frees None",
        "acquired True",
        "locked True",
    ],
    "waits_in_vain": ["handler False False", "signal SIGUSR2", "acquired True"],
    "nested": ["signal SIGUSR2", "handler acquired True", "acquired True"],
    "raises_in_lock": [
        "handler raises",
        "acquire raised out of the handler",
        "signal SIGUSR1",
        "handler raises",
        "acquire raised out of the handler",
        "signal SIGUSR1",
        "handler raises",
        "with raised out of the handler",
        "free True",
    ],
    "raises_having_taken": [
        "handler raises",
        "acquire raised out of the handler",
        "locked False",
    ],
    "raises_in_rlock": [
        "handler raises",
        "acquire raised out of the handler",
        "owned False",
        "acquired True True True",
    ],
    "raises_in_condition": [
        "handler raises",
        "wait raised out of the handler",
        "owned True waiters 0",
    ],
    "raises_in_join": [
        "handler raises",
        "join raised out of the handler",
        "alive False",
    ],
    "raises_in_event": ["handler raises", "wait raised out of the handler", "set True"],
    "sets_event": ["waited True"],
    "only_on_main": ["handled on the main thread True", "other acquired True", "joined"],
}


@pytest.mark.parametrize("mode", ["stock", *MODES])
@pytest.mark.parametrize("scenario", SAID)
def test_a_wait_copes_with_its_handler(scenario: str, mode: str) -> None:
    outcome = run(mode, "handlers", scenario)

    assert outcome.lines == ["signal SIGUSR1", *SAID[scenario]]
    assert outcome.err == ""
    assert outcome.status == 0
