"""Every program in examples/ prints what it should, on the stock threads and on rthread."""

from __future__ import annotations

from pathlib import Path

import pytest

from support import run_python

HERE = Path(__file__).resolve().parent
EXAMPLES = HERE.parents[1] / "examples"
PROGRAMS = sorted(path.stem for path in EXAMPLES.glob("*.py"))

SWITCHES = {"stock": (), "rthread": ("-m", "rthread")}


@pytest.mark.parametrize("switch", SWITCHES)
@pytest.mark.parametrize("program", PROGRAMS)
def test_prints_what_it_should(program: str, switch: str) -> None:
    finished = run_python(*SWITCHES[switch], str(EXAMPLES / f"{program}.py"))

    assert finished.stderr == ""
    assert finished.stdout == (HERE / "expected" / f"{program}.txt").read_text("utf-8")
    assert finished.returncode == 0


def test_each_has_its_expected_output_and_its_line_in_the_list() -> None:
    expected = sorted(path.stem for path in (HERE / "expected").glob("*.txt"))
    listed = [
        line.partition("]")[0].removeprefix("- [").removesuffix(".py")
        for line in (EXAMPLES / "README.md").read_text("utf-8").splitlines()
        if line.startswith("- [")
    ]

    assert PROGRAMS
    assert expected == listed == PROGRAMS
