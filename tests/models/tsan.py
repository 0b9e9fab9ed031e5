"""python -m tests.models.tsan: the tests of `sync` on real threads under ThreadSanitizer.

Both parkers, several times; and two mutants that it has to report, or else a silence would mean
nothing. Needs a nightly Rust with its sources: the standard library has to be built with the
sanitizer too, or what synchronises in there is not seen. It does not understand fences: `sync` has
some in the records of waits, all parts of which are atomic. Where `sync` calls the kernel (futex)
the atomics say all there is to know.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
from pathlib import Path

from .mutated_source import ROOT, make_copy
from .run import build

CARGO = ("cargo", "+nightly")
FLAGS = "-Zsanitizer=thread"
PORTABLE = f"{FLAGS} --cfg rthread_portable_parker"
TARGET = ROOT / "target" / "tsan"
MUTANTS = ("lock: released without order", "lock: taken without order")
# The tests fork: the child does not go on without its threads' shadow unless it is told to.
OPTIONS = "halt_on_error=0 exitcode=66 die_after_fork=0"
PATIENCE = 1800


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.models.tsan", description=__doc__)
    parser.add_argument("--rounds", type=int, default=3, help="how often all tests run")
    rounds = parser.parse_args().rounds
    if missing := what_is_missing():
        print(f"ThreadSanitizer cannot be had: {missing}")
        return 1
    sound = [check(parker, flags, rounds) for parker, flags in parkers()]
    copy = TARGET / "source"
    make_copy(copy)
    broken = build_tests(copy, FLAGS, "broken")
    for mutant in MUTANTS:
        log = run(broken, ["--exact", "one_thread_at_a_time"], mutant)
        seen = reports(log)
        print(f"{mutant}: {seen} reports" + ("" if seen else ", and there should be some"))
        sound.append(seen > 0)
    return 0 if all(sound) else 1


def parkers() -> list[tuple[str, str]]:
    """Those that there are here, each with the flags that choose it."""
    portable = ("portable parker", PORTABLE)
    return [("futex parker", FLAGS), portable] if sys.platform == "linux" else [portable]


def what_is_missing() -> str:
    """Why it cannot be tried; empty if it can."""
    try:
        found = subprocess.run(
            ["rustc", "+nightly", "--print", "sysroot"], capture_output=True, text=True
        )
    except FileNotFoundError:
        return "there is no Rust toolchain on PATH"
    if found.returncode != 0:
        return "there is no nightly Rust (rustup toolchain install nightly --component rust-src)"
    if not (Path(found.stdout.strip()) / "lib/rustlib/src/rust/library/std").is_dir():
        return "nightly Rust has no sources (rustup component add rust-src --toolchain nightly)"
    return ""


def check(parker: str, flags: str, rounds: int) -> bool:
    """Whether all tests pass and nothing is reported."""
    program = build_tests(ROOT, flags, parker.split()[0])
    logs = [run(program, []) for _ in range(rounds)]
    tests = sum(int(count) for log in logs for count in re.findall(r"(\d+) passed", log))
    found = sum(map(reports, logs))
    failed = [log for log in logs if "test result: ok" not in log or reports(log)]
    print(
        f"{parker}: {tests} tests in {rounds} rounds, {found} reports, {len(failed)} rounds failed"
    )
    for log in failed:
        print(log)
    return not failed


def build_tests(source: Path, flags: str, name: str) -> Path:
    """The program that holds tests/sync, with a standard library of its own."""
    found = subprocess.run([*CARGO, "-vV"], capture_output=True, check=True, text=True)
    (host,) = re.findall(r"^host: (.*)$", found.stdout, re.MULTILINE)
    options = ("-Zbuild-std", f"--target={host}")
    return build("sync", source, TARGET / name, flags, CARGO, options)


def run(program: Path, arguments: list[str], mutant: str = "") -> str:
    """What the tests print, and what is reported."""
    ended = subprocess.run(
        [str(program), *arguments],
        env={**os.environ, "TSAN_OPTIONS": OPTIONS, "RTHREAD_MUTANT": mutant},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        timeout=PATIENCE,
        text=True,
        errors="replace",
    )
    return ended.stdout


def reports(log: str) -> int:
    """How many there are in the log."""
    return log.count("WARNING: ThreadSanitizer")


if __name__ == "__main__":
    sys.exit(main())
