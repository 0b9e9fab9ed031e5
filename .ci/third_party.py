"""Suites of other projects about threads, on stock and on rthread: as on stock, test by test.

    third_party.py PYTHON [--folder build/third-party] [--only NAME]

PYTHON is an interpreter that has rthread, as .venvs/python3.12/bin/python. The projects go into an
environment of their own, which takes rthread from PYTHON's. What does not install is skipped and
said so. Exit status 1 if a test that passes on stock does not on rthread.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import tarfile
import time
import xml.etree.ElementTree
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

# Most of these tests mostly wait.
JOBS = 4
# No module takes this long: only a hang meets it.
LIMIT = 100
# A test that fails on rthread alone is tried again: some of these depend on luck on stock as well.
TRIES = 3
PREFIXES = {"stock": [], "rthread": ["-m", "rthread", "--children"]}
# What would bring rthread into the runs on stock.
SWITCHES = ("RTHREAD", "RTHREAD_CHILDREN", "RTHREAD_QUEUE", "RTHREAD_NATIVE")

HANGS = "hangs"
# So many lost tests of a project are named.
SHOWN = 20

GEVENT = [
    "event",
    "local",
    "lock",
    "queue",
    "semaphore",
    "thread",
    "threading",
    "threading_2",
    "threading_before_monkey",
    "threading_fork_from_dummy",
    "threading_holding_lock_while_monkey",
    "threading_monkey_in_thread",
    "threading_native_before_monkey",
    "threading_no_monkey",
    "threading_patched_local",
    "threading_shutdown_atexit",
    "threading_vs_settrace",
    "threadpool",
    "threadpool_executor_patched",
    "monkey",
    "monkey_builtins_future",
    "monkey_fork_atomic",
    "monkey_futures_thread_fork",
    "monkey_hub_in_thread",
    "monkey_logging",
    "monkey_module_run",
    "monkey_multiple_imports",
    "monkey_queue",
    "monkey_select",
    "monkey_selectors",
    "monkey_sigchld",
    "monkey_sigchld_2",
    "monkey_sigchld_3",
    "monkey_sigchld_wakeup_fd",
    "monkey_ssl_warning",
    "monkey_ssl_warning2",
    "monkey_ssl_warning3",
]


@dataclass(frozen=True)
class Project:
    """A project on the package index, and the part of its tests that is about threads.

    `modules` are run as programs that know unittest's -v, `files` by pytest, out of the sdist.
    """

    name: str
    modules: tuple[str, ...] = ()
    files: tuple[str, ...] = ()
    needs: tuple[str, ...] = ()
    options: tuple[str, ...] = ()

    @property
    def parts(self) -> tuple[str, ...]:
        return self.modules or self.files


# Chosen to take some three minutes on two cores: what waits, starts threads, or patches threading.
# Left out are gevent's other modules and eventlet's other files (sockets, TLS, hubs, WSGI), which
# use nothing of ours and take long; urllib3's tests of connections and watchdog's of file systems,
# which need servers and other packages.
PROJECTS = [
    Project("gevent", tuple(f"gevent.tests.test__{name}" for name in GEVENT)),
    Project(
        "eventlet",
        files=tuple(
            f"tests/{name}_test.py"
            for name in (
                *("event", "greenthread", "pools", "queue", "semaphore", "thread", "timeout"),
                *("timer", "tpool"),
            )
        ),
    ),
    Project(
        "fasteners",
        files=(
            "tests/test_decorators.py",
            "tests/test_eventlet.py",
            "tests/test_helpers.py",
            "tests/test_lock.py",
            "tests/test_process_lock.py",
            "tests/test_reader_writer_lock.py",
        ),
        needs=("diskcache", "more_itertools", "eventlet"),
    ),
    # Their fixtures are servers that this test does not use.
    Project("urllib3", files=("test/test_queue_monkeypatch.py",), options=("--noconftest",)),
    Project(
        "watchdog",
        files=(
            "tests/test_delayed_queue.py",
            "tests/test_event_debouncer.py",
            "tests/test_observer.py",
            "tests/test_skip_repeats_queue.py",
        ),
    ),
]


@dataclass
class Run:
    """How the tests of a part went, by name, and the text that was printed."""

    outcomes: dict[str, str] = field(default_factory=dict)
    text: str = ""

    def passed(self) -> set[str]:
        return {name for name, outcome in self.outcomes.items() if outcome == "ok"}


@dataclass
class Comparison:
    """A part of a project on both."""

    part: str
    stock: Run
    rthread: Run

    @property
    def lost(self) -> list[str]:
        return sorted(self.stock.passed() - self.rthread.passed())


class Environment:
    """The virtual environment that the projects are installed into."""

    def __init__(self, python: str, folder: Path) -> None:
        self.folder = folder
        self.python = str(folder / "bin" / "python")
        self._of_build = python

    def make(self) -> None:
        """Make the environment, with a copy of the build's rthread in it."""
        if not os.path.exists(self.python):
            subprocess.run([self._of_build, "-m", "venv", str(self.folder)], check=True)
        site = "import sysconfig; print(sysconfig.get_path('purelib'))"
        build, own = (
            subprocess.run(
                [python, "-c", site], check=True, stdout=subprocess.PIPE, text=True
            ).stdout.strip()
            for python in (self._of_build, self.python)
        )
        for path in filter(_is_ours, Path(build).iterdir()):
            target = Path(own, path.name)
            if path.is_dir():
                shutil.rmtree(target, ignore_errors=True)
                shutil.copytree(path, target)
            else:
                shutil.copy(path, target)

    def install(self, *packages: str) -> str:
        """Install packages; give the reason if that does not work."""
        return self._pip("install", "-q", *packages)

    def unpacked(self, name: str) -> Path | str:
        """The folder of a project's sdist of the version installed, or the reason it is missing."""
        sdists = self.folder / "sdists"
        sdists.mkdir(exist_ok=True)
        version = self._version(name)
        found = sorted(path for path in sdists.glob(f"{name}-{version}") if path.is_dir())
        if not found:
            exact = f"{name}=={version}"
            reason = self._pip(
                *("download", "-q", "--no-deps", "--no-binary", ":all:", "-d", str(sdists), exact)
            )
            if reason:
                return reason
            for archive in sdists.glob(f"{name}-{version}.tar.gz"):
                with tarfile.open(archive) as tar:
                    tar.extractall(sdists)
            found = sorted(path for path in sdists.glob(f"{name}-{version}") if path.is_dir())
        return found[-1] if found else "its sdist has another name"

    def _version(self, name: str) -> str:
        code = f"import importlib.metadata as m; print(m.version({name!r}))"
        return subprocess.run(
            [self.python, "-c", code], check=True, stdout=subprocess.PIPE, text=True
        ).stdout.strip()

    def describe(self, name: str) -> str:
        return f"{name} {self._version(name)}"

    def _pip(self, *arguments: str) -> str:
        command = [self.python, "-m", "pip", "--disable-pip-version-check", *arguments]
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=LIMIT)
        except subprocess.TimeoutExpired:
            return f"pip {arguments[0]} takes more than {LIMIT} s"
        lines = [line for line in done.stderr.splitlines() if "error" in line.lower()]
        last = (lines or done.stderr.splitlines() or ["?"])[-1]
        return last.strip() if done.returncode else ""


def _is_ours(path: Path) -> bool:
    """Whether a file or folder in site-packages is part of rthread."""
    return path.name in ("rthread", "_rthread_pytest") or path.name.startswith(
        ("rthread.", "rthread-")
    )


# Running


def run(env: Environment, project: Project, part: str, source: Path | None, mode: str) -> Run:
    """Run a part of a project's tests on stock or on rthread."""
    variables = {name: value for name, value in os.environ.items() if name not in SWITCHES}
    variables.update(PYTHONDONTWRITEBYTECODE="1", PYTHONFAULTHANDLER="1")
    report = env.folder / f"{mode}-{re.sub('[^a-z_0-9]', '-', part)}.xml"
    report.unlink(missing_ok=True)
    if project.modules:
        what = ["-m", part, "-v"]
    else:
        what = ["-m", "pytest", "-q", "-p", "no:cacheprovider", "-c", os.devnull, "--rootdir=."]
        what += [*project.options, f"--junit-xml={report}", part]
    process = subprocess.Popen(
        [env.python, *PREFIXES[mode], *what],
        cwd=source or env.folder,
        env=variables,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        start_new_session=True,
    )
    try:
        text, _ = process.communicate(timeout=LIMIT)
        status = str(process.returncode)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, 6)
        text, _ = process.communicate()
        status = HANGS
    outcomes = dict(_from_report(report) if report.exists() else _from_words(text))
    outcomes["(exit status)"] = "ok" if status == "0" else status
    return Run(outcomes, text)


def _from_words(text: str) -> Iterator[tuple[str, str]]:
    """Test and outcome, as unittest's -v says them; a doc string may stand between the two."""
    name = ""
    for line in text.splitlines():
        begins = re.match(r"(\w+) \(([\w.]+)\)", line)
        if begins:
            name = f"{begins[2].removesuffix('.' + begins[1])}.{begins[1]}"
        ends = re.search(r"\.\.\. (?:.*?)\b(ok|FAIL|ERROR|skipped|expected failure)\b", line)
        if ends and name:
            yield name, ends[1]


def _from_report(report: Path) -> Iterator[tuple[str, str]]:
    for case in xml.etree.ElementTree.parse(report).iter("testcase"):
        kinds = [child.tag for child in case if child.tag in ("failure", "error", "skipped")]
        yield f"{case.get('classname')}.{case.get('name')}", kinds[0] if kinds else "ok"


def compare(env: Environment, project: Project, part: str, source: Path | None) -> Comparison:
    """Run a part on both; again, as long as rthread loses a test that it has not passed yet."""
    found = Comparison(
        part,
        run(env, project, part, source, "stock"),
        run(env, project, part, source, "rthread"),
    )
    for _ in range(TRIES - 1):
        if not found.lost or HANGS in found.rthread.outcomes.values():
            break
        again = run(env, project, part, source, "rthread")
        for name in again.passed():
            found.rthread.outcomes[name] = "ok"
        if found.lost:
            found.rthread.text = again.text
            # Lost only if stock passes it every time as well.
            also = run(env, project, part, source, "stock")
            for name in found.lost:
                if also.outcomes.get(name) != "ok":
                    found.stock.outcomes[name] = "at times"
    return found


# The table


def show(project: str, found: list[Comparison]) -> bool:
    """Print a project's row, and each test that is lost; True if there is none."""
    tests = sum(len(each.stock.outcomes) - 1 for each in found)
    stock = sum(len(each.stock.passed() - {"(exit status)"}) for each in found)
    rthread = sum(len(each.rthread.passed() - {"(exit status)"}) for each in found)
    lost = [(each, name) for each in found for name in each.lost]
    print(
        f"{project:22} {len(found):5} {tests:6} {stock:6} {rthread:8} {len(lost):5}",
        flush=True,
    )
    for each, name in lost[:SHOWN]:
        print(f"    LOST {each.part}: {name}: {each.rthread.outcomes.get(name, 'not run')}")
    if len(lost) > SHOWN:
        print(f"    and {len(lost) - SHOWN} more")
    for each in {id(each): each for each, _ in lost}.values():
        print(f"    --- the end of {each.part} on rthread")
        print(*(f"    {line}" for line in each.rthread.text.splitlines()[-25:]), sep="\n")
    if not tests:
        print(f"    {project}: no test was found")
    return not lost and tests > 0


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("python")
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--only", action="append", default=[])
    options = parser.parse_args()
    python = os.path.abspath(options.python)
    name = Path(python).parent.parent.name
    folder = (options.folder or Path("build", "third-party", name)).absolute()
    folder.mkdir(parents=True, exist_ok=True)
    env = Environment(python, folder)
    env.make()
    chosen = [each for each in PROJECTS if not options.only or each.name in options.only]
    reason = env.install("pytest", "setuptools", "wheel")
    if reason:
        print(f"skipped, all of it: pytest does not install: {reason}")
        return 0
    began = time.monotonic()
    skipped: list[str] = []
    installed: list[Project] = []
    for project in chosen:
        reason = env.install(project.name, *project.needs)
        if reason:
            skipped.append(f"skipped: {project.name} does not install: {reason}")
        else:
            installed.append(project)
    good = True
    print(f"{'':22} {'parts':>5} {'tests':>6} {'stock':>6} {'rthread':>8} {'lost':>5}", flush=True)
    with ThreadPoolExecutor(JOBS) as pool:
        running: list[tuple[Project, list[Future[Comparison]]]] = []
        for project in installed:
            # While tests of the projects before run: to unpack one takes a while.
            source = env.unpacked(project.name) if project.files else None
            if isinstance(source, str):
                skipped.append(f"skipped: {project.name} has no sdist that unpacks: {source}")
                continue
            parts = [part for part in project.parts if _exists(env, project, part, source)]
            futures = [pool.submit(compare, env, project, part, source) for part in parts]
            running.append((project, futures))
        for project, futures in running:
            found = [future.result() for future in futures]
            good &= show(env.describe(project.name), found)
    print(f"{time.monotonic() - began:.0f} s")
    print(*skipped, sep="\n")
    return 0 if good else 1


def _exists(env: Environment, project: Project, part: str, source: Path | None) -> bool:
    """Whether this version of the project has that part."""
    if source is not None:
        return (source / part).exists()
    find = f"import importlib.util as u; raise SystemExit(u.find_spec({part!r}) is None)"
    return subprocess.run([env.python, "-c", find]).returncode == 0


if __name__ == "__main__":
    sys.exit(main())
