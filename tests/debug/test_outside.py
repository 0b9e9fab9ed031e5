"""What is seen of a process from outside: threads, waits, owners, deadlocks."""

from __future__ import annotations

import errno
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from outside_targets import PRELUDE, TWO_LOCKS, Target, target, wait_until_seen

import rthread
import support

if not sys.platform.startswith("linux"):
    pytest.skip("other processes are read on Linux only", allow_module_level=True)

from rthread.debug import _graph, _outside, _proc, _snapshot
from rthread.debug._outside import CannotLook, Outside
from rthread.debug._snapshot import WAITING, Snapshot, ThreadRecord

# From this version on the stacks are read, too.
HAS_STACKS = sys.version_info >= (3, 13)


def look(pid: int) -> Snapshot:
    outside = Outside(pid)
    try:
        return outside.look()
    finally:
        outside.close()


def look_until(process: Target, condition: Any) -> Snapshot:
    snapshot: Snapshot = wait_until_seen(lambda: look(process.pid), condition)
    return snapshot


def waiting(snapshot: Snapshot, *native_ids: int) -> list[ThreadRecord]:
    """The records of these threads; an empty list if one of them does not wait yet."""
    by_id = {record.native_id: record for record in snapshot.threads}
    found = [by_id[number] for number in native_ids]
    return found if all(record.state == WAITING for record in found) else []


def deadlocked(snapshot: Snapshot) -> bool:
    return bool(_graph.cycles(snapshot))


def test_two_threads_that_wait_for_each_other() -> None:
    with target(TWO_LOCKS) as process:
        snapshot = look_until(process, deadlocked)
    assert (snapshot.pid, snapshot.version) == (process.pid, rthread.__version__)
    parts = sys.version_info[: 3 if sys.version_info >= (3, 11) else 2]
    assert snapshot.python == ".".join(map(str, parts))
    assert [record.is_main for record in snapshot.threads] == [True, False, False]
    assert snapshot.threads[0].name == "MainThread"
    one, two = waiting(snapshot, *process.numbers())
    assert {one.kind, two.kind} == {_snapshot.LOCK}
    assert (snapshot.owner(one), snapshot.owner(two)) == (two, one)
    assert one.certain
    assert not one.timed
    assert _graph.cycles(snapshot) == [[one, two]]
    (lock,) = snapshot.held(one)
    assert (lock.address, lock.by_with) == (two.address, True)


def test_a_wait_gets_older_and_stays_the_same() -> None:
    with target(TWO_LOCKS) as process:
        first = look_until(process, deadlocked)
        second = look(process.pid)
    before, after = (waiting(each, process.numbers()[0])[0] for each in (first, second))
    assert (before.serial, before.since) == (after.serial, after.since)
    assert first.seconds(before) < second.seconds(after) < support.HANG


def test_lock_rlock_and_join_in_one_circle() -> None:
    source = """
        lock, rlock, thread = threading.Lock(), threading.RLock(), []
        barrier = threading.Barrier(3)

        def takes_lock():
            with lock:
                barrier.wait()
                rlock.acquire()

        def takes_rlock():
            with rlock, rlock:
                barrier.wait()
                thread[0].join()

        def is_joined():
            barrier.wait()
            lock.acquire()

        thread.append(start(is_joined))
        ready(start(takes_lock).native_id, start(takes_rlock).native_id, thread[0].native_id)
        wait_for_the_end()
    """
    with target(source) as process:
        snapshot = look_until(process, deadlocked)
    first, second, third = waiting(snapshot, *process.numbers())
    assert first.kind == _snapshot.RLOCK
    assert second.kind in _snapshot.ENDS
    assert third.kind == _snapshot.LOCK
    (cycle,) = _graph.cycles(snapshot)
    assert {record.native_id for record in cycle} == {*process.numbers()}
    assert _graph.is_certain(cycle)
    (rlock,) = snapshot.held(second)
    assert (rlock.kind, rlock.count, rlock.address) == (_snapshot.RLOCK, 2, first.address)


def test_bare_acquire_is_a_possible_deadlock() -> None:
    source = TWO_LOCKS.replace("with first:", "if first.acquire():").replace(
        "with second:", "if second.acquire():"
    )
    with target(source) as process:
        snapshot = look_until(process, deadlocked)
    (cycle,) = _graph.cycles(snapshot)
    assert not _graph.is_certain(cycle)


def test_a_time_out_is_no_deadlock() -> None:
    source = TWO_LOCKS.replace("with second:", "if second.acquire(timeout=1000):")

    def are_timed(snapshot: Snapshot) -> bool:
        found = waiting(snapshot, *process.numbers())
        return bool(found) and all(record.timed for record in found)

    with target(source) as process:
        snapshot = look_until(process, are_timed)
    one, two = waiting(snapshot, *process.numbers())
    assert (snapshot.owner(one), snapshot.owner(two)) == (two, one)
    assert not _graph.cycles(snapshot)


def test_lock_of_a_thread_that_has_ended() -> None:
    source = """
        lock = threading.Lock()
        holder = start(lock.acquire)
        holder.join()
        ready(start(lock.acquire).native_id)
        wait_for_the_end()
    """
    with target(source) as process:
        snapshot = look_until(process, _graph.stuck)
    (found,) = _graph.stuck(snapshot)
    assert found.kind == "owner ended"
    assert [record.native_id for record in found.threads] == process.numbers()


def test_lock_of_a_thread_that_did_not_come_along_through_fork() -> None:
    source = """
        lock = threading.Lock()
        taken, done = threading.Event(), threading.Event()

        def hold():
            with lock:
                taken.set()
                done.wait()

        start(hold)
        taken.wait()
        pid = os.fork()
        if pid:
            ready(pid)
            sys.stdin.readline()
            os.kill(pid, 9)
            os._exit(0)
        lock.acquire()
    """
    with target(source) as process:
        (child,) = process.numbers()
        snapshot = wait_until_seen(lambda: look(child), _graph.stuck)
        assert len(snapshot.threads) == 1
        assert snapshot.threads[0].is_main
        assert snapshot.is_child
        (found,) = _graph.stuck(snapshot)
        assert "did not come along through fork" in found.reason
        os.kill(child, signal.SIGKILL)


# What is waited for, the kind of the wait, and the class that is shown.
WAITS = {
    "condition": ("threading.Condition()", "acquire() and it.wait()", "Condition"),
    "event": ("threading.Event()", "wait()", "Event"),
    "semaphore": ("threading.BoundedSemaphore(0)", "acquire()", "BoundedSemaphore"),
    "barrier": ("threading.Barrier(2)", "wait()", "Barrier"),
    "queue.get": ("queue.LifoQueue()", "get()", "LifoQueue"),
    "queue.put": ("queue.Queue(1)", "put(1) or it.put(2)", "Queue"),
    "queue.join": ("queue.PriorityQueue()", "put(1) or it.join()", "PriorityQueue"),
}


@pytest.mark.parametrize("kind", WAITS)
def test_what_a_thread_waits_for(kind: str) -> None:
    made, call, name = WAITS[kind]
    source = f"""
        it = {made}
        thread = start(lambda: it.{call})
        ready(thread.native_id)
        wait_for_the_end()
    """

    def wanted(snapshot: Snapshot) -> list[ThreadRecord]:
        found = waiting(snapshot, *process.numbers())
        return [record for record in found if _snapshot.KINDS[record.kind] == kind]

    with target(source) as process:
        snapshot = look_until(process, wanted)
    (record,) = wanted(snapshot)
    assert snapshot.class_name(record.address, record.kind) == name
    assert snapshot.owner(record) is None
    assert not _graph.stuck(snapshot)


def test_threads_that_rthread_has_never_met() -> None:
    source = """
        import _thread
        started = []

        def sleep():
            started.append(_thread.get_native_id())
            time.sleep(1000)

        _thread.start_new_thread(sleep, ())
        import rthread
        while not started:
            time.sleep(0.001)
        ready(*started)
        wait_for_the_end()
    """
    prelude = "import time\n" + PRELUDE.replace("rthread.install(queue=True)\n", "")
    with target(source, prelude=prelude) as process:
        snapshot = look(process.pid)
    assert [record.is_main for record in snapshot.threads] == [True, False]
    (other,) = (record for record in snapshot.threads if not record.is_main)
    assert (other.number, other.state) == (0, _snapshot.RUNNING)
    assert [other.native_id] == process.numbers()


def test_many_threads() -> None:
    source = """
        event = threading.Event()
        for _ in range(300):
            start(event.wait)
        ready()
        wait_for_the_end()
    """

    def on_event(snapshot: Snapshot) -> list[ThreadRecord]:
        return [record for record in snapshot.threads if record.kind == _snapshot.EVENT]

    with target(source) as process:
        snapshot = look_until(process, lambda seen: len(on_event(seen)) == 300)
    assert len(snapshot.threads) == 301
    assert len({record.address for record in on_event(snapshot)}) == 1


def test_no_false_alarm_while_threads_hand_locks_over() -> None:
    source = """
        locks = [threading.Lock() for _ in range(3)]

        def work(mine):
            while True:
                first, second = sorted(mine)
                with locks[first]:
                    with locks[second]:
                        pass

        def come_and_go():
            while True:
                thread = start(work_once)
                thread.join()

        def work_once():
            for lock in locks:
                with lock:
                    pass

        for pair in ((0, 1), (1, 2), (0, 2)):
            start(work, pair)
        start(come_and_go)
        ready()
        wait_for_the_end()
    """
    with target(source) as process:
        outside = Outside(process.pid)
        for _ in range(150):
            snapshot = outside.look(stacks=False)
            assert not _graph.cycles(snapshot)
            assert not _graph.stuck(snapshot)
        outside.close()


# The process is only read


def private_memory(pid: int) -> Iterator[tuple[str, bytes]]:
    """All that a process could write to, and what is there."""
    with open(f"/proc/{pid}/maps") as maps, open(f"/proc/{pid}/mem", "rb", 0) as memory:
        for line in maps:
            span, access = line.split()[:2]
            if access[:2] == "rw" and "[v" not in line:
                start, end = (int(part, 16) for part in span.split("-"))
                memory.seek(start)
                try:
                    content = memory.read(end - start)
                except OSError:
                    # There is no memory behind it, as beyond the end of a file.
                    content = b""
                yield span, content


def facts(pid: int) -> dict[str, str]:
    """The signals of each thread of a process, and how often it has run."""
    wanted = ("State", "SigPnd", "ShdPnd", "SigBlk", "SigIgn", "SigCgt")
    wanted += ("TracerPid", "voluntary_ctxt_switches", "nonvoluntary_ctxt_switches")
    found = {}
    for tid in os.listdir(f"/proc/{pid}/task"):
        for line in Path(f"/proc/{pid}/task/{tid}/status").read_text().splitlines():
            name, _, value = line.partition(":")
            if name in wanted:
                found[f"{tid} {name}"] = value.strip()
    return found


def test_a_stopped_process_is_seen_and_stays_as_it_is() -> None:
    with target(TWO_LOCKS) as process:
        look_until(process, deadlocked)
        os.kill(process.pid, signal.SIGSTOP)
        support.wait_until(
            lambda: all(
                value.startswith("T")
                for name, value in facts(process.pid).items()
                if name.endswith(" State")
            ),
            "the process to stop",
        )
        before = facts(process.pid), dict(private_memory(process.pid))
        snapshot = look(process.pid)
        after = facts(process.pid), dict(private_memory(process.pid))
        assert deadlocked(snapshot)
        assert before == after
        os.kill(process.pid, signal.SIGCONT)
        assert deadlocked(look_until(process, deadlocked))


# Processes that cannot be looked at


def refusal(pid: int) -> str:
    with pytest.raises(CannotLook) as caught:
        look(pid)
    reason = str(caught.value)
    assert "\n" not in reason
    return reason


def test_a_process_that_does_not_exist_any_more() -> None:
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    assert refusal(process.pid) == f"there is no process {process.pid}"


def test_a_process_that_has_ended_and_was_not_waited_for() -> None:
    process = subprocess.Popen([sys.executable, "-c", ""], stdin=subprocess.DEVNULL)
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    assert refusal(process.pid) == f"process {process.pid} has ended"
    process.wait()


def test_a_thread_is_not_taken_for_a_process() -> None:
    with target(TWO_LOCKS) as process:
        thread = process.numbers()[0]
        assert refusal(thread) == f"{thread} is a thread of process {process.pid}"


def test_another_program() -> None:
    process = subprocess.Popen(["sleep", "1000"])
    try:
        # Before it is sleep, it is a copy of this process.
        support.wait_until(lambda: Path(f"/proc/{process.pid}/comm").read_text() == "sleep\n")
        assert refusal(process.pid) == f"process {process.pid} does not run Python"
    finally:
        process.kill()
        process.wait()


def test_mappings_that_are_gone() -> None:
    # As of a process that becomes another program. Nothing is mapped at this address.
    process = _proc.Process(os.getpid())
    assert _outside._address_of("Py_IsInitialized", process.read, 4096) == 0
    process.close()


def test_python_without_rthread() -> None:
    with target("print('ready', flush=True); input()", prelude="") as process:
        assert refusal(process.pid) == f"process {process.pid} runs Python without rthread"


def test_another_version(monkeypatch: pytest.MonkeyPatch) -> None:
    with target(TWO_LOCKS) as process:
        monkeypatch.setattr(rthread, "__version__", "0.0.0")
        reason = refusal(process.pid)
        monkeypatch.undo()
        monkeypatch.setattr(_outside, "_LAYOUT", 0)
        assert refusal(process.pid) == reason.replace("0.0.0", rthread.__version__)
    assert "runs rthread " in reason
    assert "this is rthread 0.0.0" in reason


def patched_package(folder: Path, old: bytes, new: bytes) -> dict[str, str]:
    """A copy of rthread with other bytes in its extension; the variables that select it."""
    package = folder / "rthread"
    shutil.copytree(os.path.dirname(rthread.__file__), package)
    assert rthread._rthread.__file__ is not None
    library = package / os.path.basename(rthread._rthread.__file__)
    content = library.read_bytes()
    assert old in content
    library.write_bytes(content.replace(old, new))
    return {"PYTHONPATH": str(folder)}


MAGIC = b"rthread\0\x01\0\0\0"


def test_a_real_library_with_another_layout(tmp_path: Path) -> None:
    env = patched_package(tmp_path, MAGIC, b"rthread\0\x63\0\0\0")
    with target(TWO_LOCKS, env=env) as process:
        assert "look with the rthread of its own environment" in refusal(process.pid)


def test_a_library_with_damaged_tables(tmp_path: Path) -> None:
    env = patched_package(tmp_path, MAGIC, b"damaged\0\x01\0\0\0")
    with target(TWO_LOCKS, env=env) as process:
        assert "damaged" in refusal(process.pid)


def test_a_library_without_the_symbol(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_outside, "_SYMBOL", "rthread_tables_of_later")
    with target(TWO_LOCKS) as process:
        assert "has no tables to read" in refusal(process.pid)


def test_a_library_whose_files_are_gone(tmp_path: Path) -> None:
    env = patched_package(tmp_path, MAGIC, MAGIC)
    with target(TWO_LOCKS, env=env) as process:
        shutil.rmtree(tmp_path / "rthread")
        look_until(process, deadlocked)


def test_a_process_that_ends_between_two_looks() -> None:
    with target(TWO_LOCKS) as process:
        outside = Outside(process.pid)
        outside.look()
        process.process.kill()
        process.process.wait()
        with pytest.raises(CannotLook, match=f"^process {process.pid} has ended$"):
            outside.look()
        outside.close()


def test_a_process_that_begins_another_program() -> None:
    source = """
        ready()
        sys.stdin.readline()
        os.execlp("sleep", "sleep", "1000")
    """
    with target(source) as process:
        outside = Outside(process.pid)
        assert process.process.stdin is not None
        process.process.stdin.write("\n")
        process.process.stdin.flush()
        support.wait_until(lambda: Path(f"/proc/{process.pid}/comm").read_text() == "sleep\n")
        with pytest.raises(CannotLook, match="has begun another program"):
            outside.look()
        outside.close()


def test_a_process_of_another_user() -> None:
    if os.getuid() != 0:
        assert "no permission" in refusal(1)
        return
    code = """
        import os, sys
        from rthread.debug import _commands
        os.setgroups([]); os.setgid(65534); os.setuid(65534)
        sys.exit(_commands.main(["dump", sys.argv[1]], "test"))
    """
    with target(TWO_LOCKS) as process:
        finished = support.run_snippet(code, str(process.pid))
    assert (finished.returncode, finished.stdout) == (1, "")
    assert finished.stderr.startswith(f"rthread: no permission to read process {process.pid}")
    assert finished.stderr.count("\n") == 1


# Unusual ways to a process


def test_a_system_that_forbids_the_call(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(pid: int, address: int, size: int) -> bytes:
        raise PermissionError(errno.EPERM, "refused")

    monkeypatch.setattr(_proc, "_read_memory", refused)
    with target(TWO_LOCKS) as process:
        look_until(process, deadlocked)


def test_a_process_in_a_namespace_of_its_own() -> None:
    unshare = ("unshare", "--pid", "--fork", "--mount-proc")
    if subprocess.run([*unshare, "true"], capture_output=True).returncode != 0:
        pytest.skip("this machine lets no namespace be made")
    with target(TWO_LOCKS, command=unshare) as process:
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text()
        inside = int(children.split()[0])
        snapshot = wait_until_seen(lambda: look(inside), deadlocked)
    assert [record.is_main for record in snapshot.threads] == [True, False, False]
    # Its own numbers, which begin with 1 there.
    assert snapshot.threads[0].native_id == 1
    assert waiting(snapshot, *process.numbers())


def test_memory_that_cannot_be_there() -> None:
    process = _proc.Process(os.getpid())
    for address, size in ((0, 1), (-8, 8), (1 << 63, 8), (1 << 70, 8), (4096, -1), (4096, 1 << 40)):
        with pytest.raises(OSError, match="Bad address"):
            process.read(address, size)
    process.close()


# Stacks


def test_stacks_are_read_or_said_to_be_missing() -> None:
    source = """
        import json

        class Bank:
            def transfer(self, event):
                return [event.wait()
                        for _ in range(1)]

        def generate(event):
            yield Bank().transfer(event)

        async def überweisen(event):
            return sorted(generate(event), key=lambda x: x)

        def run(event):
            try:
                überweisen(event).send(None)
            except StopIteration:
                pass

        event = threading.Event()
        thread = start(run, event)
        while True:
            frame = sys._current_frames()[thread.ident]
            found = []
            while frame is not None:
                code = frame.f_code
                name = getattr(code, "co_qualname", code.co_name)
                found.append((code.co_filename, frame.f_lineno, name))
                frame = frame.f_back
            # Event.wait, and Condition.wait that it calls.
            if all(frame[2].endswith("wait") for frame in found[:2]) and event._cond._waiters:
                break
            time.sleep(0.001)
        ready(thread.native_id, json.dumps(found))
        wait_for_the_end()
    """
    # A Python wait, whose state shows that the thread has come to rest.
    prelude = PRELUDE.replace("queue=True", "native=False")
    with target(source, prelude=prelude) as process:
        native_id, text = int(process.words[0]), " ".join(process.words[1:])
        snapshot = look_until(process, lambda seen: waiting(seen, native_id))
    (record,) = waiting(snapshot, native_id)
    if not HAS_STACKS:
        assert record.stack is None
        assert record.note == "missing"
        assert any("cannot be read from outside on 3." in remark for remark in snapshot.remarks)
        return
    expected = [tuple(frame) for frame in json.loads(text)]
    assert record.stack is not None
    # The frames of `threading` may be at other lines by now.
    mine = [frame for frame in record.stack if frame[0] == "<string>"]
    assert mine == [frame for frame in expected if frame[0] == "<string>"]
    assert [frame[2] for frame in record.stack] == [frame[2] for frame in expected]
    assert "überweisen" in {frame[2] for frame in mine}
