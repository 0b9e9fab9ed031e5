"""PYTHONPATH=tests python -m reliability: try rthread many times over.

Prints the figures of each proof; the exit status is 1 if one of them is not what was promised.
"""

from __future__ import annotations

import argparse
import sys
import time
import traceback
from pathlib import Path

from . import report
from .proof import Figure, Proof
from .proofs import proofs


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m reliability", description=__doc__)
    parser.add_argument("proof", nargs="*", help="only these; default: all")
    parser.add_argument("--list", action="store_true", help="say which there are")
    parser.add_argument("--short", action="store_true", help="the short forms")
    parser.add_argument("--count", type=int, help="how many times, or seconds, instead")
    parser.add_argument("--results", type=Path, help="a folder for the figures as JSON")
    parser.add_argument("--table", type=Path, help="only print the table of the results in here")
    options = parser.parse_args()
    if options.table:
        print(report.table(options.table), end="")
        return 0
    try:
        chosen = proofs(options.proof)
    except KeyError as error:
        print(f"no such proof: {error.args[0]}", file=sys.stderr)
        return 2
    if options.list:
        for proof in chosen:
            print(f"{proof.name}: {proof.what} ({proof.long} {proof.unit})")
        return 0
    failed = []
    for proof in chosen:
        count = options.count or (proof.short if options.short else proof.long)
        if not _try(proof, count, options.results):
            failed.append(proof.name)
    if failed:
        print(f"FAILED: {', '.join(failed)}")
    return 1 if failed else 0


def _try(proof: Proof, count: int, results: Path | None) -> bool:
    if proof.missing:
        print(f"skip {proof.name}: {proof.missing}", flush=True)
        return True
    print(f"{proof.name}: {proof.what}, {count:,} {proof.unit}", flush=True)
    figures: list[Figure] = []
    started = time.monotonic()
    try:
        for figure in proof.run(count):
            figures.append(figure)
            print(f"    {figure}", flush=True)
    except Exception:
        traceback.print_exc()
        return False
    print(f"    in {time.monotonic() - started:.0f} s", flush=True)
    if results:
        report.write(results, proof, count, figures)
    return bool(figures) and all(figure.ok for figure in figures)


if __name__ == "__main__":
    sys.exit(main())
