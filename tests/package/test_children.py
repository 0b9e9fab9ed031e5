"""``--children``: Python processes started by the program run on rthread as well."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

import rthread
import support

IS_ON = "import _thread; print(_thread.__name__, flush=True)"
ON, OFF = "rthread._rthread\n", "_thread\n"


def run(*argv: str, cwd: Path | None = None) -> str:
    finished = support.run_python("-m", "rthread", *argv, cwd=cwd)
    assert (finished.returncode, finished.stderr) == (0, "")
    return finished.stdout


@pytest.mark.parametrize(("options", "child"), [([], OFF), (["--children"], ON)])
def test_subprocess(options: list[str], child: str) -> None:
    code = f"import subprocess, sys\n{IS_ON}\nsubprocess.run([sys.executable, '-c', {IS_ON!r}])"
    assert run(*options, "-c", code) == ON + child


def test_grandchildren() -> None:
    inner = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {IS_ON!r}])"
    code = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {inner!r}])"
    assert run("--children", "-c", code) == ON


def test_isolated_children() -> None:
    code = f"import subprocess, sys; subprocess.run([sys.executable, '-I', '-c', {IS_ON!r}])"
    assert run("--children", "-c", code) == ON


PROCESSES = """
import multiprocessing, sys
def look(): import _thread; print(_thread.__name__, flush=True)
if __name__ == "__main__":
    process = multiprocessing.get_context(sys.argv[1]).Process(target=look)
    process.start()
    process.join()
"""


@pytest.mark.parametrize(
    ("options", "method", "child"),
    [
        ([], "spawn", OFF),
        ([], "forkserver", OFF),
        ([], "fork", ON),
        (["--children"], "spawn", ON),
        (["--children"], "forkserver", ON),
        (["--children"], "fork", ON),
    ],
)
def test_multiprocessing(options: list[str], method: str, child: str, tmp_path: Path) -> None:
    (tmp_path / "script.py").write_text(PROCESSES)
    assert run(*options, "script.py", method, cwd=tmp_path) == child


@pytest.mark.parametrize("value", ["", "0", "yes"])
def test_only_the_value_one_counts(value: str) -> None:
    assert support.check_snippet(IS_ON, env={"RTHREAD_CHILDREN": value}) == OFF


def test_variable_alone_is_enough() -> None:
    assert support.check_snippet(IS_ON, env={"RTHREAD_CHILDREN": "1"}) == ON


def test_already_installed_in_a_child_that_runs_the_command() -> None:
    finished = support.run_python("-m", "rthread", "-c", IS_ON, env={"RTHREAD_CHILDREN": "1"})
    assert (finished.returncode, finished.stdout, finished.stderr) == (0, ON, "")


def test_a_child_loads_threading_only_when_it_asks() -> None:
    code = "import sys; print('threading' in sys.modules)"
    plain = support.check_snippet(code)
    assert support.check_snippet(code, env={"RTHREAD_CHILDREN": "1"}) == plain


def test_costs_nothing_while_unset() -> None:
    code = "import sys; print([name for name in sys.modules if name.startswith('rthread')])"
    assert support.check_snippet(code) == "[]\n"
    (line,) = pth_file().read_text().splitlines()
    # One comparison, and no import of a module that site has not imported itself.
    assert line.startswith('import os; os.environ.get("RTHREAD_CHILDREN") == "1" and ')


def test_file_is_beside_the_package() -> None:
    assert pth_file().parent == Path(rthread.__file__).parent.parent


def pth_file() -> Path:
    found = [Path(place, "rthread.pth") for place in sys.path]
    return next(path for path in found if path.exists())


SUB_INTERPRETER = """
import sys, threading
before = threading.Lock()
names = ("_interpreters", "_xxsubinterpreters")
interpreters = __import__(names[sys.version_info < (3, 13)])
interpreter = interpreters.create()
run = getattr(interpreters, "exec", None) or interpreters.run_string
failed = run(interpreter, "import _thread; lock = _thread.allocate_lock(); lock.acquire()")
assert not failed, failed
interpreters.destroy(interpreter)
with threading.Lock(), before:
    thread = threading.Thread(target=print, args=("main",))
    thread.start()
    thread.join()
"""


def test_sub_interpreters_are_left_in_peace() -> None:
    """They run the .pth file too; what they get is theirs, and nothing is printed about it."""
    assert run("--children", "-c", SUB_INTERPRETER) == "main\n"
