"""``rthread.threading``: the interpreter's own module on rthread, beside the stock one."""

from __future__ import annotations

import sys
import threading

import pytest

import rthread
import support
from rthread import threading as shim


def public_names(module: object) -> set[str]:
    return {name for name in vars(module) if not name.startswith("__")}


def test_has_every_name_of_the_stock_module() -> None:
    # _thread_shutdown is the one that the shim puts into the stock module, from 3.13 on.
    assert public_names(shim) - {"_load"} == public_names(threading)
    assert shim.__all__ == threading.__all__


def test_is_a_module_of_its_own() -> None:
    assert shim.__name__ == "rthread.threading"
    assert sys.modules["rthread.threading"] is shim is rthread.threading
    for name, module in (("Thread", "rthread.threading"), ("Event", "threading")):
        theirs, ours = getattr(threading, name), getattr(shim, name)
        assert ours is not theirs
        # Native classes are the same in both, once they are installed, and named as stock's.
        assert ours.__module__ == module


def test_takes_everything_from_rthread() -> None:
    import _thread

    for name, value in vars(_thread).items():
        ours = getattr(rthread._rthread, name, None)
        if name.startswith("__") or value is ours or not callable(value):
            continue
        for theirs_name, theirs in vars(threading).items():
            if theirs is value and theirs_name not in ("excepthook",):
                assert getattr(shim, theirs_name) is ours, theirs_name


def test_import_inside_functions_is_the_ordinary_one() -> None:
    with pytest.warns(DeprecationWarning, match="currentThread"):
        assert shim.currentThread() is threading.current_thread()


@pytest.mark.parametrize("module", [threading, shim], ids=["stock", "shim"])
def test_thread_of_either_is_the_same_for_both(module: object) -> None:
    seen: list[tuple[object, object]] = []

    def look() -> None:
        seen.append((threading.current_thread(), shim.current_thread()))
        seen.append((threading.main_thread(), shim.main_thread()))
        assert threading.enumerate() == shim.enumerate()
        assert threading.active_count() == shim.active_count() == len(shim.enumerate())

    thread = module.Thread(target=look, name="looking")  # type: ignore[attr-defined]
    thread.start()
    thread.join()
    assert seen == [(thread, thread), (threading.main_thread(), threading.main_thread())]


@pytest.mark.parametrize("start", [rthread.start_new_thread, support.stock().start_new_thread])
def test_foreign_thread_gets_one_object(start: object) -> None:
    seen: list[object] = []
    done = threading.Event()

    def look() -> None:
        seen.extend([shim.current_thread(), threading.current_thread(), shim.current_thread()])
        done.set()

    start(look, ())  # type: ignore[operator]
    assert done.wait(support.HANG)
    assert seen[0] is seen[1] is seen[2]


def test_names_are_numbered_together() -> None:
    numbers = [
        int(module.Thread().name.partition("-")[2]) for module in (threading, shim, threading)
    ]
    assert numbers[1] == numbers[0] + 1
    assert numbers[2] == numbers[0] + 2


def test_registries_are_shared() -> None:
    for name in ("_active", "_limbo", "_dangling", "_active_limbo_lock", "_main_thread"):
        assert getattr(shim, name) is getattr(threading, name)
    for name in ("_shutdown_locks", "_shutdown_locks_lock"):
        if hasattr(threading, name):
            assert getattr(shim, name) is getattr(threading, name)


def test_registering_at_exit_reaches_the_stock_module() -> None:
    output = support.check_snippet(
        """
        from rthread import threading
        threading._register_atexit(print, "registered")
        print("main")
        """
    )
    assert output == "main\nregistered\n"


@pytest.mark.parametrize("first", ["threading", "shim"])
def test_threads_of_both_are_waited_for(first: str) -> None:
    """The later thread is started by the earlier one, while the interpreter waits for that."""
    output = support.check_snippet(
        f"""
        import sys, threading
        from rthread import threading as shim
        first, second = (threading, shim) if {first!r} == "threading" else (shim, threading)
        main = threading.main_thread()
        def begin():
            main.join()
            print("first")
            try:
                second.Thread(target=end).start()
            except RuntimeError:
                # 3.12 starts no threads any more once the main one has ended.
                assert sys.version_info[:2] == (3, 12)
                end()
        def end():
            print("second")
        first.Thread(target=begin).start()
        print("main")
        """
    )
    assert output == "main\nfirst\nsecond\n"


def test_threads_are_waited_for_after_uninstall() -> None:
    output = support.check_snippet(
        """
        import rthread
        rthread.install()
        from rthread import threading as shim
        import threading
        rthread.uninstall()
        def work():
            threading.main_thread().join()
            print("end")
        shim.Thread(target=work).start()
        """
    )
    assert output == "end\n"


@pytest.mark.parametrize("module", ["rthread.threading", "threading"])
def test_main_thread_that_was_joined_for_long(module: str) -> None:
    """Up to 3.12 _shutdown() frees a lock and asserts that it is free, in spite of the waiter."""
    output = support.check_snippet(
        f"""
        import rthread, time
        rthread.install()
        import {module} as threading
        main = threading.main_thread()
        def work():
            main.join()
            print("thread", flush=True)
        threading.Thread(target=work).start()
        # Long enough to be handed the lock; what is printed does not depend on it.
        time.sleep(0.05)
        print("main", flush=True)
        """
    )
    assert output == "main\nthread\n"


def test_daemon_threads_are_not_waited_for() -> None:
    output = support.check_snippet(
        """
        from rthread import threading
        ready = threading.Event()
        def work():
            ready.set()
            threading.Event().wait()
        threading.Thread(target=work, daemon=True).start()
        ready.wait()
        print("main")
        """
    )
    assert output == "main\n"


FORK = """
import os, sys, threading, warnings
from rthread import threading as shim
warnings.simplefilter("ignore")

def in_child(check):
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            check()
            status = 0
        finally:
            os._exit(status)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0

def same():
    for name in ("_active_limbo_lock", "_main_thread", "_shutdown_locks", "_shutdown_locks_lock"):
        assert getattr(shim, name, None) is getattr(threading, name, None), name
    assert shim.main_thread() is threading.main_thread() is threading.current_thread()
    assert shim.enumerate() == threading.enumerate() == [threading.current_thread()]
    for module in (shim, threading):
        thread = module.Thread(target=lambda: None)
        thread.start()
        thread.join()
"""


def test_fork_in_the_main_thread() -> None:
    support.check_snippet(
        FORK
        + """
done = threading.Event()
others = [module.Thread(target=done.wait) for module in (shim, threading)]
for other in others:
    other.start()
def check():
    same()
    for other in others:
        other.join()
        assert not other.is_alive()
in_child(check)
done.set()
"""
    )


@pytest.mark.parametrize("module", ["shim", "threading"])
def test_fork_in_another_thread(module: str) -> None:
    support.check_snippet(
        FORK
        + f"""
errors = []
def work():
    try:
        in_child(same)
    except BaseException as error:
        errors.append(error)
thread = {module}.Thread(target=work)
thread.start()
thread.join()
assert not errors, errors
"""
    )


@pytest.mark.skipif(sys.version_info >= (3, 13), reason="3.13 has no such lock any more")
def test_fork_while_the_shutdown_lock_is_held() -> None:
    """The stock hook stops the shim's threads; the lock that this takes must be the new one."""
    support.check_snippet(
        FORK
        + """
done, held = threading.Event(), threading.Event()
other = shim.Thread(target=done.wait)
other.start()
def hold():
    with threading._shutdown_locks_lock:
        held.set()
        done.wait()
holder = threading.Thread(target=hold, daemon=True)
holder.start()
held.wait()
in_child(same)
done.set()
"""
    )


def test_hooks_are_separate() -> None:
    support.check_snippet(
        """
        import threading
        from rthread import threading as shim
        seen = []
        shim.excepthook = lambda args: seen.append(args.thread)
        thread = shim.Thread(target=lambda: 1 / 0)
        thread.start(); thread.join()
        assert seen == [thread]
        assert threading.excepthook is threading.__excepthook__
        """
    )


def test_logging_names_threads_of_both() -> None:
    output = support.check_snippet(
        """
        import logging, sys, threading
        from rthread import threading as shim
        logging.basicConfig(stream=sys.stdout, format="%(threadName)s", level="INFO")
        for module, name in ((threading, "stock one"), (shim, "shim one")):
            thread = module.Thread(target=logging.info, args=("",), name=name)
            thread.start(); thread.join()
        """
    )
    assert output == "stock one\nshim one\n"


def test_works_where_threading_comes_out_of_a_zip_file(tmp_path: object) -> None:
    support.check_snippet(
        f"""
        import sys, threading, zipfile, importlib
        archive = {str(tmp_path)!r} + "/lib.zip"
        with zipfile.ZipFile(archive, "w") as file:
            file.write(threading.__file__, "threading.py")
        for name in list(sys.modules):
            if name == "threading":
                del sys.modules[name]
        sys.path.insert(0, archive)
        import threading
        assert threading.__file__.startswith(archive)
        from rthread import threading as shim
        thread = shim.Thread(target=lambda: None)
        thread.start(); thread.join()
        assert shim.Thread.start.__code__.co_filename.startswith(archive)
        """
    )


def test_says_what_is_missing_without_source() -> None:
    output = support.check_snippet(
        """
        import threading
        threading.__spec__.loader = object()
        try:
            from rthread import threading as shim
        except ImportError as error:
            print(error)
        """
    )
    assert "needs the source or bytecode of the threading module" in output


@pytest.mark.parametrize("how", ["rthread.install()", "import rthread.threading as threading"])
def test_a_thread_that_fails_before_it_runs_is_an_exception(how: str) -> None:
    """The interpreter's own start() waits for ever (gh-140746)."""
    support.check_snippet(
        f"""
        import sys, threading, rthread
        {how}
        sys.unraisablehook = lambda _: None
        for error in (MemoryError, SystemExit):
            class Unlucky(threading.Thread):
                def _bootstrap_inner(self): raise error
            thread = Unlucky()
            try:
                thread.start()
            except RuntimeError as raised:
                assert str(raised) == "can't start new thread"
            else:
                raise AssertionError
            assert not thread.is_alive() and thread.ident is None
            assert threading.enumerate() == [threading.main_thread()]
        """
    )


@pytest.mark.parametrize(
    "loader",
    [
        "class Compiled: pass",
        "class Compiled:\n    def get_code(self, name): return None",
        "class Compiled:\n    def get_code(self, name): raise ImportError('compiled away')",
    ],
    ids=["no get_code", "nothing", "error"],
)
def test_without_source_and_bytecode(loader: str) -> None:
    """Compilers of whole programs keep neither. The error says what works instead."""
    output = support.check_snippet(
        f"""{loader}
import threading, rthread
threading.__spec__.loader = Compiled()
for _ in range(2):
    try:
        import rthread.threading
    except ImportError as error:
        print(error.name, error)
rthread.install()
event = threading.Event()
thread = threading.Thread(target=event.set)
thread.start(); thread.join()
assert event.wait(1) and threading.get_ident is rthread.get_ident
"""
    )
    first, second = output.splitlines()
    assert first == second
    assert first.startswith("rthread.threading rthread.threading needs the source or bytecode ")
    assert "Compiled, which has loaded that, " in first
    assert "use rthread.install()" in first
    assert ("compiled away" in first) is ("compiled away" in loader)


def test_frozen_code_is_enough() -> None:
    """A frozen module has code without a file, and rthread.threading runs it."""
    support.check_snippet(
        """
        import sys, threading
        class Frozen:
            def get_code(self, name):
                with open(threading.__file__) as file:
                    return compile(file.read(), "<frozen threading>", "exec", dont_inherit=True)
        threading.__spec__.loader = Frozen()
        from rthread import threading as ours
        assert ours.Thread.run.__code__.co_filename == "<frozen threading>"
        event = ours.Event()
        thread = ours.Thread(target=event.set)
        thread.start(); thread.join()
        assert event.wait(1)
        """
    )


def test_classes_of_a_tool_stay_out() -> None:
    """What a tool has put into threading is no business of rthread.threading, made from source."""
    support.check_snippet(
        """
        import threading
        stock = threading.Event, threading.Condition.wait
        class Event(threading.Event): pass
        threading.Event = Event
        threading.Condition.wait = lambda self, timeout=None: "patched"
        from rthread import threading as ours
        assert ours.Event is not Event and not issubclass(ours.Event, stock[0])
        event = ours.Event()
        thread = ours.Thread(target=event.set)
        thread.start(); thread.join()
        assert event.wait(10) is True
        condition = ours.Condition()
        with condition: assert condition.wait(0.01) is False
        assert threading.Event is Event
        """
    )
