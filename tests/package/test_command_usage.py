"""What ``python -m rthread`` says when it is not, or wrongly, told what to run."""

from __future__ import annotations

import os
import platform
import subprocess
import sysconfig
from pathlib import Path

import pytest

import rthread
import support


def command(*argv: str, env: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    return support.run_python("-m", "rthread", *argv, env=env)


@pytest.mark.parametrize("argv", [[], ["-h"], ["--help"]])
def test_information(argv: list[str]) -> None:
    finished = command(*argv)
    assert (finished.returncode, finished.stderr) == (0, "")
    first = finished.stdout.splitlines()[0]
    assert first.startswith(f"rthread {rthread.__version__}: ")
    assert f"CPython {platform.python_version()}," in finished.stdout
    free_threaded = bool(sysconfig.get_config_var("Py_GIL_DISABLED"))
    assert ("free-threaded build" in finished.stdout) is free_threaded
    assert ("default build" in finished.stdout) is not free_threaded
    for form in ("script", "-m module", "-c code", "-"):
        assert f"python -m rthread [option ...] {form} [argument ...]" in finished.stdout
    for option in ("--children", "--queue", "--no-native", "--report", "RTHREAD=1"):
        assert f"\n  {option} " in finished.stdout
    assert "python -m rthread --version" in finished.stdout


def test_version() -> None:
    finished = command("--version")
    assert (finished.returncode, finished.stdout, finished.stderr) == (
        0,
        f"rthread {rthread.__version__}\n",
        "",
    )


@pytest.mark.parametrize(
    ("argv", "reason"),
    [
        (["-c"], "option -c needs an argument"),
        (["-m"], "option -m needs an argument"),
        (["--children", "-m"], "option -m needs an argument"),
        (["--children"], "--children needs a program to run"),
        (["--queue"], "--queue needs a program to run"),
        (["--children", "--no-native"], "--no-native needs a program to run"),
        (["--queue", "--unknown"], "unknown option --unknown"),
        (["--report", "extra"], "--report takes no arguments"),
        (["--unknown", "script.py"], "unknown option --unknown"),
        (["-x", "script.py"], "unknown option -x"),
        (["--"], "unknown option --"),
        (["--version", "extra"], "--version takes no arguments"),
    ],
)
def test_bad_usage(argv: list[str], reason: str) -> None:
    finished = command(*argv)
    assert finished.returncode == 2
    assert finished.stdout == ""
    assert finished.stderr == f"rthread: {reason}; see python -m rthread --help\n"


def test_options_of_the_program_are_its_own(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text("import sys; print(sys.argv[1:])")
    arguments = ["--children", "--queue", "--report", "--version", "-c", "-m", "--", "-"]
    for before in ([], ["--"]):
        assert command(*before, str(script), *arguments).stdout == f"{arguments}\n"


def test_thread_started_before_the_program(tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text(
        "import threading\n"
        "threading.Thread(target=threading.Event().wait, daemon=True, name='early').start()\n"
    )
    finished = command("-c", "print('ran')", env={"PYTHONPATH": str(tmp_path)})
    assert (finished.returncode, finished.stdout) == (1, "")
    (line,) = finished.stderr.splitlines()
    assert line.startswith("rthread: ")
    assert "'early'" in line


def test_children_need_the_installed_package(tmp_path: Path) -> None:
    # On the path, but not where Python looks for .pth files.
    (tmp_path / "rthread").symlink_to(Path(rthread.__file__).parent)
    finished = support.run_python(
        *("-S", "-m", "rthread", "--children", "-c", "print('ran')"),
        env={"PYTHONPATH": str(tmp_path), "PYTHONDONTWRITEBYTECODE": "1"},
        cwd=tmp_path,
    )
    assert (finished.returncode, finished.stdout) == (2, "")
    assert "--children needs rthread.pth" in finished.stderr


def test_program_name_is_free_for_the_program() -> None:
    # Nothing of the command may stay behind in what a program commonly looks at.
    code = (
        "import sys, os; print(sys.argv, [n for n in os.environ if n.startswith('RTHREAD')], "
        "sys.path[0] == '')"
    )
    # What the tests themselves are told.
    told = [n for n in os.environ if n.startswith("RTHREAD") and n not in support.SWITCHES]
    assert command("--queue", "--no-native", "-c", code).stdout == f"['-c'] {told} True\n"


def test_runs_when_the_directory_hides_modules(tmp_path: Path) -> None:
    """The current directory is first on the path while the command starts, as with any -m."""
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "helper.py").write_text("print('helper')")
    (tmp_path / "sub" / "script.py").write_text("import helper, threading; print(threading.Lock())")
    finished = support.run_python("-m", "rthread", os.path.join("sub", "script.py"), cwd=tmp_path)
    assert finished.stdout.startswith("helper\n<unlocked _thread.lock object at ")
    assert finished.stderr == ""


def test_the_command_loads_nothing_of_its_own(tmp_path: Path) -> None:
    """Every module more than ``python -m`` needs would delay every program."""
    (tmp_path / "show.py").write_text("import sys; print(*sorted(sys.modules))")
    plain = support.run_python("-m", "show", cwd=tmp_path).stdout.split()
    ours = support.run_python("-m", "rthread", "show.py", cwd=tmp_path).stdout.split()
    assert {name.partition(".")[0] for name in set(ours) - set(plain)} == {"rthread"}
