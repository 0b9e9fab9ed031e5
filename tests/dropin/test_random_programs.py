"""Programs that hypothesis makes up, stock beside rthread.

Patches of any name, class or object; looks inside at any moment of threads that wait; derived
classes with any of pickle's methods. An example is a fork of a process that runs already.
"""

from __future__ import annotations

import case_runner
import pytest
import random_programs
from case_support import MODES
from hypothesis import given, settings
from hypothesis import strategies as st

PROGRAMS = random_programs.__file__
THREADING = [name for name in random_programs.CLASSES if "Queue" not in name]

classes = st.sampled_from(sorted(random_programs.CLASSES))
numbers = st.integers(0, 5)
hows = st.sampled_from(["count", "count", "raise"])
looks = st.sampled_from(sorted(random_programs.LOOKS))


def names(table: dict[str, list[str]]) -> st.SearchStrategy[tuple[str, str]]:
    """A class or a module, and a name of its."""
    return st.sampled_from([(owner, name) for owner, found in table.items() for name in found])


def steps(*kinds: st.SearchStrategy[list[object]]) -> st.SearchStrategy[list[list[object]]]:
    return st.lists(st.one_of(*kinds), min_size=2, max_size=14)


made = st.tuples(st.just("make"), classes).map(list)
patches = steps(
    made,
    made,
    st.tuples(names(random_programs.NAMES), hows).map(lambda t: ["name", *t[0], t[1]]),
    st.tuples(names(random_programs.METHODS), hows).map(lambda t: ["method", *t[0], t[1]]),
    st.tuples(st.just("object"), numbers, numbers, hows).map(list),
    st.just(["back"]),
    *[st.tuples(st.just("call"), numbers, numbers).map(list)] * 4,
)
waits = steps(
    made,
    st.tuples(st.just("wait"), numbers, st.sampled_from([None, 30])).map(list),
    st.tuples(st.just("wait"), numbers, st.sampled_from([None, 30])).map(list),
    st.tuples(st.just("look"), numbers, looks).map(list),
    st.tuples(st.just("look elsewhere"), numbers, looks).map(list),
    st.tuples(st.just("look and give"), numbers, looks, numbers).map(list),
    st.tuples(st.just("give"), numbers, numbers).map(list),
)
bodies = st.fixed_dictionaries(
    {}, optional={name: st.sampled_from(sorted(b)) for name, b in random_programs.BODIES.items()}
)


@pytest.fixture(params=MODES)
def same(request, runner):
    """Plays a program on stock and in a mode, and compares."""

    def compare(program: str, *args: object) -> None:
        wanted = runner.run("stock", PROGRAMS, program, *args)
        assert wanted.status == 0, f"a wrong program: {wanted.text}\n{wanted.errors}"
        got = runner.run(request.param, PROGRAMS, program, *args)
        assert got.text == wanted.text, case_runner.difference(wanted, got)

    return compare


@settings(max_examples=60)
@given(program=patches)
def test_patches_are_seen_as_on_stock(same, program):
    same("patched", program)


@settings(max_examples=30)
@given(program=waits)
def test_looks_at_any_moment_lose_nothing(same, program):
    same("looked_at", program)


@settings(max_examples=50)
@given(
    base=st.sampled_from(THREADING),
    methods=bodies,
    shape=st.sampled_from(["plain", "slots", "deeper"]),
)
def test_derived_classes_are_pickled_as_on_stock(same, base, methods, shape):
    same("pickled", base, methods, shape, sorted(random_programs.WAYS))


def test_a_host_says_what_a_program_comes_to(runner: case_runner.CaseRunner) -> None:
    steps = [["make", "Event"], ["method", "Event", "set", "count"], ["call", 0, 2]]
    result = runner.run("stock", PROGRAMS, "patched", steps)
    assert (result.status, result.out.splitlines()[-1]) == (0, "call 0 2 None ['Event.set']")
