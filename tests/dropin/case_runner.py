"""The other side of `case_server.py`: a process a mode, started once, asked for many cases.

    python case_runner.py [--mode stock] [--repeat 10] [--only NAME] [FILE...]

runs the cases in one mode without comparing, and names those whose outcome varies.
"""

from __future__ import annotations

import argparse
import contextlib
import difflib
import importlib.util
import itertools
import json
import os
import subprocess
import sys
import sysconfig
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import case_support

HERE = Path(__file__).resolve().parent
SERVER = str(HERE / "case_server.py")
COMMANDS = {
    "stock": [SERVER, "stock"],
    "rthread": ["-m", "rthread", SERVER, "rthread"],
    "queue": [SERVER, "queue"],
}
# No case takes this long: only a hang meets it.
LIMIT = 90.0
# Most cases mostly wait, so several are run ahead at a time.
JOBS = 4
FREE_THREADED = bool(sysconfig.get_config_var("Py_GIL_DISABLED"))
# Variables that would switch a case server behind a test's back.
_SWITCHES = ("RTHREAD", "RTHREAD_CHILDREN", "RTHREAD_NATIVE", "RTHREAD_QUEUE")


@dataclass(frozen=True)
class Result:
    """The output and the exit status of a case."""

    out: str
    status: int | None
    errors: str = ""

    @property
    def text(self) -> str:
        return self.out + ("HANGS" if self.status is None else f"exit {self.status}")


class CaseRunner:
    """The processes of one session, several for a mode where cases are run ahead."""

    def __init__(self, python: str = sys.executable) -> None:
        self._python = python
        self._idle: dict[str, list[subprocess.Popen[str]]] = {}
        self._folder = tempfile.TemporaryDirectory()
        self._pool = ThreadPoolExecutor(JOBS)
        self._results: dict[tuple[str, str, str], Future[Result]] = {}

    def close(self) -> None:
        self._pool.shutdown(cancel_futures=True)
        for process in itertools.chain(*self._idle.values()):
            with contextlib.suppress(OSError):
                process.communicate(timeout=30)
        self._folder.cleanup()

    def run(self, mode: str, file: str, name: str, *args: Any, plain: bool = False) -> Result:
        """Run a function of `file` in a fresh process.

        Args:
            mode: "stock" or one of `case_support.MODES`.
            file: the path of a Python file.
            name: a function there.
            args: its arguments, as JSON knows them.
            plain: whether the process starts as a stock one and the case installs rthread.
        """
        kind = "stock" if plain else mode
        idle = self._idle.setdefault(kind, [])
        try:
            process = idle.pop()
        except IndexError:
            process = self._started(kind)
        assert process.stdin is not None
        assert process.stdout is not None
        out, err = (os.path.join(self._folder.name, f"{process.pid}{end}") for end in ("o", "e"))
        request = {"mode": mode, "file": file, "case": name, "args": args, "limit": LIMIT}
        print(json.dumps({**request, "out": out, "err": err}), file=process.stdin, flush=True)
        answer = process.stdout.readline()
        if not answer:
            raise AssertionError(f"the case server for {mode} has died: {process.wait()}")
        result = Result(_read(out), json.loads(answer), _read(err))
        # Now another case may write there.
        idle.append(process)
        return result

    def ahead(self, mode: str, file: str, case: case_support.Case) -> Future[Result]:
        """The result to come of a case; each is asked for once."""
        key = (mode, file, case.name)
        if key not in self._results:
            plain = case.plain
            self._results[key] = self._pool.submit(self.run, mode, file, case.name, plain=plain)
        return self._results[key]

    def compare(self, file: str, case: case_support.Case, mode: str) -> None:
        """Fail unless the case comes to the same on rthread as on stock."""
        if case.expect is not None:
            wanted = Result(case.expect + "\n", 0)
        else:
            wanted = self.ahead("stock", file, case).result()
        assert wanted.status == 0, f"a wrong case, stock comes to:\n{wanted.text}\n{wanted.errors}"
        got = self.ahead(mode, file, case).result()
        assert got.text == wanted.text, difference(wanted, got)

    def _started(self, mode: str) -> subprocess.Popen[str]:
        variables = {k: v for k, v in os.environ.items() if k not in _SWITCHES}
        variables.update(
            PYTHONFAULTHANDLER="1", PYTHONIOENCODING="utf-8", PYTHONDONTWRITEBYTECODE="1"
        )
        return subprocess.Popen(
            [self._python, *COMMANDS[mode]],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            encoding="utf-8",
            env=variables,
        )


def _read(path: str) -> str:
    with open(path, encoding="utf-8", errors="backslashreplace") as file:
        return case_support.ADDRESS.sub("0x…", file.read())


def difference(wanted: Result, got: Result) -> str:
    """The lines that differ, and the end of what the case has said on standard error."""
    before, after = wanted.text.splitlines(), got.text.splitlines()
    lines = list(difflib.unified_diff(before, after, "stock", "rthread", lineterm="", n=1))
    return "\n".join([*lines[:60], "--- errors", *got.errors.splitlines()[-25:]])


def skipped(case: case_support.Case, mode: str) -> str:
    """Why a case is not compared in a mode here; empty if it is."""
    version = sys.version_info[:2]
    if case.only and case.only != mode:
        return f"is about mode {case.only}"
    if not case.since <= version <= case.until:
        return "is about other versions"
    if case.free_threaded and not FREE_THREADED:
        return "is about an interpreter without a GIL"
    if case.gil and FREE_THREADED:
        return "is about an interpreter with a GIL"
    missing = [name for name in case.needs if importlib.util.find_spec(name) is None]
    return f"needs {', '.join(missing)}" if missing else ""


def _load(file: Path) -> dict[str, case_support.Case]:
    spec = importlib.util.spec_from_file_location(file.stem, file)
    assert spec is not None
    assert spec.loader is not None
    spec.loader.exec_module(importlib.util.module_from_spec(spec))
    return case_support.cases(str(file))


def _chosen(options: argparse.Namespace) -> Iterator[tuple[Path, case_support.Case]]:
    for file in options.files or sorted(HERE.glob("test_*.py")):
        if "\n@case" not in file.read_text(encoding="utf-8"):
            continue
        for case in _load(file.resolve()).values():
            if not skipped(case, case.only or "rthread") and options.only in case.name:
                yield file.resolve(), case


def _repeated(
    runner: CaseRunner, file: Path, case: case_support.Case, options: argparse.Namespace
) -> tuple[Path, case_support.Case, dict[str, Result], float]:
    """Run a case several times: its results, and the seconds of one."""
    began = time.monotonic()
    results = {}
    for _ in range(options.repeat):
        result = runner.run(options.mode, str(file), case.name, plain=case.plain)
        results[result.text] = result
    return file, case, results, (time.monotonic() - began) / options.repeat


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("files", nargs="*", type=Path)
    parser.add_argument("--mode", default="stock")
    parser.add_argument("--repeat", type=int, default=1)
    parser.add_argument("--only", default="")
    parser.add_argument("--jobs", type=int, default=JOBS)
    parser.add_argument("--slow", type=float)
    parser.add_argument("--show", action="store_true")
    options = parser.parse_args()
    runner = CaseRunner()
    status = 0
    chosen = list(_chosen(options))
    with ThreadPoolExecutor(options.jobs) as pool:
        for file, case, results, seconds in pool.map(
            lambda pair: _repeated(runner, pair[0], pair[1], options), chosen
        ):
            if options.slow and seconds > options.slow:
                print(f"{seconds:.2f} s {file.stem}: {case.name}")
            lucky = case.expect is not None and options.mode == "stock"
            fails = not lucky and not all(text.endswith("exit 0") for text in results)
            if options.show or fails or (len(results) > 1 and not lucky):
                status |= fails or len(results) > 1
                print(f"## {file.stem}: {case.name}", flush=True)
                for text, result in results.items():
                    lines = text.splitlines()[0 if options.show else -6 :]
                    print(*lines, result.errors[-1000:] if fails else "", sep="\n")
    runner.close()
    return status


if __name__ == "__main__":
    # The files import `case_support` by its name: this is another module than theirs otherwise.
    sys.exit(main())
