"""python -m tests.models: `sync` under both model checkers, and the models against its mutants.

Prints what was explored and who notices which mutant; the exit status is 1 if a model fails or a
mutant survives. `--table` only prints what an earlier run has left.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from .broken import ROOT, make_copy
from .mutants import MUTANTS, Mutant
from .run import build, read, run_all, run_some

CHECKERS = ("loom", "shuttle")
TARGET = ROOT / "target"
RESULTS = ROOT / "build" / "models"
# As many programs at a time: each of them is one thread.
WORKERS = 2


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.models", description=__doc__)
    parser.add_argument("part", nargs="*", choices=["", *CHECKERS, "mutants"], help="default: all")
    parser.add_argument("--table", action="store_true", help="only print the table")
    parser.add_argument("--mutant", help="only mutants whose name has this in it")
    options = parser.parse_args()
    if options.table:
        print(table())
        return 0
    parts = options.part or [*CHECKERS, "mutants"]
    if not options.mutant:
        shutil.rmtree(RESULTS, ignore_errors=True)
    failed = [checker for checker in CHECKERS if checker in parts and not check(checker)]
    print(table(), flush=True)
    if "mutants" in parts and not break_all(options.mutant or ""):
        failed.append("mutants")
    return 1 if failed else 0


def check(checker: str) -> bool:
    """Whether every model of this checker holds."""
    begun = time.monotonic()
    program = build(checker, ROOT, TARGET / checker)
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
    chosen = [mutant for mutant in MUTANTS if part_of_name in mutant.name]
    programs = {checker: build(checker, copy, TARGET / "mutants" / checker) for checker in CHECKERS}
    named = sorted({(mutant.checker, model) for mutant in chosen for model in mutant.models})
    with ThreadPoolExecutor(WORKERS) as pool:
        # The copy itself must not be what the models complain of.
        sound = list(pool.map(lambda it: run_some(programs[it[0]], (it[1],)), named))
        for (_, model), outcome in zip(named, sound, strict=True):
            if not outcome.passed or "1 passed" not in outcome.log:
                print(f"{model} fails without a mutant:\n{outcome.log}")
                return False

        def survives(mutant: Mutant) -> list[str]:
            program = programs[mutant.checker]
            return [m for m in mutant.models if run_some(program, (m,), mutant.name).passed]

        survivors = list(pool.map(survives, chosen))
    print("| mutant | noticed by |\n|---|---|")
    for mutant, unnoticed in zip(chosen, survivors, strict=True):
        by = ", ".join(f"`{model}`" for model in mutant.models if model not in unnoticed)
        lost = "".join(f" NOT by `{model}`" for model in unnoticed)
        print(f"| {mutant.name} | {by}{lost} |")
    alive = sum(1 for unnoticed in survivors if unnoticed)
    took = time.monotonic() - begun
    print(f"\n{len(chosen)} mutants, {alive} of them not noticed as they should be ({took:.0f} s)")
    return alive == 0


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
