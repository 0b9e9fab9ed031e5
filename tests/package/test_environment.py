"""RTHREAD=1 and its companions: a program is on rthread before anything of it runs."""

from __future__ import annotations

from pathlib import Path

import pytest

import support

# Whether _thread is rthread's, and so are the classes of threading, and those of queue.
SHOW = """
import rthread
import _thread, threading, queue
ours = rthread.report().of("rthread")
print(hasattr(_thread, "TSS"), "threading.Event" in ours, "queue.Queue" in ours, flush=True)
"""
STOCK, THREADS, NATIVE, QUEUES, QUEUES_ONLY = (
    "False False False\n",
    "True False False\n",
    "True True False\n",
    "True True True\n",
    "True False True\n",
)


def run(code: str, environment: dict[str, str]) -> tuple[str, str]:
    finished = support.run_python("-c", code, env=environment)
    assert finished.returncode == 0, finished.stderr
    return finished.stdout, finished.stderr


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({}, STOCK),
        ({"RTHREAD": "1"}, NATIVE),
        ({"RTHREAD": "0"}, STOCK),
        ({"RTHREAD": ""}, STOCK),
        ({"RTHREAD": "1", "RTHREAD_QUEUE": "1"}, QUEUES),
        ({"RTHREAD": "1", "RTHREAD_QUEUE": "0"}, NATIVE),
        ({"RTHREAD": "1", "RTHREAD_QUEUE": ""}, NATIVE),
        ({"RTHREAD": "1", "RTHREAD_NATIVE": "0"}, THREADS),
        ({"RTHREAD": "1", "RTHREAD_NATIVE": "1"}, NATIVE),
        ({"RTHREAD": "1", "RTHREAD_NATIVE": "0", "RTHREAD_QUEUE": "1"}, QUEUES_ONLY),
        ({"RTHREAD_QUEUE": "1"}, STOCK),
        # The older name, with which --children began. RTHREAD=0 takes a process out.
        ({"RTHREAD_CHILDREN": "1"}, NATIVE),
        ({"RTHREAD_CHILDREN": "1", "RTHREAD_QUEUE": "1"}, QUEUES),
        ({"RTHREAD_CHILDREN": "1", "RTHREAD": "0"}, STOCK),
        ({"RTHREAD_CHILDREN": "1", "RTHREAD": ""}, NATIVE),
        ({"RTHREAD_CHILDREN": "1", "RTHREAD": "1"}, NATIVE),
    ],
    ids=str,
)
def test_variables(environment: dict[str, str], expected: str) -> None:
    assert run(SHOW, environment) == (expected, "")


@pytest.mark.parametrize("value", ["yes", "2", "true", "01", "on", " 1"])
@pytest.mark.parametrize(
    ("name", "others", "expected"),
    [
        ("RTHREAD", {}, STOCK),
        ("RTHREAD", {"RTHREAD_CHILDREN": "1"}, NATIVE),
        ("RTHREAD_QUEUE", {"RTHREAD": "1"}, NATIVE),
        ("RTHREAD_NATIVE", {"RTHREAD": "1"}, NATIVE),
    ],
)
def test_value_without_a_meaning(
    name: str, others: dict[str, str], expected: str, value: str
) -> None:
    """It is said, and otherwise as if the variable were not set."""
    complaint = f"rthread: {name}={value} is ignored: set it to 1 for yes or 0 for no\n"
    assert run(SHOW, {name: value, **others}) == (expected, complaint)


def test_value_without_a_meaning_where_rthread_is_not_wanted() -> None:
    assert run(SHOW, {"RTHREAD_QUEUE": "yes"}) == (STOCK, "")


def test_install_says_what_it_ignores() -> None:
    output, error = run(
        "import rthread; rthread.install()",
        {"RTHREAD_QUEUE": "yes", "RTHREAD_NATIVE": "no"},
    )
    assert output == ""
    assert "RuntimeWarning: RTHREAD_QUEUE=yes is ignored" in error
    assert "RuntimeWarning: RTHREAD_NATIVE=no is ignored" in error
    explicit = "import rthread; rthread.install(native=True, queue=False)"
    assert run(explicit, {"RTHREAD_QUEUE": "yes", "RTHREAD_NATIVE": "no"}) == ("", "")


def test_install_goes_by_the_variables() -> None:
    for environment, expected in (
        ({}, NATIVE),
        ({"RTHREAD_QUEUE": "1"}, QUEUES),
        ({"RTHREAD_NATIVE": "0"}, THREADS),
        ({"RTHREAD_NATIVE": "0", "RTHREAD_QUEUE": "1"}, QUEUES_ONLY),
    ):
        assert run(f"import rthread; rthread.install()\n{SHOW}", environment)[0] == expected
    explicit = f"import rthread; rthread.install(native=True, queue=False)\n{SHOW}"
    assert run(explicit, {"RTHREAD_NATIVE": "0", "RTHREAD_QUEUE": "1"})[0] == NATIVE


def test_program_that_installs_under_the_variable_as_well() -> None:
    assert run(f"import rthread; rthread.install()\n{SHOW}", {"RTHREAD": "1"}) == (NATIVE, "")
    more = f"import rthread; rthread.install(queue=True)\n{SHOW}"
    assert run(more, {"RTHREAD": "1"}) == (QUEUES, "")


@pytest.mark.parametrize("flags", [["-I"], ["-E"], ["-s"], ["-X", "dev"], ["-W", "error"]])
def test_flags_of_the_interpreter(flags: list[str]) -> None:
    finished = support.run_python(*flags, "-c", SHOW, env={"RTHREAD": "1"})
    assert (finished.stdout, finished.stderr) == (NATIVE, "")


def test_without_site() -> None:
    """Without site-packages there is no rthread.pth, and no rthread."""
    code = "import _thread; print(hasattr(_thread, 'TSS'))"
    finished = support.run_python("-S", "-c", code, env={"RTHREAD": "1"})
    assert (finished.stdout, finished.stderr) == ("False\n", "")


def test_every_way_to_run_a_program(tmp_path: Path) -> None:
    (tmp_path / "script.py").write_text(SHOW)
    for argv in (["script.py"], ["-m", "script"], ["-c", SHOW]):
        finished = support.run_python(*argv, cwd=tmp_path, env={"RTHREAD": "1"})
        assert (finished.stdout, finished.stderr) == (NATIVE, "")
    finished = support.run_python("-", stdin=SHOW, env={"RTHREAD": "1"})
    assert (finished.stdout, finished.stderr) == (NATIVE, "")


def test_children_inherit_it() -> None:
    inner = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {SHOW!r}])"
    environment = {"RTHREAD": "1", "RTHREAD_QUEUE": "1"}
    assert run(inner, environment) == (QUEUES, "")


OPTIONS = [
    (["--queue"], QUEUES, STOCK),
    (["--no-native"], THREADS, STOCK),
    (["--queue", "--no-native"], QUEUES_ONLY, STOCK),
    (["--no-native", "--queue"], QUEUES_ONLY, STOCK),
    (["--children"], NATIVE, NATIVE),
    (["--children", "--queue"], QUEUES, QUEUES),
    (["--queue", "--children"], QUEUES, QUEUES),
    (["--no-native", "--children"], THREADS, THREADS),
    (["--queue", "--children", "--no-native"], QUEUES_ONLY, QUEUES_ONLY),
    (["--queue", "--queue"], QUEUES, STOCK),
]


@pytest.mark.parametrize(("options", "parent", "child"), OPTIONS, ids=lambda v: " ".join(v).strip())
def test_options(options: list[str], parent: str, child: str) -> None:
    code = f"import subprocess, sys\n{SHOW}\nsubprocess.run([sys.executable, '-c', {SHOW!r}])"
    finished = support.run_python("-m", "rthread", *options, "-c", code)
    assert (finished.stdout, finished.stderr) == (parent + child, "")


def test_options_and_variables() -> None:
    """What is said on the command line counts more."""
    for environment, options, expected in (
        ({"RTHREAD": "0"}, [], NATIVE),
        ({"RTHREAD_QUEUE": "0"}, ["--queue"], QUEUES),
        ({"RTHREAD_NATIVE": "1"}, ["--no-native"], THREADS),
        ({"RTHREAD": "1"}, ["--queue"], QUEUES),
        ({"RTHREAD": "1"}, ["--no-native"], THREADS),
        ({"RTHREAD": "1", "RTHREAD_QUEUE": "1"}, ["--no-native"], QUEUES_ONLY),
        ({"RTHREAD_QUEUE": "1"}, [], QUEUES),
    ):
        finished = support.run_python("-m", "rthread", *options, "-c", SHOW, env=environment)
        assert (finished.stdout, finished.stderr) == (expected, ""), (environment, options)


def test_command_says_what_it_ignores() -> None:
    finished = support.run_python(
        *("-m", "rthread", "-c", SHOW), env={"RTHREAD_QUEUE": "on", "RTHREAD": "1"}
    )
    complaint = "rthread: RTHREAD_QUEUE=on is ignored: set it to 1 for yes or 0 for no\n"
    assert (finished.stdout, finished.stderr) == (NATIVE, complaint)
    finished = support.run_python("-m", "rthread", "-c", SHOW, env={"RTHREAD_QUEUE": "on"})
    assert (finished.stdout, finished.stderr) == (NATIVE, complaint)


def test_thread_that_another_startup_file_has_started() -> None:
    """The program runs all the same, and the reason for being without rthread is said."""
    early = "import threading; threading.Thread(target=threading.Event().wait, daemon=True).start()"
    source = f"import os; os.environ['RTHREAD'] = '1'\n{early}\nimport rthread._boot\n{SHOW}"
    finished = support.run_python("-c", source)
    assert finished.stdout == STOCK
    (line,) = finished.stderr.splitlines()
    assert line.startswith("rthread: rthread.install() needs a process with one thread, but ")


def test_empty_process_loads_no_more_than_rthread() -> None:
    code = "import sys; print(*sorted(sys.modules))"
    plain, with_it = (run(code, env)[0].split() for env in ({}, {"RTHREAD": "1"}))
    assert {name.partition(".")[0] for name in set(with_it) - set(plain)} == {"rthread"}
