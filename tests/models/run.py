"""Builds the models of a checker, and runs them."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import NamedTuple

# Only a hang meets them.
PATIENCE = 1800
PATIENCE_WITH_MUTANT = 300


class Explored(NamedTuple):
    """What one model has explored."""

    checker: str
    model: str
    threads: int
    preemptions: int
    executions: int


class Outcome(NamedTuple):
    """What became of a run of some models."""

    passed: bool
    log: str


def build(
    test: str,
    source: Path,
    target: Path,
    flags: str,
    cargo: tuple[str, ...] = ("cargo",),
    options: tuple[str, ...] = (),
) -> Path:
    """The program that holds these tests. Raises CalledProcessError."""
    command = [*cargo, "test", "--quiet", "--no-run", "--message-format=json", *options]
    command += ["--profile", "models", "--no-default-features", "--test", test]
    flags = f"{os.environ.get('RUSTFLAGS', '')} {flags}".strip()
    environment = {**os.environ, "RUSTFLAGS": flags, "CARGO_TARGET_DIR": str(target)}
    built = subprocess.run(
        command, cwd=source, env=environment, stdout=subprocess.PIPE, check=True, text=True
    )
    messages = [json.loads(line) for line in built.stdout.splitlines()]
    (program,) = [
        message["executable"]
        for message in messages
        if message["reason"] == "compiler-artifact" and message.get("executable")
    ]
    return Path(program)


def run_all(program: Path, results: Path) -> Outcome:
    """Every model; each leaves a file in `results`."""
    results.mkdir(parents=True, exist_ok=True)
    return _run([str(program)], {"RTHREAD_MODELS": str(results)}, PATIENCE)


def names(program: Path) -> list[str]:
    """The models that there are."""
    listed = subprocess.run([str(program), "--list"], stdout=subprocess.PIPE, check=True, text=True)
    ending = ": test"
    lines = [line for line in listed.stdout.splitlines() if line.endswith(ending)]
    return [line.removesuffix(ending) for line in lines]


def run_one(
    program: Path, model: str, mutant: str = "", quick: bool = False, schedules: int = 0
) -> Outcome:
    """One model, with a mutant awake or with none. Raises LookupError if there is none.

    Args:
        schedules: how many random schedules shuttle tries, if not as many as usual.
    """
    environment = {"RTHREAD_MUTANT": mutant}
    if quick:
        environment |= {"RTHREAD_PREEMPTIONS": "1", "RTHREAD_SCHEDULES": "100"}
    if schedules:
        environment["RTHREAD_SCHEDULES"] = str(schedules)
    outcome = _run([str(program), "--exact", model], environment, PATIENCE_WITH_MUTANT)
    if "running 1 test" not in outcome.log:
        raise LookupError(f"there is no model {model}")
    return outcome


def _run(command: list[str], environment: dict[str, str], patience: float) -> Outcome:
    try:
        ended = subprocess.run(
            command,
            env={**os.environ, "RUST_BACKTRACE": "0", **environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=patience,
            text=True,
            errors="replace",
        )
    except subprocess.TimeoutExpired as expired:
        # Bytes, whatever was asked for.
        log = (expired.stdout or b"").decode(errors="replace")
        return Outcome(False, f"{log}\nno end after {patience} s")
    return Outcome(ended.returncode == 0, ended.stdout)


def read(results: Path) -> list[Explored]:
    """What the models have left in `results`."""
    return [Explored(**json.loads(path.read_text())) for path in sorted(results.glob("*.json"))]
