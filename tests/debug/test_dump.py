"""The report of a process: its facts as text and as JSON, and files that cannot be written."""

from __future__ import annotations

import io
import json
import os
import signal
import sys
from typing import Any

import planted
import pytest

import support
from rthread import debug

# A main thread that waits, and a deadlock beside it. The report comes from another thread.
BLOCKED = planted.program(
    planted.TWO_LOCKS,
    """
    import io
    gate = threading.Lock()
    gate.acquire()
    texts = []

    def report():
        until(lambda: debug.waiters(gate) and debug.find_deadlocks())
        for format in ("text", "json"):
            file = io.StringIO()
            assert debug.dump(file, format=format)
            texts.append(file.getvalue())
        gate.release()

    start("reporter", report)
    gate.acquire()
    print(*texts, sep="", end="")
    """,
)


@pytest.fixture(scope="module")
def reports() -> tuple[str, dict[str, Any]]:
    """The text and the JSON of one process at one moment."""
    text, _, document = support.check_snippet(BLOCKED).rpartition("\n{")
    return text + "\n", json.loads("{" + document)


def block_of(text: str, name: str) -> list[str]:
    """The lines for a thread."""
    blocks = [block.splitlines() for block in text.split("\n\n")]
    (block,) = [lines for lines in blocks if lines[0].startswith(f"{name}, ")]
    return block


def test_text_has_one_fact_a_line(reports: tuple[str, dict[str, Any]]) -> None:
    text, facts = reports
    lines = text.splitlines()
    head = f"rthread {facts['rthread']}, Python {facts['python']}, process {facts['pid']}: "
    assert lines[0] == head + "4 threads, 3 locks held"
    main = block_of(text, "MainThread")
    assert lines[2] == main[0]
    ident, native_id = facts["threads"][0]["ident"], facts["pid"]
    assert main[0] == f"MainThread, main thread, native id {native_id}, ident {ident}"
    assert main[1].startswith("  state  waiting for __main__.gate (Lock at 0x")
    assert ", held by itself, for " in main[1]
    assert main[2].startswith("  holds  __main__.gate (Lock at 0x")
    assert main[3].startswith('  stack  File "<string>", line ')
    assert main[3].endswith(", in <module>")
    one = block_of(text, "one")
    assert ", daemon, native id " in one[0]
    assert one[1].startswith("  state  waiting for __main__.b (Lock at 0x")
    assert ", held by two, for " in one[1]
    assert one[2].startswith("  holds  __main__.a (Lock at 0x")
    assert one[2].endswith("), taken by with")
    assert one[3].startswith('  stack  File "<string>", line ')
    assert one[3].endswith(", in take")
    assert one[4].startswith('         File "<string>", line ')
    assert block_of(text, "reporter")[1] == "  state  running"
    assert "rthread/debug" not in text
    found = text.partition("Deadlock: 2 threads wait for each other.\n")[2]
    assert found.count("  one: waiting for __main__.b") == 1
    assert found.count("  two: waiting for __main__.a") == 1
    # The main thread waits for a lock that any thread may release.
    assert "waits for itself" not in text


def test_json_has_the_same_facts(reports: tuple[str, dict[str, Any]]) -> None:
    text, facts = reports
    assert facts["format"] == 1
    assert facts["remarks"] == []
    assert [thread["name"] for thread in facts["threads"]] == [
        block.split(",")[0] for block in text.split("\n\n")[1:5]
    ]
    for thread in facts["threads"]:
        block = block_of(text, thread["name"])
        assert ("daemon" in block[0].split(", ")) == thread["daemon"]
        assert ("main thread" in block[0].split(", ")) == thread["main"]
        assert f"native id {thread['native_id']}, ident {thread['ident']}" in block[0]
        wait = thread["waiting_for"]
        if thread["state"] == "waiting":
            assert f"waiting for {wait['name']} ({wait['class']} at {wait['address']})" in block[1]
            assert wait["kind"] == "lock"
            assert wait["seconds"] >= 0
            assert not wait["timeout"]
            holder = wait["owner"]["name"]
            assert f"held by {'itself' if holder == thread['name'] else holder}" in block[1]
        else:
            assert (thread["state"], wait, block[1]) == ("running", None, "  state  running")
        held = [line for line in block if "taken by with" in line or line.startswith("  holds")]
        assert len(held) == len(thread["holds"])
        for line, lock in zip(held, thread["holds"], strict=True):
            assert f"{lock['name']} ({lock['class']} at {lock['address']})" in line
            assert lock["by_with"] == ("taken by with" in line)
        frames = [line[9:] for line in block[2 + len(held) :]]
        assert frames == [
            f'File "{frame["file"]}", line {frame["line"]}, in {frame["function"]}'
            for frame in thread["stack"]
        ]
    (deadlock,) = facts["deadlocks"]
    assert deadlock["certain"]
    assert {thread["name"] for thread in deadlock["threads"]} == {"one", "two"}
    assert deadlock["text"].startswith("Deadlock: 2 threads wait for each other.\n")
    assert facts["stuck"] == []


def test_a_held_lock_whose_owner_has_ended_and_a_thread_that_is_about_to_start() -> None:
    output = support.check_snippet(
        planted.program(
            """
            lock = threading.RLock()
            start("owner", lock.acquire).join()
            until(lambda: debug.owner(lock).has_ended)
            threading._limbo["key"] = threading.Thread(name="new", daemon=False)
            debug.dump(sys.stdout)
            debug.dump(sys.stdout, format="json")
            """
        )
    )
    text, _, document = output.rpartition("\n{")
    facts = json.loads("{" + document)
    assert "\n\nnew\n  state  about to start\n\n" in text
    assert "\nStuck: __main__.lock (RLock at 0x" in text
    assert text.endswith("no thread waits for it at this moment")
    new = facts["threads"][-1]
    assert (new["name"], new["state"], new["ident"]) == ("new", "about to start", None)
    assert (new["native_id"], new["daemon"], new["stack"]) == (None, False, None)
    (stuck,) = facts["stuck"]
    assert (stuck["kind"], stuck["certain"]) == ("owner ended", True)
    assert stuck["name"] == "__main__.lock"
    assert stuck["threads"] == []


def test_locks_are_named_by_what_refers_to_them() -> None:
    output = support.check_snippet(
        planted.program(
            """
            class Account:
                shared = threading.Lock()
                __slots__ = ("own", "__dict__")
                def __init__(self):
                    self.own = threading.Lock()
                    self.rlock = threading.RLock()
                    self.changed = threading.Condition()
                def block(self, event):
                    local = threading.Lock()
                    with module_lock, self.own, self.rlock, self.shared, local, self.changed:
                        def inner():
                            with closed:
                                event.wait()
                        closed = threading.Lock()
                        inner()

            module_lock = threading.Lock()
            event = threading.Event()
            thread = start("one", Account().block, event)
            until(lambda: debug.waiters(event))
            debug.dump(sys.stdout)
            event.set()
            thread.join()
            """
        )
    )
    held = [line[9:] for line in block_of(output, "one") if "taken by with" in line]
    held += [line[9:] for line in block_of(output, "one") if "RLock at" in line]
    names = {line.partition(" (")[0] for line in held}
    expected = {
        "__main__.module_lock",
        "Account.own",
        "Account.rlock",
        "Account.shared",
        "lock of Account.changed",
    }
    if getattr(sys, "_is_gil_enabled", lambda: True)():
        method = "Account.block" if sys.version_info >= (3, 11) else "block"
        assert names == expected | {f"local in {method}()", f"closed in {method}()"}
    else:
        # The thread may go on, and reading its variables meanwhile would be unsafe.
        assert "__main__.module_lock" in names
    assert "waiting for __main__.event (Event at 0x" in output


def test_threads_of_one_name_are_told_apart() -> None:
    output = support.check_snippet(
        planted.program(
            """
            lock = threading.Lock()
            event = threading.Event()

            def hold():
                with lock:
                    event.wait()

            first = start("same", hold)
            until(lambda: debug.waiters(event))
            second = start("same", lock.acquire)
            until(lambda: debug.waiters(lock))
            print(first.native_id, second.native_id)
            debug.dump(sys.stdout)
            event.set()
            """
        )
    )
    numbers, _, text = output.partition("\n")
    first, second = numbers.split()
    assert f", held by same [{first}], for " in block_of(text, f"same [{second}]")[1]


def test_names_that_would_break_a_line_are_escaped() -> None:
    output = support.check_snippet(
        planted.program(
            r"""
            event = threading.Event()
            start("two\nlines \x1b[31m \ud800 ünï", event.wait)
            until(lambda: debug.waiters(event))
            debug.dump(sys.stdout)
            debug.dump(sys.stdout, format="json")
            """
        )
    )
    assert r"two\nlines \x1b[31m \ud800 ünï, daemon, " in output
    facts = json.loads(output.splitlines()[-1])
    assert facts["threads"][1]["name"] == "two\nlines \x1b[31m \ud800 ünï"


def test_a_thousand_threads() -> None:
    output = support.check_snippet(
        planted.program(
            """
            threading.stack_size(256 * 1024)
            event = threading.Event()
            lock = threading.Lock()

            def take():
                event.wait()
                with lock:
                    pass

            lock.acquire()
            threads = [start(f"number {n}", take) for n in range(1000)]
            until(lambda: len(debug.waiters(event)) == 1000)
            debug.dump(sys.stdout)
            event.set()
            until(lambda: len(debug.waiters(lock)) == 1000)
            debug.dump(sys.stdout, format="json")
            lock.release()
            for thread in threads:
                thread.join()
            """
        )
    )
    text, _, document = output.rpartition("\n{")
    assert text.count("  state  waiting for __main__.event (Event at 0x") == 1000
    facts = json.loads("{" + document)
    assert len(facts["threads"]) == 1001
    owners = {thread["waiting_for"]["owner"]["name"] for thread in facts["threads"][1:]}
    assert owners == {"MainThread"}


def test_a_deep_stack_is_cut() -> None:
    output = support.check_snippet(
        planted.program(
            """
            def deep(n):
                if n:
                    deep(n - 1)
                else:
                    debug.dump(sys.stdout)

            deep(500)
            """
        )
    )
    assert output.count(", in deep\n") == 200
    assert "         more than 200 frames\n" in output


@pytest.mark.skipif(sys.version_info < (3, 13), reason="needs interpreters with a GIL of their own")
def test_frames_of_other_interpreters_are_left_alone() -> None:
    """`sys._current_frames` would make objects of them that crash the process."""
    output = support.check_snippet(
        planted.program(
            """
            import _interpreters
            other = _interpreters.create()
            begun, over = os.pipe(), os.pipe()
            inside = f"import os; os.write({begun[1]}, b'x'); os.read({over[0]}, 1)"
            thread = start("host", _interpreters.exec, other, inside)
            os.read(begun[0], 1)
            debug.dump(sys.stdout)
            os.write(over[1], b"x")
            thread.join()
            _interpreters.destroy(other)
            """
        )
    )
    reason = "the stacks of other threads cannot be read while there are sub-interpreters"
    assert f"\nNote: {reason}\n" in output
    assert block_of(output, "host")[-1] == "  stack  missing"
    assert block_of(output, "MainThread")[-1].endswith(", in <module>")


@pytest.mark.skipif(not hasattr(signal, "SIGUSR1"), reason="needs signals")
def test_a_report_from_a_signal_handler_has_the_deadlock_of_its_own_thread() -> None:
    output = support.check_snippet(
        planted.program(
            """
            import signal
            a, b = threading.Lock(), threading.Lock()
            meeting = threading.Barrier(2)

            def other():
                with b:
                    meeting.wait()
                    with a:
                        pass

            def handle(number, frame):
                debug.dump(sys.stdout)
                sys.stdout.flush()
                os._exit(0)

            def interrupt():
                until(found)
                os.kill(os.getpid(), signal.SIGUSR1)

            signal.signal(signal.SIGUSR1, handle)
            start("other", other)
            start("interrupter", interrupt)
            with a:
                meeting.wait()
                with b:
                    pass
            """
        )
    )
    main = block_of(output, "MainThread")
    waits = "running signal handlers in the middle of waiting for __main__.b (Lock at 0x"
    assert main[1].startswith(f"  state  {waits}")
    assert main[3].endswith(", in handle")
    assert f"Deadlock: 2 threads wait for each other.\n  MainThread: {waits}" in output


def test_no_collection_runs_during_a_report() -> None:
    support.check_snippet(
        planted.program(
            """
            import gc, io
            runs = []
            gc.callbacks.append(lambda phase, info: runs.append(phase))
            gc.set_threshold(1)
            class File(io.StringIO):
                def write(self, text):
                    # The collector is as it was before the file is written.
                    assert gc.isenabled()
            before = len(runs)
            gc.disable()
            debug.dump(io.StringIO())
            assert not gc.isenabled()
            gc.enable()
            assert debug.dump(File())
            """
        )
    )


# Files


class Broken:
    def __init__(self, error: BaseException) -> None:
        self._error = error

    def write(self, text: str) -> None:
        raise self._error


def test_dump_writes_to_standard_error_unless_told_otherwise(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert debug.dump() is True
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("rthread ")


def test_a_closed_file_is_no_error() -> None:
    file = io.StringIO()
    file.close()
    assert debug.dump(file) is False
    assert debug.dump(file, format="json") is False


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")
def test_a_full_file_is_no_error() -> None:
    support.check_snippet(
        planted.program(
            """
            for options in ({}, {"format": "json"}):
                file = open("/dev/full", "w")
                assert debug.dump(file, **options) is False
                # What is left in its buffer is the file's business.
                try:
                    file.close()
                except OSError:
                    pass
            import os
            os.dup2(os.open("/dev/full", os.O_WRONLY), 2)
            assert debug.dump() is False
            os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
            """
        )
    )


@pytest.mark.parametrize(
    "error", [OSError("no space"), ValueError("closed"), debug.DeadlockError("in here, too")]
)
def test_a_broken_file_is_no_error(error: BaseException) -> None:
    assert debug.dump(Broken(error)) is False


def test_an_exception_that_is_to_end_the_program_is_passed_on() -> None:
    with pytest.raises(KeyboardInterrupt):
        debug.dump(Broken(KeyboardInterrupt()))


def test_dump_without_any_standard_error() -> None:
    support.check_snippet(
        planted.program("sys.stderr = sys.__stderr__ = None", "assert debug.dump() is False")
    )


def test_files_for_bytes_and_for_few_letters() -> None:
    binary = io.BytesIO()
    assert debug.dump(binary)  # type: ignore[arg-type]
    assert binary.getvalue().startswith(b"rthread ")
    output = support.check_snippet(
        planted.program(
            """
            import io
            raw = io.BytesIO()
            event = threading.Event()
            start("ünï", event.wait)
            until(lambda: debug.waiters(event))
            file = io.TextIOWrapper(raw, encoding="ascii")
            assert debug.dump(file)
            sys.stdout.write(raw.getvalue().decode("ascii"))
            """
        )
    )
    assert r"\xfcn\xef, daemon" in output


@pytest.mark.parametrize("file", [3, "report.txt", object()])
def test_what_is_no_file_is_a_type_error(file: Any) -> None:
    with pytest.raises(TypeError, match=f"must have a write method, not {type(file).__name__}"):
        debug.dump(file)


@pytest.mark.parametrize("format", ["xml", "", "JSON"])
def test_a_format_that_does_not_exist_is_a_value_error_that_names_the_choices(format: Any) -> None:
    with pytest.raises(ValueError, match=f"must be 'text' or 'json', not '{format}'"):
        debug.dump(io.StringIO(), format)


def test_a_format_that_is_no_text_is_a_type_error() -> None:
    wrong: Any = None
    with pytest.raises(TypeError, match="format must be a str, not NoneType"):
        debug.dump(io.StringIO(), wrong)


def test_nothing_is_imported_for_a_report() -> None:
    support.check_snippet(
        """
        import io, sys
        from rthread import debug
        class Finder:
            def find_spec(self, name, path=None, target=None):
                raise SystemError(name)
        before = set(sys.modules)
        sys.meta_path.insert(0, Finder())
        file = io.StringIO()
        assert debug.dump(file) and debug.dump(file, format="json")
        debug.find_deadlocks()
        debug.find_stuck()
        debug.held_by(1)
        assert set(sys.modules) == before, set(sys.modules) - before
        # It sees the threads even if `threading` is not imported.
        assert "threading" in sys.modules or "\\nMainThread, main thread, " in file.getvalue()
        """
    )


def test_a_report_makes_no_python_object_of_a_native_one() -> None:
    support.check_snippet(
        planted.program(
            """
            import gc, io, queue

            class Derived(threading.Event):
                pass

            class Owner:
                def __init__(self):
                    self.objects = objects
                    self.condition, self.event, self.derived = objects[:3]
                def wait(self):
                    with self.condition:
                        self.event.wait()

            objects = [threading.Condition(), threading.Event(), Derived(), threading.Barrier(2)]
            objects += [threading.Semaphore(0), queue.Queue(), queue.PriorityQueue()]
            threads = [start("owner", Owner().wait)]
            threads += [start("getter", objects[5].get), start("derived", objects[2].wait)]
            has_dict = lambda obj: dict in map(type, gc.get_referents(obj))
            # An object of a derived class is a Python object from its beginning.
            before = [has_dict(obj) for obj in objects]
            assert before == [False, False, True, False, False, False, False]
            until(lambda: all(debug.waiters(obj) for obj in (objects[1], objects[2], objects[5])))
            assert debug.dump(io.StringIO()) and debug.dump(io.StringIO(), format="json")
            debug.find_deadlocks()
            debug.find_stuck()
            for obj in objects:
                debug.waiters(obj)
            assert [has_dict(obj) for obj in objects] == before
            """
        ).replace("rthread.install()", "rthread.install(queue=True)")
    )
