"""python -m tests.models: `sync` under both model checkers, and the models against its mutants.

Prints what was explored and which models notice which mutant; the exit status is 1 if a model fails
or a mutant survives. `--table` only prints what an earlier run has left.
"""

from __future__ import annotations

import argparse
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from .mutants import MUTANTS, Mutant
from .mutated_source import ROOT, make_copy
from .run import build, names, read, run_all, run_one

CHECKERS = ("loom", "shuttle")
TARGET = ROOT / "target"
RESULTS = ROOT / "build" / "models"
# As many programs at a time: each of them is one thread.
WORKERS = 2
# Schedules that a program of shuttle gets if a mutant has survived the usual number.
MANY = 50_000


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.models", description=__doc__)
    parser.add_argument("--only", choices=[*CHECKERS, "mutants"], help="only this part")
    parser.add_argument("--mutant", default="", help="only mutants whose name has this in it")
    parser.add_argument("--table", action="store_true", help="only print the table")
    options = parser.parse_args()
    if options.table:
        print(table())
        return 0
    parts = [options.only] if options.only else [*CHECKERS, "mutants"]
    failed = []
    for checker in CHECKERS:
        if checker in parts and not check(checker):
            failed.append(checker)
    if parts != ["mutants"]:
        print(table(), flush=True)
    if "mutants" in parts and not break_all(options.mutant):
        failed.append("mutants")
    return 1 if failed else 0


def build_models(checker: str, source: Path, target: Path) -> Path:
    """The program that holds the models of this checker."""
    return build(checker, source, target, f"--cfg {checker}")


def check(checker: str) -> bool:
    """Whether every model of this checker holds."""
    begun = time.monotonic()
    for left in RESULTS.glob(f"{checker}-*.json"):
        left.unlink()
    program = build_models(checker, ROOT, TARGET / checker)
    outcome = run_all(program, RESULTS)
    if not outcome.passed:
        print(outcome.log)
    verdict = "every model holds" if outcome.passed else "FAILED"
    print(f"{checker}: {verdict} ({time.monotonic() - begun:.0f} s)", flush=True)
    return outcome.passed


def break_all(part_of_name: str) -> bool:
    """Whether every mutant is noticed by each of the models that it names."""
    begun = time.monotonic()
    copy = TARGET / "mutants" / "source"
    make_copy(copy)
    programs = {
        checker: build_models(checker, copy, TARGET / "mutants" / checker) for checker in CHECKERS
    }
    chosen = [mutant for mutant in MUTANTS if part_of_name in mutant.name]
    named = sorted({model for mutant in chosen for model in models_of(mutant)})
    existing = {(checker, name) for checker in CHECKERS for name in names(programs[checker])}
    if not part_of_name and (idle := sorted(existing - set(named))):
        print(f"nothing shows that these can fail: {idle}")
        return False
    with ThreadPoolExecutor(WORKERS) as pool:
        # The copy itself must not be what the models complain of. That they hold is known: a quick
        # look is enough.
        sound = list(pool.map(lambda it: run_one(programs[it[0]], it[1], quick=True), named))
        for (checker, model), outcome in zip(named, sound, strict=True):
            if not outcome.passed:
                print(f"{checker}: {model} fails without a mutant:\n{outcome.log}")
                return False

        def notice(mutant: Mutant) -> list[bool]:
            return [
                is_noticed(checker, programs[checker], model, mutant.name)
                for checker, model in models_of(mutant)
            ]

        noticed = list(pool.map(notice, chosen))
    print("| mutant | noticed by |\n|---|---|")
    for mutant, verdicts in zip(chosen, noticed, strict=True):
        by = (
            f"{'' if seen else 'NOT '}{checker} {model.replace('::', ': ').replace('_', ' ')}"
            for (checker, model), seen in zip(models_of(mutant), verdicts, strict=True)
        )
        print(f"| {mutant.name} | {'; '.join(by)} |")
    alive = sum(not all(verdicts) for verdicts in noticed)
    took = time.monotonic() - begun
    print(f"\n{len(chosen)} mutants, {alive} of them not noticed as they should be ({took:.0f} s)")
    return alive == 0


def is_noticed(checker: str, program: Path, model: str, mutant: str) -> bool:
    """Whether a model fails with this mutant.

    The schedules of shuttle are random: what the usual number of them does not show is looked for
    in many more. loom tries all.
    """
    if not run_one(program, model, mutant).passed:
        return True
    return checker == "shuttle" and not run_one(program, model, mutant, schedules=MANY).passed


def models_of(mutant: Mutant) -> list[tuple[str, str]]:
    """The models that must notice it, each with its checker."""
    return [("loom", model) for model in mutant.models] + [
        ("shuttle", program) for program in mutant.programs
    ]


def table() -> str:
    """What was explored, as Markdown."""
    lines = ["| checker | model | threads | preemptions | executions |", "|---|---|---|---|---|"]
    explored = read(RESULTS)
    for one in explored:
        bound = str(one.preemptions) if one.checker == "loom" else "any"
        name = one.model.replace("::", ": ").replace("_", " ")
        lines.append(f"| {one.checker} | {name} | {one.threads} | {bound} | {one.executions:,} |")
    for checker in CHECKERS:
        own = [one.executions for one in explored if one.checker == checker]
        lines.append(f"| {checker} | {len(own)} models | | | {sum(own):,} |")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
