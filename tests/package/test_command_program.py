"""A program under ``python -m rthread`` is what it is under ``python``: the two are compared.

Each program is run both ways in the same directory. Exit status, standard output and standard
error, with every traceback in it, have to be equal to the byte.
"""

from __future__ import annotations

import compileall
import os
import signal
import sys
import zipfile
from collections.abc import Sequence
from pathlib import Path

import pytest

import support

# Prints what the interpreter sets up for a program.
SHOW = """
import sys
print({n: v for n, v in globals().items() if n != "__builtins__"})
print(type(__builtins__), sys.modules["__main__"].__dict__ is globals())
print(sys.argv, [p for p in sys.path if "rthread" not in p], sys.flags)
"""

FINE = {
    "nothing": "",
    "setting": SHOW,
    "output": "import sys; print('out'); print('err', file=sys.stderr)",
    "input": "print(repr(input()), repr(input()))",
    "thread outlives main": """
        import threading
        main = threading.current_thread()
        def work():
            main.join()
            print("thread", main.is_alive())
        threading.Thread(target=work).start()
        print("main")
    """,
    "atexit": "import atexit; atexit.register(print, 'at exit', globals().get('__file__'))",
    "file is gone at exit": """
        import atexit
        atexit.register(lambda: print('__file__' in globals()))
    """,
    "warning": "import warnings; warnings.warn('careful')",
    "unraisable": """
        class Bad:
            def __del__(self): raise ValueError("in del")
        Bad()
    """,
    "failing thread": """
        import threading
        thread = threading.Thread(target=lambda: 1 / 0, name="bad")
        thread.start(); thread.join()
    """,
    "main is pickled by name": """
        import pickle
        class Point: pass
        print(pickle.loads(pickle.dumps(Point())).__class__ is Point, Point.__module__)
    """,
    "stop at once": "import os, sys; print('x', flush=True); os._exit(7)",
}

FAILING = {
    "plain": "1 / 0",
    "nested": """
        def outer(): inner()
        def inner(): raise KeyError("missing")
        outer()
    """,
    "chained": """
        try:
            try: {}["a"]
            except KeyError as e: raise ValueError("chained") from e
        except ValueError: raise OSError(2, "context")
    """,
    "in a library": "import json; json.loads('{')",
    "syntax": "x = (1,\ny = 2\n",
    "indentation": "if 1:\nx = 2\n",
    "syntax in eval": "eval('1 +')",
    "import": "import no_such_module",
    "recursive": "import sys\nsys.setrecursionlimit(80)\ndef f(): raise ValueError\nf()",
    "own hook": """
        import sys
        def hook(kind, value, tb):
            import traceback
            print("hook", kind, value, [f.name for f in traceback.extract_tb(tb)])
            print(sys.exc_info(), value.__context__, sys.last_value is value)
        sys.excepthook = hook
        def f(): 1 / 0
        f()
    """,
    "failing hook": """
        import sys
        def hook(*args): raise LookupError("in the hook")
        sys.excepthook = hook
        1 / 0
    """,
    "hook that exits": """
        import sys
        sys.excepthook = lambda *args: sys.exit(5)
        1 / 0
    """,
    "hook that cannot be called": "import sys; sys.excepthook = None; 1 / 0",
    "no hook": "import sys; del sys.excepthook; 1 / 0",
    "seen at exit": """
        import atexit, sys, traceback
        before = sys.excepthook
        def look():
            print(sys.last_type, sys.last_value, sys.excepthook is before)
            traceback.print_tb(sys.last_traceback, file=sys.stdout)
            traceback.print_tb(sys.last_value.__traceback__, file=sys.stdout)
        atexit.register(look)
        def f(): 1 / 0
        f()
    """,
    "no standard error": "import sys; sys.stderr = None; 1 / 0",
    "generator exit": "raise GeneratorExit('x')",
    "deleted main": "import sys; del sys.modules['__main__']; 1 / 0",
}

EXITS = {
    "none": "raise SystemExit",
    "zero": "raise SystemExit(0)",
    "three": "import sys; sys.exit(3)",
    "negative": "import sys; sys.exit(-1)",
    "large": "import sys; sys.exit(2 ** 40)",
    "true": "import sys; sys.exit(True)",
    "text": "import sys; sys.exit('goodbye')",
    "tuple": "raise SystemExit(1, 2)",
    "object": """
        class Reason:
            def __str__(self): return "a reason"
        raise SystemExit(Reason())
    """,
    "subclass": """
        class Exit(SystemExit):
            code = 9
        raise Exit
    """,
    "nested": """
        def f():
            try: raise SystemExit(4)
            finally: print("finally")
        f()
    """,
    "from a hook of atexit": """
        import atexit, sys
        atexit.register(sys.exit, 6)
    """,
}

INTERRUPTS = {
    "signal": "import os, signal; os.kill(os.getpid(), signal.SIGINT); input()",
    "raised": "def f(): raise KeyboardInterrupt\nf()",
    "subclass": "class Ctrl(KeyboardInterrupt): pass\nraise Ctrl('c')",
    "in acquire": """
        import os, signal, threading
        lock = threading.Lock(); lock.acquire()
        signal.setitimer(signal.ITIMER_REAL, 0.05)
        signal.signal(signal.SIGALRM, lambda *_: os.kill(os.getpid(), signal.SIGINT))
        lock.acquire()
    """,
    "caught": """
        import os, signal
        try:
            os.kill(os.getpid(), signal.SIGINT); input()
        except KeyboardInterrupt:
            print("caught")
            raise SystemExit(8)
    """,
}


def _programs(*groups: dict[str, str]) -> list[object]:
    return [
        pytest.param(_dedented(source), id=name)
        for group in groups
        for name, source in group.items()
    ]


def _dedented(source: str) -> str:
    import textwrap

    return textwrap.dedent(source).lstrip("\n")


def outcome(
    *argv: str, cwd: Path, stdin: str | None = None, environment: dict[str, str] | None = None
) -> tuple[int, list[str], list[str]]:
    finished = support.run_python(*argv, cwd=cwd, stdin=stdin, env=environment)
    output, error = map(support.without_addresses, (finished.stdout, finished.stderr))
    return finished.returncode, output.splitlines(), error.splitlines()


def assert_same(
    *argv: str, cwd: Path, flags: Sequence[str] = (), stdin: str | None = None
) -> tuple[int, list[str], list[str]]:
    plain = outcome(*flags, *argv, cwd=cwd, stdin=stdin)
    ours = outcome(*flags, "-m", "rthread", *argv, cwd=cwd, stdin=stdin)
    assert ours == plain
    return plain


@pytest.mark.parametrize("source", _programs(FINE, FAILING, EXITS, INTERRUPTS))
def test_script(source: str, tmp_path: Path) -> None:
    (tmp_path / "script.py").write_text(source)
    assert_same("script.py", "one", "--two", "-c", cwd=tmp_path, stdin="first\nsecond\n")


@pytest.mark.parametrize("source", _programs(FINE, FAILING, EXITS, INTERRUPTS))
def test_code(source: str, tmp_path: Path) -> None:
    assert_same("-c", source, "one", "--two", "-m", cwd=tmp_path, stdin="first\nsecond\n")


@pytest.mark.parametrize("source", _programs(FINE, FAILING, EXITS, INTERRUPTS))
def test_module(source: str, tmp_path: Path) -> None:
    (tmp_path / "a_module.py").write_text(source)
    assert_same("-m", "a_module", "one", "--two", "-c", cwd=tmp_path, stdin="first\nsecond\n")


@pytest.mark.parametrize("source", _programs(FAILING, EXITS) + _programs({"setting": SHOW}))
def test_standard_input(source: str, tmp_path: Path) -> None:
    assert_same("-", "one", "--two", cwd=tmp_path, stdin=source)


def test_interrupted_program_is_killed_by_the_signal(tmp_path: Path) -> None:
    for name in ("signal", "raised"):
        (tmp_path / "script.py").write_text(_dedented(INTERRUPTS[name]))
        status, _, error = outcome("-m", "rthread", "script.py", cwd=tmp_path)
        assert status == -signal.SIGINT
        assert error[-1] == "KeyboardInterrupt"


@pytest.fixture
def forms(tmp_path: Path) -> Path:
    """A directory with one program in every form that python takes."""
    (tmp_path / "script.py").write_text(SHOW)
    (tmp_path / "link.py").symlink_to(tmp_path / "sub" / "linked.py")
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "linked.py").write_text(SHOW)
    (tmp_path / "without_ending").write_text(SHOW)
    for package in ("directory", "package", "empty"):
        (tmp_path / package).mkdir()
    (tmp_path / "directory" / "__main__.py").write_text(SHOW)
    (tmp_path / "package" / "__init__.py").write_text("")
    (tmp_path / "package" / "__main__.py").write_text(SHOW)
    (tmp_path / "package" / "inner.py").write_text(SHOW)
    with zipfile.ZipFile(tmp_path / "archive.zip", "w") as archive:
        archive.writestr("__main__.py", SHOW)
        archive.writestr("helper.py", "1 / 0")
    compileall.compile_file(str(tmp_path / "script.py"), quiet=1, legacy=True)
    (tmp_path / "compiled").write_bytes((tmp_path / "script.pyc").read_bytes())
    (tmp_path / "bad.pyc").write_bytes(b"not at all bytecode")
    (tmp_path / "short.pyc").write_bytes((tmp_path / "script.pyc").read_bytes()[:40])
    (tmp_path / "unreadable.py").write_text(SHOW)
    (tmp_path / "unreadable.py").chmod(0)
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "__init__.py").write_text("1 / 0")
    return tmp_path


@pytest.mark.parametrize(
    "argv",
    [
        ["script.py"],
        ["./script.py"],
        ["./sub/../script.py"],
        ["sub/linked.py"],
        ["link.py"],
        ["without_ending"],
        ["script.pyc"],
        ["compiled"],
        ["bad.pyc"],
        ["short.pyc"],
        ["directory"],
        ["directory/"],
        ["archive.zip"],
        ["empty"],
        ["missing.py"],
        ["./missing.py"],
        ["missing/script.py"],
        ["script.py/script.py"],
        ["unreadable.py"],
        ["-m", "script"],
        ["-mscript"],
        ["-m", "package"],
        ["-m", "package.inner"],
        ["-m", "missing"],
        ["-m", "missing.inner"],
        ["-m", "package.missing"],
        ["-m", "empty"],
        ["-m", "broken"],
        ["-m", "broken.inner"],
        ["-m", "sys"],
        ["-c", SHOW],
        ["-c" + SHOW],
        ["-c", ""],
    ],
    ids=lambda argv: " ".join(argv).replace(SHOW, "SHOW").strip(),
)
@pytest.mark.parametrize("flags", [[], ["-I"], ["-P"]], ids=" ".join)
def test_form(argv: list[str], flags: list[str], forms: Path) -> None:
    if flags == ["-P"] and sys.version_info < (3, 11):
        pytest.skip("python has -P from 3.11 on")
    assert_same(*argv, "argument", cwd=forms, flags=flags)


def test_script_by_its_absolute_path(forms: Path) -> None:
    assert_same(str(forms / "sub" / "linked.py"), cwd=forms)


@pytest.mark.parametrize("flags", [["-O"], ["-W", "error"], ["-X", "dev"], ["-u"], ["-B", "-s"]])
def test_flags_of_the_interpreter(flags: list[str], tmp_path: Path) -> None:
    source = SHOW + "print(__debug__)\nimport warnings\nwarnings.warn('w')\n"
    (tmp_path / "script.py").write_text(source)
    assert_same("script.py", cwd=tmp_path, flags=flags)


@pytest.mark.parametrize(
    "source",
    ["1 / 0", "raise SystemExit(3)", "x = 1", "def f(): 1 / 0\nf()"],
)
def test_interactive_after_the_program(source: str, tmp_path: Path) -> None:
    (tmp_path / "script.py").write_text(source)
    session = "import sys\nprint(getattr(sys, 'last_type', None), sorted(globals())[:2])\n2 / 0\n"
    assert_same("script.py", cwd=tmp_path, flags=["-i"], stdin=session)


def test_indented_code(tmp_path: Path) -> None:
    source = '\n    text = """a\n      \n     b"""\n  \n    print(repr(text))\n    1 / 0\n'
    assert_same("-c", source, cwd=tmp_path)


def test_code_that_is_not_text(tmp_path: Path) -> None:
    undecodable = os.fsdecode(b"x = '\xff'")
    assert_same("-c", undecodable, cwd=tmp_path)


def test_other_encodings(tmp_path: Path) -> None:
    (tmp_path / "script.py").write_bytes(b"# coding: latin-1\nprint(ascii('\xe4'))\n\xe4 = (\n")
    (tmp_path / "marked.py").write_bytes(b"\xef\xbb\xbfprint(ascii('\xc3\xa4'))\n1 / 0\n")
    for name in ("script.py", "marked.py"):
        assert_same(name, cwd=tmp_path)


AUDITED = """
import sys
seen = []
def hook(event, args):
    if event.startswith("cpython.run_"):
        print(event, *args)
sys.addaudithook(hook)
"""


@pytest.mark.parametrize("argv", [["script.py"], ["-m", "script"], ["-c", "pass"], ["-"]])
def test_audit_events(argv: list[str], tmp_path: Path) -> None:
    (tmp_path / "script.py").write_text("")
    (tmp_path / "sitecustomize.py").write_text(AUDITED)
    environment = {"PYTHONPATH": str(tmp_path)}
    plain = outcome(*argv, cwd=tmp_path, stdin="", environment=environment)
    ours = outcome("-m", "rthread", *argv, cwd=tmp_path, stdin="", environment=environment)
    assert ours[1] == ["cpython.run_module rthread", *plain[1]]


SPAWNING = """
import multiprocessing, sys
def double(x):
    return 2 * x, __name__
if __name__ == "__main__":
    method = sys.argv[1]
    multiprocessing.set_start_method(method)
    with multiprocessing.Pool(2) as pool:
        print(pool.map(double, [1, 2, 3]))
"""


@pytest.mark.parametrize("method", ["spawn", "forkserver", "fork"])
@pytest.mark.parametrize("argv", [["script.py"], ["-m", "script"]], ids=" ".join)
def test_multiprocessing(method: str, argv: list[str], tmp_path: Path) -> None:
    (tmp_path / "script.py").write_text(SPAWNING)
    status, output, error = outcome("-m", "rthread", *argv, method, cwd=tmp_path)
    assert (status, error) == (0, [])
    name = "__main__" if method == "fork" else "__mp_main__"
    assert output == [str([(2, name), (4, name), (6, name)])]
