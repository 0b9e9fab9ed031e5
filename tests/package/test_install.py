"""``install`` and ``uninstall``: what they switch, what they leave alone, when they refuse.

Each scenario is a process of its own, for what it changes belongs to the whole process.
"""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

import support

# Where every name of every module that is an object of _thread is, before and after.
PRELUDE = """
import sys, threading, queue, tempfile, reprlib, functools, logging
import concurrent.futures, importlib._bootstrap
import rthread
from types import SimpleNamespace

# Not as names of this module, which would be switched like those of any other.
both = SimpleNamespace(stock=sys.modules["_thread"], ours=rthread._rthread)

def where(source):
    objects = {id(v): n for n, v in vars(source).items() if callable(v) and n[:2] != "__"}
    objects[id(source)] = "_thread"
    return {
        (module, name): objects[id(value)]
        for module, m in list(sys.modules.items())
        if isinstance(m, type(sys)) and module.partition(".")[0] != "rthread"
        and m is not source
        for name, value in list(vars(m).items())
        if id(value) in objects and value is not RuntimeError and name[:2] != "__"
        and name not in ("_ExceptHookArgs", "ExceptHookArgs")
    }
"""


def check(scenario: str, **options: object) -> str:
    """Run a scenario after the prelude, for which its names are those of ``__main__``."""
    import textwrap

    return support.check_snippet(PRELUDE + textwrap.dedent(scenario), **options)


def test_every_name_is_switched_and_put_back() -> None:
    check(
        """
        before = where(both.stock)
        assert before["threading", "get_ident"] == "get_ident"
        assert before["importlib._bootstrap", "_thread"] == "_thread"
        assert not where(both.ours)
        rthread.install()
        assert not where(both.stock), where(both.stock)
        after = where(both.ours)
        assert after == before, set(after.items()) ^ set(before.items())
        def check():
            for (module, name), original in before.items():
                expected = both.ours if original == "_thread" else getattr(both.ours, original)
                assert getattr(sys.modules[module], name) is expected, (module, name)
        check()
        rthread.uninstall()
        assert not where(both.ours), where(both.ours)
        assert where(both.stock) == before
        """
    )


def test_import_of_thread_gives_rthread() -> None:
    check(
        """
        rthread.install()
        import _thread
        assert _thread is both.ours and sys.modules["_thread"] is both.ours
        rthread.uninstall()
        import _thread
        assert _thread is both.stock and sys.modules["_thread"] is both.stock
        """
    )


def test_module_has_the_name_of_the_one_it_stands_for() -> None:
    """gevent and cloudpickle keep things by the name that a module gives itself."""
    check(
        """
        import importlib, inspect, pickle, pydoc
        assert both.ours.__name__ == "rthread._rthread"
        rthread.install()
        import _thread
        assert _thread.__name__ == "_thread" and _thread.__doc__ == both.stock.__doc__
        assert _thread.__spec__.name == "rthread._rthread"
        assert "rthread._rthread" in repr(_thread) and sys.modules["rthread._rthread"] is _thread
        assert "NAME\\n    _thread" in pydoc.render_doc(_thread, renderer=pydoc.plaintext)
        assert pickle.loads(pickle.dumps(_thread.get_ident)) is _thread.get_ident
        assert inspect.getmodule(_thread.get_ident) is _thread
        import rthread._rthread
        from rthread import _rthread
        assert _rthread is rthread._rthread is _thread
        try:
            _thread.missing
        except AttributeError as error:
            assert str(error) == "module '_thread' has no attribute 'missing'"
        rthread.uninstall()
        assert both.ours.__name__ == "rthread._rthread"
        rthread.install()
        assert importlib.reload(sys.modules["_thread"]) is both.ours
        with threading.Lock(): pass
        rthread.uninstall()
        """
    )


def test_second_call_that_asks_for_more() -> None:
    check(
        """
        stock = {name: getattr(threading, name) for name in ("Event", "Barrier")}
        stock_queue = queue.Queue
        rthread.install()
        native = threading.Event
        assert queue.Queue is stock_queue and native is not stock["Event"]
        rthread.install(queue=True)
        assert queue.Queue is rthread.queue.Queue and threading.Event is native
        rthread.install()
        assert queue.Queue is rthread.queue.Queue
        rthread.install(native=False)
        assert threading.Event is stock["Event"] and queue.Queue is rthread.queue.Queue
        rthread.install(native=True, queue=False)
        assert threading.Event is native and queue.Queue is stock_queue
        rthread.uninstall()
        assert threading.Event is stock["Event"] and queue.Queue is stock_queue
        assert not where(both.ours)
        """
    )


def test_second_call_is_refused_while_threads_are_alive() -> None:
    check(
        """
        rthread.install()
        done = threading.Event()
        thread = threading.Thread(target=done.wait)
        thread.start()
        rthread.install()
        before = queue.Queue
        try:
            rthread.install(queue=True)
        except RuntimeError as error:
            assert "another thread is alive" in str(error)
        else:
            raise AssertionError("not refused")
        finally:
            done.set()
            thread.join()
        assert rthread.is_installed() and queue.Queue is before
        """
    )


def test_is_installed() -> None:
    check(
        """
        assert rthread.is_installed() is False
        rthread.uninstall()
        assert rthread.is_installed() is False
        rthread.install()
        assert rthread.is_installed() is True
        rthread.uninstall()
        assert rthread.is_installed() is False
        """
    )


def test_twice_has_no_effect() -> None:
    check(
        """
        loaded = {name: m for name, m in sys.modules.items() if isinstance(m, type(sys))}
        before = {name: dict(vars(module)) for name, module in loaded.items()}
        rthread.install()
        once = dict(vars(threading))
        rthread.install()
        assert dict(vars(threading)) == once
        rthread.uninstall()
        for name, names in before.items():
            if name not in ("__main__", "rthread", "rthread._rthread"):
                assert dict(vars(sys.modules[name])) == names, name
        """
    )


def test_again_after_uninstall() -> None:
    check(
        """
        before = where(both.stock)
        for _ in range(3):
            rthread.install()
            thread = threading.Thread(target=lambda: None)
            thread.start(); thread.join()
            rthread.uninstall()
            thread = threading.Thread(target=lambda: None)
            thread.start(); thread.join()
            assert where(both.stock) == before and not where(both.ours)
        """
    )


def test_classes_of_threading_stay_the_same() -> None:
    """What was derived from them, or patched into them, before stays derived and patched."""
    check(
        """
        class Worker(threading.Thread):
            def run(self): done.append(threading.current_thread() is self)
        patched = []
        start = threading.Thread.start
        def patched_start(self):
            patched.append(self)
            start(self)
        threading.Thread.start = patched_start
        hook = lambda args: None
        threading.excepthook = hook
        native = {"Condition", "Event", "Semaphore", "BoundedSemaphore", "Barrier"}
        classes = {
            name: value for name, value in vars(threading).items()
            if type(value) is type and value.__module__ == "threading" and name not in native
        }
        assert len(classes) > 4
        done = []
        rthread.install()
        for name, value in classes.items():
            assert getattr(threading, name) is value
        worker = Worker()
        assert isinstance(worker, threading.Thread)
        worker.start(); worker.join()
        assert done == [True] and patched == [worker]
        assert threading.Thread.start is patched_start and threading.excepthook is hook
        rthread.uninstall()
        assert isinstance(worker, threading.Thread)
        assert threading.Thread.start is patched_start and threading.excepthook is hook
        """
    )


def test_default_excepthook_is_switched() -> None:
    check(
        """
        rthread.install()
        assert threading.excepthook is threading.__excepthook__ is both.ours._excepthook
        threading.excepthook = print
        rthread.uninstall()
        assert threading.excepthook is print and threading.__excepthook__ is both.stock._excepthook
        """
    )


def test_threads_made_before_can_be_started_after() -> None:
    check(
        """
        seen = []
        def work(): seen.append(threading.current_thread())
        ended = threading.Thread(target=work)
        ended.start(); ended.join()
        waiting = threading.Thread(target=work)
        back = threading.Thread(target=work)
        again = threading.Thread(target=work)
        rthread.install()
        waiting.start(); waiting.join()
        ended.join()
        made = threading.Thread(target=work)
        rthread.uninstall()
        for thread in (back, made):
            thread.start(); thread.join()
        rthread.install()
        again.start(); again.join()
        assert seen == [ended, waiting, back, made, again]
        assert not any(thread.is_alive() for thread in seen)
        """
    )


def test_objects_made_before_work_after() -> None:
    check(
        """
        lock, rlock, event = threading.Lock(), threading.RLock(), threading.Event()
        condition, local = threading.Condition(), threading.local()
        lock.acquire(); rlock.acquire(); local.x = 1
        rthread.install()
        assert local.x == 1
        def work():
            lock.release(); event.set()
            with condition: condition.notify_all()
            assert not rlock.acquire(False) and not hasattr(local, "x")
            local.x = 2
        with condition:
            thread = threading.Thread(target=work)
            thread.start()
            condition.wait()
        thread.join()
        assert event.wait(0) and lock.acquire(False)
        rlock.release()
        """
    )


def test_names_given_by_hand_stay(tmp_path: Path) -> None:
    """A module that has rthread's objects already has asked for them."""
    (tmp_path / "asked.py").write_text(
        "import rthread\nfrom rthread import allocate_lock, RLock\nfrom rthread import _rthread\n"
    )
    check(
        """
        import asked
        rthread.install()
        rthread.uninstall()
        assert asked.allocate_lock is both.ours.allocate_lock and asked.RLock is both.ours.RLock
        assert asked._rthread is both.ours and asked.rthread is rthread
        assert rthread.allocate_lock is both.ours.allocate_lock
        """,
        cwd=tmp_path,
    )


def test_modules_imported_in_between_are_put_back(tmp_path: Path) -> None:
    (tmp_path / "late.py").write_text(
        "import _thread\nfrom threading import Lock, get_ident\nfrom _thread import RLock\n"
    )
    check(
        """
        rthread.install()
        import late
        assert late._thread is both.ours and late.RLock is both.ours.RLock
        rthread.uninstall()
        assert late._thread is both.stock and late.RLock is both.stock.RLock
        assert late.get_ident is both.stock.get_ident and late.Lock is threading.Lock
        """,
        cwd=tmp_path,
    )


def test_what_the_program_changed_since_stays() -> None:
    check(
        """
        rthread.install()
        mine = lambda: 7
        threading.stack_size = mine
        sys.modules["_thread"] = fake = type(sys)("fake")
        rthread.uninstall()
        assert threading.stack_size is mine
        assert sys.modules["_thread"] is fake
        """
    )


def test_threading_imported_after_install() -> None:
    support.check_snippet(
        """
        import sys
        stock = [sys.modules["_thread"]]
        import rthread
        assert "threading" not in sys.modules
        rthread.install(native=False)
        assert "threading" not in sys.modules
        import threading
        assert threading.get_ident is rthread._rthread.get_ident
        seen = []
        thread = threading.Thread(target=lambda: seen.append(threading.current_thread()))
        thread.start(); thread.join()
        assert seen == [thread]
        rthread.uninstall()
        assert threading.get_ident is stock[0].get_ident
        thread = threading.Thread(target=lambda: seen.append(threading.current_thread()))
        thread.start(); thread.join()
        assert seen[1:] == [thread]
        """
    )


@pytest.mark.parametrize("kind", ["source", "class", "old"])
def test_loader_of_threading_stays_what_it_is(kind: str) -> None:
    """The loader of frozen modules is a class, and one class for all of them."""
    if kind == "old" and sys.version_info >= (3, 15):
        pytest.skip("3.15 knows loaders with exec_module() only")
    support.check_snippet(
        f"""
        import sys
        assert "threading" not in sys.modules
        kind = {kind!r}
        import importlib.machinery
        import importlib.util
        found = importlib.util.find_spec("threading")
        class Frozen:
            @staticmethod
            def create_module(spec): return None
            @staticmethod
            def exec_module(module): exec(found.loader.get_code("threading"), vars(module))
        class Old:
            def load_module(self, name): return found.loader.load_module(name)
        loader = {{"source": found.loader, "class": Frozen, "old": Old()}}[kind]
        class Finder:
            def find_spec(self, name, path=None, target=None):
                if name == "threading":
                    return importlib.machinery.ModuleSpec(name, loader)
        sys.meta_path.insert(0, Finder())
        members = set(vars(Frozen)), set(vars(loader))
        import warnings, rthread
        warnings.simplefilter("ignore")
        rthread.install()
        import threading
        assert (set(vars(Frozen)), set(vars(loader))) == members
        if kind != "old":
            assert threading.__loader__ is loader and threading.__spec__.loader is loader
            assert "threading.Event" in rthread.report().of("rthread")
        event = threading.Event()
        thread = threading.Thread(target=event.set)
        thread.start(); thread.join()
        assert event.is_set()
        rthread.uninstall()
        assert "threading.Event" in rthread.report().of("stock")
        """
    )


THREADS = {
    "threading": "threading.Thread(target=lambda: (ready.set(), done.wait()), name='busy').start()",
    "daemon": "threading.Thread(target=lambda: (ready.set(), done.wait()), daemon=True).start()",
    "_thread": "both.stock.start_new_thread(lambda: (ready.set(), done.wait()), ())",
    "rthread": "both.ours.start_new_thread(lambda: (ready.set(), done.wait()), ())",
    "rthread.threading": (
        "from rthread import threading as shim\n"
        "shim.Thread(target=lambda: (ready.set(), done.wait()), name='busy').start()"
    ),
}


@pytest.mark.parametrize("start", [pytest.param(code, id=kind) for kind, code in THREADS.items()])
@pytest.mark.parametrize("what", ["install", "uninstall"])
def test_refused_while_threads_are_alive(start: str, what: str) -> None:
    check(
        f"""
        if {what!r} == "uninstall":
            rthread.install()
        ready, done = threading.Event(), threading.Event()
        START
        ready.wait()
        before = where(both.stock), where(both.ours), rthread.is_installed()
        try:
            rthread.{what}()
        except RuntimeError as error:
            print(error)
        else:
            raise AssertionError("not refused")
        finally:
            done.set()
        assert (where(both.stock), where(both.ours), rthread.is_installed()) == before
        """.replace("START", start.replace("\n", "\n        "))
    )


def test_refusal_names_the_threads() -> None:
    output = check(
        """
        done = threading.Event()
        for name in ("first", "second"):
            threading.Thread(target=done.wait, name=name).start()
        try:
            rthread.install()
        except RuntimeError as error:
            print(error)
        done.set()
        """
    )
    assert output == (
        "rthread.install() needs a process with one thread, "
        "but 2 other threads are alive: 'first', 'second'; RTHREAD=1 in the environment, "
        "or python -m rthread, installs it before a program can start threads\n"
    )


def test_refused_in_another_thread() -> None:
    output = check(
        """
        def work():
            try:
                rthread.install()
            except RuntimeError as error:
                print(error)
        thread = threading.Thread(target=work)
        thread.start(); thread.join()
        assert not rthread.is_installed()
        """
    )
    assert "another thread is alive: 'MainThread'" in output


@pytest.mark.parametrize("what", ["install", "uninstall"])
def test_failure_on_the_way_changes_nothing(what: str) -> None:
    """Stop after each of the changes in turn, as a signal handler could."""
    output = check(
        f"""
        from rthread import _install
        if {what!r} == "uninstall":
            rthread.install()
        waiting = threading.Thread(target=print)
        before = where(both.stock), where(both.ours), rthread.is_installed(), dict(vars(waiting))
        class Stop(BaseException): pass
        original = _install._set
        steps = 1
        while True:
            left = steps
            def failing(*change):
                global left
                original(*change)
                left -= 1
                if left == 0:
                    _install._set = original
                    raise Stop
            _install._set = failing
            try:
                rthread.{what}()
            except Stop:
                pass
            else:
                assert left > 0
                break
            now = where(both.stock), where(both.ours), rthread.is_installed(), dict(vars(waiting))
            assert now == before, steps
            steps += 1
        print(steps)
        """
    )
    assert int(output) > 10


def test_fork_after_install() -> None:
    check(
        """
        import os, warnings
        rthread.install()
        done = threading.Event()
        other = threading.Thread(target=done.wait)
        other.start()
        warnings.simplefilter("ignore")
        pid = os.fork()
        if pid == 0:
            status = 1
            try:
                other.join()
                assert threading.enumerate() == [threading.main_thread()]
                thread = threading.Thread(target=lambda: None)
                thread.start(); thread.join()
                rthread.uninstall()
                status = 0
            finally:
                os._exit(status)
        done.set()
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
        other.join()
        """
    )


def test_package_imported_anew() -> None:
    """A program may drop the package from sys.modules; what is installed it cannot drop."""
    check(
        """
        rthread.install()
        for name in [name for name in sys.modules if name.partition(".")[0] == "rthread"]:
            if name != "rthread._rthread":
                del sys.modules[name]
        import rthread as anew
        assert anew is not rthread
        assert anew.is_installed()
        anew.uninstall()
        assert not rthread.is_installed() and not where(both.ours)
        """
    )


def test_hands_off_lazy_and_strange_modules(tmp_path: Path) -> None:
    (tmp_path / "lazy.py").write_text("print('loaded')\n")
    check(
        """
        import importlib.util, types
        spec = importlib.util.find_spec("lazy")
        loader = importlib.util.LazyLoader(spec.loader)
        spec.loader = loader
        module = importlib.util.module_from_spec(spec)
        sys.modules["lazy"] = module
        loader.exec_module(module)
        class Proxy:
            def __getattribute__(self, name): raise AssertionError(name)
        sys.modules["proxy"] = Proxy()
        sys.modules["none"] = None
        rthread.install()
        rthread.uninstall()
        del sys.modules["proxy"]
        """,
        cwd=tmp_path,
    )
