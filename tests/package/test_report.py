"""``rthread.report()`` and ``python -m rthread --report``: what every name runs on."""

from __future__ import annotations

import _thread
import queue
import sys
import textwrap
import threading

import pytest

import rthread
import support

MODULES = (_thread, threading, queue)


def by_name(report: object) -> dict[str, tuple[str, str, str]]:
    return {f"{e.module}.{e.name}": (e.runs_on, e.source, e.note) for e in report}  # type: ignore[attr-defined]


def test_before_install_everything_is_stock() -> None:
    output = support.check_snippet(
        """
        import threading, queue, rthread
        report = rthread.report()
        assert {entry.runs_on for entry in report} == {"stock"}, report.of("tool")
        print(len(report.of("stock")) == len(report), report.of("rthread"), repr(report))
        """
    )
    assert output.startswith("True [] <rthread.report(): 0 names rthread, ")


def test_names_are_all_that_a_program_uses() -> None:
    entries = by_name(rthread.report())
    for module in MODULES:
        public = getattr(module, "__all__", [n for n in vars(module) if n[0] != "_"])
        for name in public:
            if callable(getattr(module, name)):
                assert f"{module.__name__}.{name}" in entries


@pytest.mark.parametrize(
    ("options", "native", "queues"),
    [("", True, False), ("native=False", False, False), ("queue=True", True, True)],
)
def test_after_install(options: str, native: bool, queues: bool) -> None:
    output = support.check_snippet(
        f"""
        import threading, queue, rthread
        rthread.install({options})
        for entry in rthread.report():
            print(f"{{entry.module}}.{{entry.name}}", entry.runs_on)
        """
    )
    runs_on = dict(line.split() for line in output.splitlines())
    functions = ("start_new_thread", "allocate_lock", "RLock", "LockType", "_local", "get_ident")
    assert {runs_on[f"_thread.{name}"] for name in functions} == {"rthread"}
    assert {runs_on[f"threading.{name}"] for name in ("Lock", "local", "get_ident")} == {"rthread"}
    assert {runs_on[f"threading.{name}"] for name in ("Thread", "Timer", "ThreadError")} == {
        "stock"
    }
    classes = ("Barrier", "BoundedSemaphore", "Condition", "Event", "Semaphore")
    expected = "rthread" if native else "stock"
    assert {runs_on[f"threading.{name}"] for name in classes} == {expected}
    classes = ("Queue", "LifoQueue", "PriorityQueue", "SimpleQueue")
    expected = "rthread" if queues else "stock"
    assert {runs_on[f"queue.{name}"] for name in classes} == {expected}
    assert "tool" not in runs_on.values()
    assert "tool" not in runs_on.values()


def test_tools_are_named() -> None:
    output = support.check_snippet(
        """
        import functools, sys, types, warnings, threading, queue, _thread, rthread
        tool = types.ModuleType("tool")
        sys.modules["tool"] = tool
        exec('''
        import functools, queue, threading, _thread
        def wrap(f):
            @functools.wraps(f)
            def wrapper(*args): return f(*args)
            return wrapper
        _thread.get_ident = wrap(_thread.get_ident)
        threading.Thread.start = wrap(threading.Thread.start)
        threading._time = wrap(threading._time)
        threading.Barrier = functools.partial(threading.Barrier)
        class Queue(queue.Queue):
            def put(self, item): super().put(item)
        queue.Queue = Queue
        '''.replace("\\n        ", "\\n"), vars(tool))
        warnings.simplefilter("ignore")
        rthread.install(queue=True)
        for entry in rthread.report():
            if entry.runs_on == "tool":
                print(entry.module, entry.name, entry.source, entry.note, sep="|")
        print(*(e.note for e in rthread.report() if e.name in ("Event", "Timer", "LifoQueue")))
        """.replace("\n        ", "\n")
    )
    lines = output.splitlines()
    assert lines[:-1] == [
        "_thread|get_ident|tool|",
        "threading|_time|tool|",
        "threading|Barrier|functools|",
        "threading|Thread|tool|has replaced start",
        "queue|Queue|tool|",
    ]
    assert "uses threading._time, which is changed" in lines[-1]
    assert "derives from Thread, which is changed" in lines[-1]


def test_as_a_table() -> None:
    text = support.check_snippet(
        "import rthread, queue; rthread.install(); print(rthread.report())"
    )
    first, *lines = text.splitlines()
    assert first.startswith(f"rthread {rthread.__version__}, installed: ")
    assert [line for line in lines if line and line[0] != " "] == ["_thread", "threading", "queue"]
    assert any(line.split() == ["Condition", "rthread"] for line in lines)
    assert any(line.split() == ["Thread", "stock", "in", "Python"] for line in lines)


def test_modules_that_are_not_there_are_not_imported() -> None:
    text = support.check_snippet(
        """
        import rthread, sys
        rthread.install()
        print(rthread.report())
        assert "queue" not in sys.modules and "threading" not in sys.modules
        """
    )
    assert text.endswith("\nthreading (not imported)\n\nqueue (not imported)\n")


def test_report_of_the_command() -> None:
    finished = support.run_python("-m", "rthread", "--queue", "--no-native", "--report")
    assert (finished.returncode, finished.stderr) == (0, "")
    lines = [line.split() for line in finished.stdout.splitlines()]
    assert ["Queue", "rthread"] in lines
    assert ["Condition", "stock", "in", "Python"] in lines


def test_report_of_the_command_names_what_a_startup_file_has_patched(tmp_path: object) -> None:
    (tmp_path / "sitecustomize.py").write_text(  # type: ignore[operator]
        textwrap.dedent(
            """
            import _thread
            real = _thread.get_native_id
            _thread.get_native_id = lambda: real()
            """
        )
    )
    finished = support.run_python("-m", "rthread", "--report", env={"PYTHONPATH": str(tmp_path)})
    assert finished.returncode == 0
    assert "PatchedWarning: " in finished.stderr
    assert "_thread.get_native_id (sitecustomize)" in finished.stderr
    lines = [line.split() for line in finished.stdout.splitlines()]
    assert ["get_native_id", "tool:", "sitecustomize"] in lines


def test_python_version_is_covered() -> None:
    # The report goes by what the interpreter has, not by a list.
    names = {name for name in vars(_thread) if callable(vars(_thread)[name]) and name[:2] != "__"}
    reported = {e.name for e in rthread.report() if e.module == "_thread"}
    assert reported >= names, sys.version
