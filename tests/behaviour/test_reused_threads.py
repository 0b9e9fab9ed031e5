"""Finished threads that are kept for the next start: to the program each start is a new thread."""

from __future__ import annotations

import ctypes
import functools
import os
import sys
import sysconfig
import textwrap
import threading
import weakref
from collections.abc import Callable
from typing import Any

import pytest

import support
from support import HANG, wait_until

pytestmark = [
    pytest.mark.skipif(sys.platform != "linux", reason="threads are kept on Linux only"),
    pytest.mark.thread_unsafe(reason="what is kept belongs to the process"),
]

# What a job does to its thread, and what the next job sees of that. Both run as the target of a
# Thread and by start_new_thread; what the second returns is printed.
CASES: dict[str, tuple[str, str]] = {
    "local": ("LOCAL.x = 1", "return vars(LOCAL)"),
    "local of a class": ("OWN.x = 1", "return vars(OWN)"),
    "context variable": ("VARIABLE.set(1)", "return VARIABLE.get('none')"),
    "decimal context": ("decimal.getcontext().prec = 5", "return decimal.getcontext().prec"),
    "trace function": ("sys.settrace(lambda *_: None)", "return sys.gettrace()"),
    "profile function": ("sys.setprofile(lambda *_: None)", "return sys.getprofile()"),
    "async generator hooks": (
        "sys.set_asyncgen_hooks(print, print)",
        "return tuple(sys.get_asyncgen_hooks())",
    ),
    "origin tracking": (
        "sys.set_coroutine_origin_tracking_depth(3)",
        "return sys.get_coroutine_origin_tracking_depth()",
    ),
    "exception": ("raise SystemExit(KeyError('x'))", "return sys.exc_info()"),
    "uncaught exception": ("raise KeyError('x')", "return sys.exc_info()"),
    "running loop": (
        "asyncio._set_running_loop(asyncio.new_event_loop())",
        "return asyncio._get_running_loop()",
    ),
    "signal mask": (
        "signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR1})",
        "return signal.pthread_sigmask(signal.SIG_BLOCK, ())",
    ),
    "processors": (
        "os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})",
        "return os.sched_getaffinity(0) == CPUS",
    ),
    "nice": (
        "os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), 5)",
        "return os.getpriority(os.PRIO_PROCESS, threading.get_native_id()) - NICE",
    ),
    "name for the system": (
        "LIBC.prctl(15, b'other', 0, 0, 0)",
        "return open(f'/proc/self/task/{threading.get_native_id()}/comm').read() == COMM",
    ),
    "name": (
        "threading.current_thread().name = 'other'",
        "return threading.current_thread().name == 'other'",
    ),
    "current thread": (
        "SEEN.append(threading.current_thread())",
        "return threading.current_thread() in SEEN",
    ),
    "recursion": (
        "\n".join(["def dive(): dive()", "try: dive()", "except RecursionError: pass"]),
        "\n".join(["def dive(n): return n and dive(n - 1)", "return dive(200)"]),
    ),
    "async exception": (
        "ctypes.pythonapi.PyThreadState_SetAsyncExc("
        "ctypes.c_ulong(threading.get_ident()), ctypes.py_object(SystemExit))",
        "return [i for i in range(100)][-1]",
    ),
    "locked lock": ("LOCK.acquire()", "return LOCK.locked(), LOCK.release()"),
    "pending task": (
        "asyncio.run(leave_task())",
        "return len(asyncio.all_tasks(asyncio.new_event_loop()))",
    ),
}

PROGRAM = """
import asyncio, contextvars, ctypes, decimal, os, signal, sys, threading, time, _thread
threading.excepthook = lambda args: None
sys.unraisablehook = lambda args: None
LIBC = ctypes.CDLL(None)
LOCAL, LOCK, SEEN = threading.local(), threading.Lock(), []
class Own(threading.local):
    def __init__(self): self.made = True
OWN = Own()
VARIABLE = contextvars.ContextVar("variable")
CPUS, NICE = os.sched_getaffinity(0), os.getpriority(os.PRIO_PROCESS, 0)
COMM = open(f"/proc/self/task/{threading.get_native_id()}/comm").read()
async def leave_task():
    task = asyncio.get_running_loop().create_task(asyncio.sleep(0))

def through_thread(job):
    thread = threading.Thread(target=job, name="job")
    if sys.version_info >= (3, 14): thread._set_os_name = lambda: None
    thread.start()
    thread.join()

def by_number(job):
    left = threading.Lock()
    left.acquire()
    def call():
        try: job()
        finally: left.release()
    _thread.start_new_thread(call, ())
    left.acquire()
    # The thread has left its function; nothing tells of its end but the count.
    while _thread._count(): time.sleep(0.001)

def dirty():
    DIRTY
def look():
    LOOK
for run in RUNS:
    for _ in range(3):
        found = []
        run(dirty)
        run(lambda: found.append(look()))
        print(found)
if "rthread" in sys.modules:
    import rthread
    kept = rthread._rthread.__kept_threads__()
    assert kept[1] >= 2, kept
"""


@pytest.mark.parametrize("case", CASES)
def test_next_job_sees_nothing_of_the_one_before(case: str) -> None:
    """What the second of two threads prints is what it prints on the interpreter's own threads."""
    dirty, look = CASES[case]
    code = PROGRAM
    for name, body in (("DIRTY", dirty), ("LOOK", look)):
        code = code.replace(f"    {name}", textwrap.indent(body, "    "))
    # Up to 3.12 a thread without a Thread is taken for the one before it with the same ident.
    runs = "through_thread," if "current_thread" in dirty else "through_thread, by_number"
    code = code.replace("RUNS", runs)
    flags = ("-X", "thread_inherit_context=0") if "context" in case else ()
    for options in ((), flags) if flags and sys.version_info >= (3, 14) else ((),):
        expected = support.check_snippet(code, flags=options)
        reused = support.check_snippet(
            code, flags=options, env={"RTHREAD": "1", "RTHREAD_REUSE_THREADS": "2"}
        )
        assert reused == expected


@pytest.fixture
def keeping(ours: Any) -> Any:
    """The extension module, while it keeps up to four finished threads."""
    before = ours.__kept_threads__()[1]
    ours.__keep_threads__(4)
    yield ours
    ours.__keep_threads__(0)
    assert ours.__kept_threads__()[0] == 0
    assert ours.__kept_threads__()[1] > before, "no thread was reused, so nothing was tried"


class Thing:
    """Something that can be referred to weakly."""


def test_thread_that_waits_is_none(keeping: Any) -> None:
    """Neither frames nor counts have a thread that waits for its next job."""
    before = keeping._count()
    handles = join_one(keeping), join_one(keeping)
    idents = [handle[1] for handle in handles]
    kept, starts, _ = keeping.__kept_threads__()
    assert kept >= 1
    assert not set(idents) & set(sys._current_frames())
    # Threads of earlier tests may have ended meanwhile.
    assert keeping._count() <= before
    set_exception = ctypes.pythonapi.PyThreadState_SetAsyncExc
    for ident in idents:
        assert set_exception(ctypes.c_ulong(ident), ctypes.py_object(KeyError)) == 0
    # And so it does not come to the next job either.
    assert join_one(keeping)[0] is None
    assert keeping.__kept_threads__()[1] == starts + 1


def join_one(module: Any, job: Callable[[], object] = lambda: None) -> tuple[Any, int]:
    """Start a thread and wait for its logical end: what its job raised, and its identifier."""
    failure: list[BaseException | None] = []
    idents: list[int] = []
    sentinels: list[Any] = []

    def call() -> None:
        sentinel = module._set_sentinel()
        sentinel.acquire()
        sentinels.append(sentinel)
        idents.append(module.get_ident())
        try:
            job()
        except BaseException as error:
            failure.append(error.with_traceback(None))
        else:
            failure.append(None)

    module.start_new_thread(call, ())
    wait_until(lambda: failure and sentinels, "the job to end")
    assert sentinels[0].acquire(timeout=HANG)
    return failure[0], idents[0]


def test_states_are_kept_where_they_are_dear(keeping: Any) -> None:
    """Without a GIL, on 3.14: this fails where the interpreter's structures are other ones."""
    before = keeping.__kept_threads__()[2]
    for _ in range(5):
        join_one(keeping)
    is_free_threaded = bool(sysconfig.get_config_var("Py_GIL_DISABLED"))
    expected = 4 if is_free_threaded and sys.version_info[:2] == (3, 14) else 0
    assert keeping.__kept_threads__()[2] - before == expected


def test_allocations_that_are_traced() -> None:
    """To ask for memory attaches the thread then, and a kept thread has no state for that."""
    code = """
        import threading, tracemalloc
        import rthread
        rthread.install(reuse_threads=2)
        tracemalloc.start(5)
        for number in range(300):
            if number == 200: tracemalloc.stop()
            threads = [threading.Thread(target=bytearray, args=(10_000,)) for _ in range(3)]
            for thread in threads: thread.start()
            for thread in threads: thread.join()
        assert rthread._rthread.__kept_threads__()[1] > 100
    """
    support.check_snippet(code)


def test_live_threads_have_different_identifiers(keeping: Any) -> None:
    for _ in range(20):
        for _ in range(4):
            join_one(keeping)
        with support.workers(keeping, 6) as crew:
            assert len({worker.ident for worker in crew} | {keeping.get_ident()}) == 7


def test_what_a_job_had_is_gone_before_its_join_returns(keeping: Any) -> None:
    local = keeping._local()
    key = keeping.TSS()
    key.create()
    for _ in range(200):
        things = [Thing() for _ in range(5)]
        references = [weakref.ref(thing) for thing in things]

        def call(first: Thing, second: Thing, *, third: Thing) -> None:
            local.x = first
            key.set(second)
            call.third = third  # type: ignore[attr-defined]
            del call.third  # type: ignore[attr-defined]

        job = functools.partial(call, things[0], things[1], third=things[2])
        arguments = [job, things[3]]
        del things, job
        join_one(keeping, arguments[0])  # type: ignore[arg-type]
        arguments.clear()
        assert [reference() for reference in references] == [None] * 5


def test_objects_that_outlive_their_thread_die_with_their_last_reference(keeping: Any) -> None:
    """Also where the thread that made them waits at that moment, or has its next job."""
    for _ in range(100):
        made: list[Any] = []
        join_one(keeping, lambda made=made: made.extend([Thing(), [Thing()], Thing()]))  # type: ignore[misc]
        references = [weakref.ref(made[0]), weakref.ref(made[1][0]), weakref.ref(made[2])]
        del made[:2]
        assert references[0]() is None
        assert references[1]() is None
        join_one(keeping, lambda made=made: made.append(made.pop()))  # type: ignore[misc]
        made.clear()
        assert references[2]() is None


def test_objects_are_shared_while_threads_come_and_go(keeping: Any) -> None:
    """References counted by the thread that made an object, by others, and again by the first."""
    shared: list[Any] = [[] for _ in range(50)]
    stop = threading.Event()

    def use() -> None:
        while not stop.is_set():
            for thing in list(shared):
                thing.append(None)
                thing.pop()

    def replace() -> None:
        for index in range(len(shared)):
            shared[index] = [Thing()]
            del shared[index][0]

    others = [threading.Thread(target=use) for _ in range(2)]
    for thread in others:
        thread.start()
    for _ in range(300):
        join_one(keeping, replace)
    stop.set()
    for thread in others:
        thread.join(HANG)
        assert not thread.is_alive()
    for thing in shared:
        # This variable, the list, and the argument.
        assert sys.getrefcount(thing) <= 4


def test_as_many_are_kept_as_may_be(keeping: Any) -> None:
    before = keeping._count()
    for number in (4, 2, 1):
        keeping.__keep_threads__(0)
        keeping.__keep_threads__(number)
        with support.workers(keeping, 6):
            pass
        wait_until(lambda: keeping._count() <= before, "the threads to end")
        assert keeping.__kept_threads__()[0] <= number
        join_one(keeping)
        join_one(keeping)


def test_thread_that_waits_in_vain_ends(keeping: Any) -> None:
    before = tasks()
    join_one(keeping)
    join_one(keeping)
    assert tasks() - before
    wait_until(lambda: keeping.__kept_threads__()[0] == 0, "the kept thread to give up")
    wait_until(lambda: not tasks() - before, "the system to forget it")
    join_one(keeping)


def tasks() -> set[str]:
    return set(os.listdir("/proc/self/task"))


def test_stack_size_is_the_one_that_was_asked_for(keeping: Any) -> None:
    native: list[int] = []

    def job() -> None:
        native.append(keeping.get_native_id())

    before = keeping.stack_size()
    try:
        for size in (0, 1 << 20, 2 << 20, 0, 1 << 20, 2 << 20):
            keeping.stack_size(size)
            join_one(keeping, job)
    finally:
        keeping.stack_size(before)
    first, again = native[:3], native[3:]
    assert len(set(first)) == 3
    assert first == again


def test_kept_threads_make_room_for_one_that_none_of_them_can_serve() -> None:
    """At the limit of threads, where the next one is to have another stack size."""
    code = """
        import os, resource, threading
        import rthread
        rthread.install(reuse_threads=8)
        def start(count):
            gate = threading.Barrier(count)
            threads = [threading.Thread(target=gate.wait) for _ in range(count)]
            for thread in threads: thread.start()
            for thread in threads: thread.join()
        if os.getuid() == 0: os.setuid(61000 + os.getpid() % 4000)
        def of_this_user():
            number = 0
            for name in filter(str.isdigit, os.listdir("/proc")):
                try:
                    if os.stat(f"/proc/{name}").st_uid == os.getuid():
                        number += len(os.listdir(f"/proc/{name}/task"))
                except OSError: pass
            return number
        room = of_this_user() + 5
        resource.setrlimit(resource.RLIMIT_NPROC, (room, room))
        for size in (0, 1 << 20, 2 << 20) * 5:
            threading.stack_size(size)
            start(5)
            assert rthread._rthread.__kept_threads__()[0] == 5
            start(5)
    """
    support.check_snippet(code)


@pytest.mark.skipif(sys.version_info < (3, 12), reason="from 3.12 on")
def test_trace_functions_for_all_threads_are_not_for_the_next(keeping: Any) -> None:
    found: list[Any] = []
    set_all = vars(threading)["settrace_all_threads"]
    join_one(keeping)
    before = sys.gettrace()
    try:
        set_all(lambda *_: None)
    finally:
        set_all(before)
        threading.settrace(None)  # type: ignore[arg-type]
    join_one(keeping, lambda: found.append(sys.gettrace()))
    assert found == [None]


@pytest.mark.parametrize("how", ["fork", "subprocess", "in a job"])
def test_a_fork_meets_no_kept_thread(how: str) -> None:
    """A fork meets no other thread, so it does not warn; the child starts threads."""
    code = """
        import os, subprocess, sys, threading, warnings
        warnings.simplefilter("error")
        import rthread
        rthread.install(reuse_threads=4)
        def start(count=3):
            threads = [threading.Thread(target=int) for _ in range(count)]
            for thread in threads: thread.start()
            for thread in threads: thread.join()
        def kept(): return rthread._rthread.__kept_threads__()
        def check(status): assert status == 0, status
        def fork():
            start()
            pid = os.fork()
            if not pid:
                try:
                    assert len(os.listdir("/proc/self/task")) == 1
                    assert kept()[0] == 0
                    if how != "in a job":
                        before = kept()[1]
                        start(1), start(1), start(1)
                        assert kept()[1] >= before + 2
                finally:
                    os._exit(0 if sys.exc_info()[0] is None else 3)
            check(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
        def in_a_job():
            # A fork beside the main thread warns on stock, too.
            warnings.simplefilter("ignore")
            thread = threading.Thread(target=fork)
            thread.start()
            thread.join()
        how = sys.argv[1]
        for _ in range(50):
            if how == "subprocess":
                start()
                check(subprocess.run(["true"], preexec_fn=int).returncode)
            elif how == "fork":
                fork()
            else:
                in_a_job()
        assert kept()[1] > 0
    """
    if how == "subprocess":
        code = code.replace('simplefilter("error")', 'simplefilter("ignore")')
    support.check_snippet(code, how)


def test_job_that_returns_in_the_child_of_its_fork_ends_it() -> None:
    code = """
        import os, sys, threading, time, warnings
        warnings.simplefilter("ignore")
        import rthread
        rthread.install(reuse_threads=4)
        def job():
            global pid
            pid = os.fork()
        for _ in range(20):
            thread = threading.Thread(target=job)
            thread.start()
            thread.join()
            assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
        assert rthread._rthread.__kept_threads__()[1] > 0
    """
    support.check_snippet(code)


@pytest.mark.parametrize("end", ["pass", "sys.exit(0)", "time.sleep(1.2)"])
def test_kept_threads_do_not_hold_up_the_end(end: str) -> None:
    code = f"""
        import sys, threading, time
        import rthread
        rthread.install(reuse_threads=8)
        for _ in range(3):
            threads = [threading.Thread(target=time.sleep, args=(0.001,)) for _ in range(8)]
            for thread in threads: thread.start()
            for thread in threads: thread.join()
        assert rthread._rthread.__kept_threads__()[1] > 0
        threading.Thread(target=time.sleep, args=(1000,), daemon=True).start()
        {end}
    """
    for _ in range(5):
        support.check_snippet(code)


def test_uninstalling_ends_them() -> None:
    code = """
        import os, threading
        import rthread
        rthread.install(reuse_threads=8)
        for _ in range(3):
            thread = threading.Thread(target=int)
            thread.start()
            thread.join()
        assert rthread._rthread.__kept_threads__()[0] == 1
        rthread.uninstall()
        assert rthread._rthread.__kept_threads__()[0] == 0
        assert len(os.listdir("/proc/self/task")) == 1
        thread = threading.Thread(target=int)
        thread.start()
        thread.join()
    """
    support.check_snippet(code)


def test_threads_serve_several_interpreters() -> None:
    interpreters = pytest.importorskip(
        "_interpreters" if sys.version_info >= (3, 13) else "_xxsubinterpreters"
    )
    del interpreters
    code = """
        import sys
        if sys.version_info >= (3, 13): import _interpreters as interpreters
        else: import _xxsubinterpreters as interpreters
        import threading
        import rthread
        rthread.install(reuse_threads=4)
        def start():
            for _ in range(3):
                thread = threading.Thread(target=int)
                thread.start()
                thread.join()
        inner = '''
        import threading, rthread
        rthread.install(reuse_threads=4)
        for _ in range(3):
            thread = threading.Thread(target=int)
            thread.start()
            thread.join()
        '''
        for _ in range(20):
            start()
            # Up to 3.11 an isolated one may not start threads.
            one = interpreters.create(**{} if sys.version_info >= (3, 12) else {"isolated": False})
            failure = interpreters.run_string(one, __import__("textwrap").dedent(inner))
            assert failure is None, failure
            interpreters.destroy(one)
            start()
        assert rthread._rthread.__kept_threads__()[1] > 40
    """
    support.check_snippet(code)
