"""How a program asks for reused threads: argument, variable, option, and their errors."""

from __future__ import annotations

import sys

import pytest

import support

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="threads are kept on Linux only")

# Whether the second of two threads runs on the first one's, and what install() was told.
SHOW = """
import rthread, threading
def start():
    thread = threading.Thread(target=int)
    thread.start()
    thread.join()
start(), start()
state = vars(rthread._rthread)["__install_state__"]["reuse_threads"]
print(rthread._rthread.__kept_threads__()[1] > 0, state, flush=True)
"""
OFF = "False 0\n"


def on(number: int) -> str:
    return f"True {number}\n"


def run(*argv: str, env: dict[str, str] | None = None) -> tuple[str, str]:
    environment = {"RTHREAD_REUSE_THREADS": "", **(env or {})}
    finished = support.run_python(*argv, env=environment)
    assert finished.returncode == 0, finished.stderr
    return finished.stdout, finished.stderr


@pytest.mark.parametrize(
    ("variable", "call", "expected"),
    [
        ("", "install()", OFF),
        ("0", "install()", OFF),
        ("3", "install()", on(3)),
        ("9999", "install()", on(9999)),
        ("", "install(reuse_threads=2)", on(2)),
        ("3", "install(reuse_threads=2)", on(2)),
        ("3", "install(reuse_threads=0)", OFF),
        ("3", "install(reuse_threads=None)", on(3)),
        ("", "install(); rthread.install(reuse_threads=2)", on(2)),
        ("3", "install(); rthread.install(reuse_threads=0)", OFF),
        ("3", "install(); rthread.install()", on(3)),
        ("3", "install(reuse_threads=2); rthread.install(queue=True)", on(2)),
        ("3", "install(); rthread.uninstall()", OFF),
        ("3", "install(); rthread.uninstall(); rthread.install()", on(3)),
    ],
)
def test_install(variable: str, call: str, expected: str) -> None:
    code = f"import rthread; rthread.{call}\n{SHOW}"
    assert run("-c", code, env={"RTHREAD_REUSE_THREADS": variable}) == (expected, "")


@pytest.mark.parametrize(
    ("argument", "error"),
    [
        ("-1", "ValueError: reuse_threads must be between 0 and 9999, not -1"),
        ("10000", "ValueError: reuse_threads must be between 0 and 9999, not 10000"),
        ("True", "TypeError: reuse_threads must be an int or None, not bool"),
        ("2.0", "TypeError: reuse_threads must be an int or None, not float"),
        ("'2'", "TypeError: reuse_threads must be an int or None, not str"),
    ],
)
@pytest.mark.parametrize("before", ["", "rthread.install(); "])
def test_install_refuses(before: str, argument: str, error: str) -> None:
    code = f"""
        import rthread
        {before}before = rthread.is_installed()
        try:
            rthread.install(reuse_threads={argument})
        except (TypeError, ValueError) as error:
            print(f"{{type(error).__name__}}: {{error}}")
        assert rthread.is_installed() is before
    """
    assert support.check_snippet(code) == f"{error}\n"


@pytest.mark.parametrize("value", ["-1", "yes", "10000", " 1", "1.0", "²", "٣"])
def test_variable_without_a_meaning(value: str) -> None:
    """It is said, and otherwise as if the variable were not set."""
    complaint = (
        f"RTHREAD_REUSE_THREADS={value} is ignored: set it to a number of threads from 0 to 9999"
    )
    env = {"RTHREAD_REUSE_THREADS": value}
    assert run("-c", SHOW, env={"RTHREAD": "1", **env}) == (OFF, f"rthread: {complaint}\n")
    assert run("-m", "rthread", "-c", SHOW, env=env) == (OFF, f"rthread: {complaint}\n")
    output, error = run("-c", f"import rthread; rthread.install()\n{SHOW}", env=env)
    assert output == OFF
    assert f"RuntimeWarning: {complaint}" in error
    explicit = f"import rthread; rthread.install(reuse_threads=2)\n{SHOW}"
    assert run("-c", explicit, env=env) == (on(2), "")


@pytest.mark.parametrize(
    ("options", "variable", "expected"),
    [
        (["--reuse-threads", "2"], "", on(2)),
        (["--reuse-threads=2"], "", on(2)),
        (["--queue", "--reuse-threads", "2", "--no-native"], "", on(2)),
        (["--reuse-threads", "2", "--reuse-threads=3"], "", on(3)),
        (["--reuse-threads", "2"], "3", on(2)),
        (["--reuse-threads", "0"], "3", OFF),
        ([], "3", on(3)),
        ([], "", OFF),
    ],
)
def test_option(options: list[str], variable: str, expected: str) -> None:
    env = {"RTHREAD_REUSE_THREADS": variable}
    assert run("-m", "rthread", *options, "-c", SHOW, env=env) == (expected, "")


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["--reuse-threads"], "--reuse-threads needs a number of threads from 0 to 9999, not ''"),
        (
            ["--reuse-threads", "-c", "pass"],
            "--reuse-threads needs a number of threads from 0 to 9999, not '-c'",
        ),
        (
            ["--reuse-threads=many", "-c", "pass"],
            "--reuse-threads needs a number of threads from 0 to 9999, not 'many'",
        ),
        (["--reuse-threads", "2"], "--reuse-threads needs a program to run"),
        (["--queue", "--reuse-threads=2"], "--reuse-threads needs a program to run"),
    ],
)
def test_option_refuses(arguments: list[str], reason: str) -> None:
    finished = support.run_python("-m", "rthread", *arguments)
    assert finished.returncode == 2
    assert finished.stdout == ""
    assert finished.stderr == f"rthread: {reason}; see python -m rthread --help\n"


@pytest.mark.parametrize(
    ("options", "child"),
    [
        (["--reuse-threads", "2"], OFF),
        (["--children", "--reuse-threads", "2"], on(2)),
        (["--reuse-threads=2", "--children"], on(2)),
        (["--children"], OFF),
    ],
)
def test_children(options: list[str], child: str) -> None:
    code = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {SHOW!r}])"
    assert run("-m", "rthread", *options, "-c", code) == (child, "")


def test_help_has_it() -> None:
    text = run("-m", "rthread", "--help")[0]
    assert "--reuse-threads number" in text
    assert "RTHREAD_REUSE_THREADS=number" in text
