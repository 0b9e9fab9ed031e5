"""``rthread``, ``python -m rthread.debug``: what they print, and how they end."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import sysconfig
from pathlib import Path
from typing import Any

import pytest
from outside_targets import TWO_LOCKS, run_debug, target

import rthread
import support

Finished = subprocess.CompletedProcess[str]


def run_rthread(*argv: str, **options: Any) -> Finished:
    """Run the console script, or the function behind it where the package is not installed."""
    script = Path(sysconfig.get_path("scripts"), "rthread")
    if script.exists():
        return support.run_python(str(script), *argv, **options)
    code = "import sys; from rthread._command import main; sys.argv[0] = 'rthread'; main()"
    return support.run_python("-c", code, *argv, **options)


def output(finished: Finished) -> tuple[int, str, str]:
    return finished.returncode, finished.stdout, finished.stderr


# Wrong command lines

WRONG = [
    (["dump"], "dump needs the number of one process"),
    (["top"], "top needs the number of one process"),
    (["dump", "1", "2"], "dump needs the number of one process"),
    (["dump", "abc"], "'abc' is not the number of a process"),
    (["dump", ""], "'' is not the number of a process"),
    (["dump", "0"], "'0' is not the number of a process"),
    (["dump", "1.5"], "'1.5' is not the number of a process"),
    (["dump", "٣"], "'٣' is not the number of a process"),
    (["dump", "9" * 30], f"'{'9' * 30}' is not the number of a process"),
    (["dump", "-1"], "unknown option -1"),
    (["dump", "1", "--jsn"], "unknown option --jsn"),
    (["dump", "1", "--once"], "unknown option --once"),
    (["top", "1", "--json"], "unknown option --json"),
    (["top", "1", "--interval"], "--interval needs a number of seconds"),
    (["top", "1", "--interval", "x"], "--interval needs seconds from 0.05 to 86400, not 'x'"),
    (["top", "1", "--interval=0"], "--interval needs seconds from 0.05 to 86400, not '0'"),
    (["top", "1", "--interval=nan"], "--interval needs seconds from 0.05 to 86400, not 'nan'"),
    (["--version", "1"], "--version takes no arguments"),
    (["--frob"], "unknown option --frob"),
]


@pytest.mark.parametrize(("argv", "reason"), WRONG)
def test_wrong_usage(argv: list[str], reason: str) -> None:
    expected = (2, "", f"rthread: {reason}; see python -m rthread.debug --help\n")
    assert output(run_debug(*argv)) == expected
    if "--frob" not in argv:
        expected = (2, "", f"rthread: {reason}; see rthread --help\n")
        assert output(run_rthread(*argv)) == expected


def test_unknown_commands() -> None:
    assert output(run_debug("script.py")) == (
        2,
        "",
        "rthread: unknown command script.py; see python -m rthread.debug --help\n",
    )
    assert output(run_rthread("script.py")) == (
        2,
        "",
        "rthread: unknown command script.py; a program is run by rthread run; see rthread --help\n",
    )


@pytest.mark.parametrize("argv", [[], ["-h"], ["--help"], ["dump", "--help"], ["top", "-h"]])
def test_help(argv: list[str]) -> None:
    code, out, err = output(run_debug(*argv))
    assert (code, err) == (0, "")
    assert out.startswith("usage: python -m rthread.debug dump pid [--json]\n")
    code, out, err = output(run_rthread(*argv))
    assert (code, err) == (0, "")
    assert "rthread dump pid [--json]\n" in out
    assert max(map(len, out.splitlines())) <= 100


def test_version() -> None:
    expected = (0, f"rthread {rthread.__version__}\n", "")
    assert output(run_debug("--version")) == expected
    assert output(run_rthread("--version")) == expected


# rthread run

PROGRAMS = {
    "script": (["SCRIPT", "a", "--queue"], ""),
    "code": (["-c", "import sys; print(sys.argv, sys.path[0] == '')", "a"], ""),
    "module": (["-m", "this"], ""),
    "standard input": (["-"], "import sys; print(sys.argv, repr(sys.path[0]))"),
    "exit status": (["-c", "raise SystemExit(7)"], ""),
    "traceback": (["-c", "1 / 0"], ""),
    "options": (["--queue", "--no-native", "-c", "import queue; print(queue.Queue)"], ""),
    "no script": (["no/such/script.py"], ""),
    "version": (["--version"], ""),
    "report": (["--report"], ""),
}


@pytest.mark.parametrize("name", PROGRAMS)
def test_run_is_the_same_as_the_module(name: str, tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(
        "import sys, threading\n"
        "print(sys.argv, sys.path[0], threading.Lock().__class__, __name__, __spec__, __file__)\n"
        "print(sorted(name for name in sys.modules if name.startswith('rthread.debug')))\n"
    )
    argv, stdin = PROGRAMS[name]
    argv = [str(script) if word == "SCRIPT" else word for word in argv]
    expected = support.run_python("-m", "rthread", *argv, stdin=stdin)
    assert output(run_rthread("run", *argv, stdin=stdin)) == output(expected)


def test_run_has_its_own_usage() -> None:
    for argv in (["run"], ["run", "--help"]):
        code, out, err = output(run_rthread(*argv))
        assert (code, err) == (0, "")
        assert "usage: rthread run [option ...] script [argument ...]\n" in out
        assert "python -m rthread" not in out
    code, out, err = output(run_rthread("run", "--frob", "x.py"))
    assert (code, out) == (2, "")
    assert err == "rthread: unknown option --frob; see rthread run --help\n"


if not sys.platform.startswith("linux"):
    pytest.skip("other processes are read on Linux only", allow_module_level=True)


# dump and top


def dump_until_found(pid: int, *argv: str) -> str:
    finished: list[Finished] = []

    def found() -> bool:
        finished[:] = [run_debug("dump", str(pid), *argv)]
        assert finished[0].stderr == ""
        return finished[0].returncode == 3

    support.wait_until(found, "a deadlock")
    return finished[0].stdout


def test_dump() -> None:
    with target(TWO_LOCKS) as process:
        report = dump_until_found(process.pid)
        code, again, err = output(run_rthread("dump", str(process.pid)))
    assert (code, err) == (3, "")
    one, two = process.numbers()
    for text in (report, again):
        assert text.startswith(f"rthread {rthread.__version__}, Python ")
        assert f"process {process.pid}: 3 threads, 2 locks held\n" in text
        assert "MainThread, main thread, " in text
        assert f"native id {one}" in text
        assert f"native id {two}" in text
        assert "\nDeadlock: 2 threads wait for each other.\n" in text
        assert text.endswith(" s\n")
        if sys.version_info >= (3, 13):
            assert 'File "<string>", line ' in text
            assert ", in take\n" in text
        else:
            assert "Python stacks cannot be read from outside on 3." in text


def test_dump_as_json() -> None:
    with target(TWO_LOCKS) as process:
        report = json.loads(dump_until_found(process.pid, "--json"))
    assert (report["pid"], report["rthread"]) == (process.pid, rthread.__version__)
    waits = [thread["waiting_for"] for thread in report["threads"]]
    assert waits[0] is None
    assert [wait["kind"] for wait in waits[1:]] == ["lock", "lock"]
    owners = [wait["owner"]["native_id"] for wait in waits[1:]]
    assert owners == [thread["native_id"] for thread in report["threads"][:0:-1]]
    (deadlock,) = report["deadlocks"]
    assert deadlock["certain"] is True
    assert {thread["native_id"] for thread in deadlock["threads"]} == {*process.numbers()}


IDLE = """
event = threading.Event()
ready(start(event.wait, name="idle").native_id)
wait_for_the_end()
"""


def test_nothing_found() -> None:
    with target(IDLE) as process:
        for command in (["dump"], ["dump", "--json"], ["top", "--once"]):
            code, out, err = output(run_debug(*command, str(process.pid)))
            assert (code, err) == (0, "")
            assert out


def test_top_once() -> None:
    with target(TWO_LOCKS) as process:
        dump_until_found(process.pid)
        code, out, err = output(run_debug("top", str(process.pid), "--once"))
    assert (code, err) == (3, "")
    lines = out.splitlines()
    assert lines[0].startswith(f"process {process.pid}, rthread {rthread.__version__}, ")
    assert lines[1].startswith("3 threads: 2 waiting, 1 ")
    assert lines[2].startswith("deadlock: ")
    one, two = process.numbers()
    heading = next(index for index, line in enumerate(lines) if line.startswith("native id"))
    rows = {int(line.split()[0]): line for line in lines[heading + 1 :]}
    assert set(rows) == {process.pid, one, two}
    assert "waiting" in rows[one]
    assert "Lock at 0x" in rows[one]
    assert rows[process.pid].endswith("MainThread")


def test_top_again_and_again_without_a_terminal() -> None:
    with target(IDLE) as process:
        argv = [sys.executable, "-m", "rthread.debug", "top", str(process.pid), "--interval=0.05"]
        top = subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        assert top.stdout is not None
        assert top.stderr is not None
        pages = 0
        while pages < 3:
            pages += top.stdout.readline().startswith("process ")
        # The process ends, and top with it.
        process.process.kill()
        process.process.wait()
        top.stdout.read()
        assert top.stderr.read() == f"rthread: process {process.pid} has ended\n"
        assert top.wait() == 1
        top.stdout.close()
        top.stderr.close()


@pytest.mark.parametrize("command", [["dump"], ["dump", "--json"], ["top", "--interval=0.05"]])
def test_a_reader_that_goes_away(command: list[str]) -> None:
    with target(IDLE) as process:
        argv = [sys.executable, "-m", "rthread.debug", *command, str(process.pid)]
        read, write = os.pipe()
        os.close(read)
        with subprocess.Popen(argv, stdout=write, stderr=subprocess.PIPE, text=True) as running:
            os.close(write)
            assert running.communicate()[1] == ""
            assert running.returncode == 0


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="there is no file that is full")
def test_a_file_that_is_full() -> None:
    with target(IDLE) as process:
        argv = [sys.executable, "-m", "rthread.debug", "dump", str(process.pid)]
        with open("/dev/full", "w") as full:
            finished = subprocess.run(argv, stdout=full, stderr=subprocess.PIPE, text=True)
    assert finished.returncode == 1
    assert finished.stderr == ("rthread: the report cannot be written: No space left on device\n")


def test_an_output_without_the_letters_of_a_name() -> None:
    source = IDLE.replace("idle", "schläft")
    with target(source) as process:
        env = {"PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0"}
        code, _, err = output(run_debug("dump", str(process.pid), env=env))
    assert (code, err) == (0, "")


@pytest.mark.parametrize("command", ["dump", "top"])
def test_processes_that_cannot_be_looked_at(command: str) -> None:
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    with target("print('ready', flush=True); input()", prelude="") as stock:
        for pid, reason in (
            (gone.pid, f"there is no process {gone.pid}"),
            (stock.pid, f"process {stock.pid} runs Python without rthread"),
        ):
            assert output(run_debug(command, str(pid))) == (1, "", f"rthread: {reason}\n")
            assert output(run_rthread(command, str(pid))) == (1, "", f"rthread: {reason}\n")
