"""``--children``: Python processes started by the program run on rthread as well."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

import rthread
import support

# Only rthread has TSS.
IS_ON = "import _thread; print(hasattr(_thread, 'TSS'), flush=True)"
ON, OFF = "True\n", "False\n"


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
def look(): import _thread; print(hasattr(_thread, 'TSS'), flush=True)
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
def test_older_variable_knows_only_the_value_one(value: str) -> None:
    assert support.check_snippet(IS_ON, env={"RTHREAD_CHILDREN": value}) == OFF


def test_older_variable_alone_is_enough() -> None:
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
    # Comparisons, and no import of a module that site has not imported itself.
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
run = getattr(interpreters, "exec", None) or interpreters.run_string
for kind in (True, False):
    if sys.version_info >= (3, 13):
        interpreter = interpreters.create("isolated" if kind else "legacy")
    else:
        interpreter = interpreters.create(isolated=kind)
    failed = run(interpreter, "import _thread, threading; print(hasattr(_thread, 'TSS'), flush=True)")
    assert not failed, failed
    failed = run(interpreter, "with threading.Condition(), _thread.allocate_lock(): pass")
    assert not failed, failed
    interpreters.destroy(interpreter)
with threading.Lock(), before:
    thread = threading.Thread(target=print, args=("main",))
    thread.start()
    thread.join()
"""


@pytest.mark.parametrize(("options", "there"), [([], OFF), (["--children"], ON)])
def test_sub_interpreters(options: list[str], there: str) -> None:
    assert run(*options, "-c", SUB_INTERPRETER) == 2 * there + "main\n"


def test_sub_interpreters_of_children() -> None:
    code = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {SUB_INTERPRETER!r}])"
    assert run("--children", "-c", code) == 2 * ON + "main\n"


INTERPRETERS = """
import _thread, threading
from concurrent import interpreters
from concurrent.futures import InterpreterPoolExecutor

def whose(number):
    import _thread, threading
    with threading.Lock(), threading.RLock(), threading.Condition():
        return f"{number} {hasattr(_thread, 'TSS')} {threading.main_thread().name}"

if __name__ == "__main__":
    with InterpreterPoolExecutor(3) as pool:
        print(*pool.map(whose, range(6)), sep="\\n")
    interpreter, answers = interpreters.create(), interpreters.create_queue()
    interpreter.prepare_main(answers=answers)
    thread = interpreter.call_in_thread(whose, 7)
    thread.join()
    interpreter.exec(
        "import _thread, threading\\n"
        "thread = threading.Thread(target=lambda: answers.put(hasattr(_thread, 'TSS')))\\n"
        "thread.start(); thread.join()"
    )
    print(answers.get())
    interpreter.close()
"""


@pytest.mark.skipif(sys.version_info < (3, 14), reason="concurrent.interpreters is new in 3.14")
def test_concurrent_interpreters(tmp_path: Path) -> None:
    """What uses them through the standard library gets the same results, from rthread."""
    program = tmp_path / "program.py"
    program.write_text(INTERPRETERS, encoding="utf-8")
    said = run("--children", str(program)).splitlines()
    assert said[:6] == [f"{number} True MainThread" for number in range(6)]
    assert said[6:] == ["True"]
