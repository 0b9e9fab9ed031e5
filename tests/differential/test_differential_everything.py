"""Whatever can be called, in rthread and in stock, with whatever arguments, one case after another.

The cases are those of the proof `bad-input` (tests/reliability), which tries many more of them, in
processes of their own; here hypothesis finds the shortest sequence that makes a difference.
"""

from __future__ import annotations

import os
import random
import signal
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

TESTS = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def trial() -> Iterator[Any]:
    """What tries cases in both worlds."""
    folders = [str(TESTS / "reliability" / "programs"), str(TESTS / "scenarios" / "cases")]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "path", [*sys.path, *folders])
        patch.setattr(sys, "dont_write_bytecode", sys.dont_write_bytecode)
        before = signal.getsignal(signal.SIGALRM), signal.getsignal(signal.SIGINT)
        import bad_input
        import fuzz_worlds

        made = bad_input.Trial("", os.devnull, fuzz_worlds.worlds())
        patch.setattr(sys, "unraisablehook", made._unraisable)
        made.clock.start()
        yield made
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before[0])
        signal.signal(signal.SIGINT, before[1])


@settings(max_examples=int(os.environ.get("RTHREAD_EXAMPLES", "30")))
@given(numbers=st.lists(st.integers(0, 2**32), min_size=1, max_size=40))
def test_calls_of_everything_come_to_the_same(trial: Any, numbers: list[int]) -> None:
    trial.ours.forget()
    trial.stock.forget()
    trial.found.clear()
    cases = [trial.plan.case(random.Random(number), len(trial.plan.targets)) for number in numbers]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for index, case in enumerate(cases):
            trial.one(index, case)
    words = "\n".join(case.words for case in cases)
    assert not trial.found, f"{trial.found}\nafter\n{words}"
