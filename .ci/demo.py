"""make demo: the examples and CPython's own test_threading, on rthread."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
# No example takes more than seconds: only a hang meets this.
WATCHDOG_SECONDS = 120


def run_example(file: Path) -> bool:
    """Run a program under `python -m rthread`; print one line on how it went."""
    command = [sys.executable, "-m", "rthread", str(file)]
    started = time.monotonic()
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=WATCHDOG_SECONDS)
    except subprocess.TimeoutExpired:
        print(f"FAIL  {file.stem}: no end in {WATCHDOG_SECONDS} s")
        return False
    seconds = time.monotonic() - started
    if done.returncode != 0:
        print(f"FAIL  {file.stem}: exit status {done.returncode}\n{done.stdout}{done.stderr}")
        return False
    last = (done.stdout.strip().splitlines() or ["(says nothing)"])[-1]
    print(f"ok    {file.stem:18} {seconds:4.1f} s   … {last}", flush=True)
    return True


def run_test_threading() -> bool | None:
    """Whether it does on rthread as on stock; None where this interpreter does not have it."""
    if importlib.util.find_spec("test.test_threading") is None:
        print("not run: this interpreter has no test package")
        return None
    command = [sys.executable, "-m", "tests.cpython", "test_threading"]
    return subprocess.run(command, cwd=ROOT).returncode == 0


def main() -> int:
    subprocess.run([sys.executable, "-m", "rthread"], check=True)
    examples = sorted(ROOT.joinpath("examples").glob("*.py"))
    print("\nThe programs in examples/, each run by: python -m rthread NAME, last line shown\n")
    passed = sum([run_example(file) for file in examples])
    print("\nCPython's own test_threading, on the stock modules and on rthread\n", flush=True)
    same = run_test_threading()
    said = {True: "as on stock", False: "NOT as on stock, see above", None: "not run"}[same]
    print(f"\n{passed} of {len(examples)} examples ran; test_threading: {said}")
    return 0 if passed == len(examples) and same is not False else 1


if __name__ == "__main__":
    sys.exit(main())
