"""``install()`` in a process whose ``_thread``, ``threading`` or ``queue`` a tool has patched.

Each program runs without rthread, and with it: INSTALL stands for the call. It has to print the
same, for a tool that was there first keeps what it has put in place. The names that rthread leaves
to it are said in one warning.
"""

from __future__ import annotations

import os
import textwrap

import pytest

import support

# What the tools do. Each is a module of its own, as a debugger or a profiler is.
PRELUDE = """
import functools, os, sys, textwrap, threading, queue, time, types, _thread

def tool(name, source):
    module = types.ModuleType(name)
    sys.modules[name] = module
    exec(compile(WRAP + textwrap.dedent(source), name + ".py", "exec"), vars(module))
    return module

WRAP = '''
import functools
calls = []
def wrap(function):
    @functools.wraps(function)
    def wrapper(*args, **kwargs):
        calls.append(function.__name__)
        return function(*args, **kwargs)
    return wrapper
'''

def thread(function, *args):
    t = threading.Thread(target=function, args=args)
    t.start()
    t.join()
"""

# By name: the program, and the names that are left to the tool with queue=True.
PROGRAMS: dict[str, tuple[str, set[str]]] = {
    "nothing patched": ("INSTALL\nprint(threading.Event().is_set())", set()),
    "start_new_thread": (
        """
        spy = tool("spy", '''
        import _thread
        start_new_thread = _thread.start_new_thread = wrap(_thread.start_new_thread)
        ''')
        mine = spy.start_new_thread
        INSTALL
        import _thread
        done = threading.Event()
        _thread.start_new_thread(done.set, ())
        print(done.wait(10), spy.calls)
        print(spy.start_new_thread is mine, _thread.start_new_thread is mine)
        """,
        {"_thread.start_new_thread"},
    ),
    "allocate_lock": (
        """
        spy = tool("spy", '''
        import _thread
        _thread.allocate_lock = _thread.allocate = wrap(_thread.allocate_lock)
        ''')
        INSTALL
        import _thread
        lock = _thread.allocate_lock()
        print(lock.acquire(), lock.locked(), "allocate_lock" in spy.calls)
        del spy.calls[:]
        threading.Lock().acquire()
        print(spy.calls)
        """,
        {"_thread.allocate_lock", "_thread.allocate"},
    ),
    "a name of the tool's own in _thread": (
        """
        _thread.traced_by = "spy"
        INSTALL
        import _thread
        print(_thread.traced_by)
        """,
        set(),
    ),
    "Event is a subclass": (
        """
        spy = tool("spy", '''
        import threading
        class Event(threading.Event):
            made = 0
            def __init__(self):
                super().__init__()
                Event.made += 1
        threading.Event = Event
        ''')
        INSTALL
        event = threading.Event()
        print(type(event) is spy.Event, spy.Event.made > 0, threading.Event is spy.Event)
        print(event.set(), event.wait(1), isinstance(event, spy.Event.__mro__[1]))
        """,
        {"threading.Event"},
    ),
    "Event is a subclass in disguise": (
        """
        spy = tool("spy", '''
        import threading
        class Event(threading.Event):
            def set(self):
                print("set")
                super().set()
        Event.__module__ = "threading"
        threading.Event = Event
        threading.Semaphore = type("Semaphore", (threading.Semaphore,), {"__module__": "threading"})
        ''')
        disguised = threading.Semaphore
        INSTALL
        event = threading.Event()
        event.set()
        print(event.is_set(), threading.Event is spy.Event, threading.Semaphore is disguised)
        """,
        {"threading.Event", "threading.Semaphore", "threading.BoundedSemaphore"},
    ),
    "a function in the place of a class": (
        """
        spy = tool("spy", '''
        import threading
        threading.Event = wrap(threading.Event)
        threading.Barrier = lambda *args: "a barrier"
        ''')
        INSTALL
        print(threading.Event().is_set(), spy.calls, threading.Barrier(2))
        """,
        {"threading.Event", "threading.Barrier"},
    ),
    "Lock": (
        """
        spy = tool("spy", "import threading; threading.Lock = wrap(threading.Lock)")
        INSTALL
        del spy.calls[:]
        threading.Event(), threading.Semaphore(), queue.Queue()
        print(spy.calls)
        with threading.Condition(): print(len(spy.calls))
        """,
        {
            *(f"threading.{name}" for name in ("Barrier", "BoundedSemaphore", "Event")),
            *(f"queue.{name}" for name in ("Queue", "LifoQueue", "PriorityQueue", "SimpleQueue")),
            "threading.Semaphore",
        },
    ),
    "RLock": (
        """
        spy = tool("spy", "import threading; threading.RLock = wrap(threading.RLock)")
        INSTALL
        del spy.calls[:]
        threading.Condition(), threading.Barrier(2), threading.RLock()
        print(spy.calls)
        """,
        {
            *(f"threading.{name}" for name in ("Barrier", "BoundedSemaphore", "Event")),
            *(f"queue.{name}" for name in ("Queue", "LifoQueue", "PriorityQueue", "SimpleQueue")),
            *("threading.Semaphore", "threading.Condition"),
        },
    ),
    "_allocate_lock": (
        """
        spy = tool("spy", '''
        import threading
        threading._allocate_lock = wrap(threading._allocate_lock)
        ''')
        INSTALL
        del spy.calls[:]
        condition = threading.Condition()
        with condition: condition.wait(0.01)
        print(len(spy.calls))
        """,
        {
            *(f"threading.{name}" for name in ("Barrier", "BoundedSemaphore", "Event")),
            *(f"queue.{name}" for name in ("Queue", "LifoQueue", "PriorityQueue", "SimpleQueue")),
            *("threading.Semaphore", "threading.Condition"),
        },
    ),
    "Condition.wait": (
        """
        spy = tool("spy", '''
        import threading
        threading.Condition.wait = wrap(threading.Condition.wait)
        ''')
        INSTALL
        print(threading.Event().wait(0.01), threading.Semaphore(0).acquire(timeout=0.01))
        condition = threading.Condition()
        with condition: print(condition.wait(0.01), condition.wait_for(lambda: False, 0.01))
        try: queue.Queue().get(timeout=0.01)
        except queue.Empty: print(len(spy.calls) >= 5)
        """,
        {
            *(f"threading.{name}" for name in ("Barrier", "BoundedSemaphore", "Event")),
            *(f"queue.{name}" for name in ("Queue", "LifoQueue", "PriorityQueue", "SimpleQueue")),
            *("threading.Semaphore", "threading.Condition"),
        },
    ),
    "a method is another of the same class": (
        """
        threading.Event.is_set = threading.Event.clear
        threading.Semaphore.extra = property(lambda self: 7)
        INSTALL
        print(threading.Event().is_set(), threading.Semaphore().extra)
        """,
        {"threading.Event", "threading.Semaphore", "threading.BoundedSemaphore"},
    ),
    "Thread": (
        """
        spy = tool("spy", '''
        import threading
        threading.Thread.start = wrap(threading.Thread.start)
        threading.Thread.__init__ = wrap(threading.Thread.__init__)
        threading.Thread.run = wrap(threading.Thread.run)
        ''')
        INSTALL
        thread(print, "in a thread")
        print(spy.calls)
        """,
        set(),
    ),
    "local": (
        """
        spy = tool("spy", '''
        import threading
        class local(threading.local): pass
        threading.local = local
        ''')
        INSTALL
        mine = threading.local()
        mine.x = 1
        seen = []
        thread(lambda: seen.append(hasattr(mine, "x")))
        print(seen, type(mine) is spy.local)
        """,
        set(),
    ),
    "Queue is a subclass": (
        """
        spy = tool("spy", '''
        import queue
        class Queue(queue.Queue):
            def _put(self, item):
                super()._put(("seen", item))
        queue.Queue = Queue
        ''')
        INSTALL
        mine = queue.Queue()
        mine.put(1)
        print(mine.get(), type(mine) is spy.Queue)
        last = queue.LifoQueue()
        last.put(1), last.put(2)
        print(last.get())
        """,
        {f"queue.{name}" for name in ("Queue", "LifoQueue", "PriorityQueue", "SimpleQueue")},
    ),
    "Queue.put": (
        """
        spy = tool("spy", "import queue; queue.Queue.put = wrap(queue.Queue.put)")
        INSTALL
        for kind in (queue.Queue, queue.LifoQueue, queue.PriorityQueue):
            mine = kind()
            mine.put(1)
            mine.put_nowait(2)
            print(mine.get(), len(spy.calls))
        """,
        {f"queue.{name}" for name in ("Queue", "LifoQueue", "PriorityQueue", "SimpleQueue")},
    ),
    "SimpleQueue": (
        """
        spy = tool("spy", '''
        import queue
        class SimpleQueue(queue.SimpleQueue): pass
        queue.SimpleQueue = SimpleQueue
        ''')
        INSTALL
        mine = queue.SimpleQueue()
        mine.put(3)
        print(mine.get(), type(mine) is spy.SimpleQueue)
        """,
        {"queue.SimpleQueue"},
    ),
    "two tools": (
        """
        first = tool("first", '''
        import _thread
        _thread.get_ident = wrap(_thread.get_ident)
        ''')
        second = tool("second", '''
        import _thread
        _thread.get_ident = wrap(_thread.get_ident)
        ''')
        INSTALL
        import _thread
        del first.calls[:], second.calls[:]
        print(_thread.get_ident() == threading.get_ident(), first.calls, second.calls)
        """,
        {"_thread.get_ident"},
    ),
    "a module that has derived a class": (
        """
        user = tool("user", '''
        import threading
        from threading import Event
        class Mine(Event):
            def __init__(self):
                Event.__init__(self)
            def set(self):
                super(Event, self).__init__()
                Event.set(self)
        ''')
        INSTALL
        event = user.Mine()
        event.set()
        print(event.is_set(), isinstance(event, user.Event), issubclass(user.Mine, user.Event))
        """,
        set(),
    ),
    "compiled methods": (
        """
        class Compiled:
            def __init__(self, function):
                functools.update_wrapper(self, function)
                self.__code__ = function.__code__
            def __get__(self, instance, owner=None):
                return self.__wrapped__.__get__(instance, owner)
        for module, names in (
            (threading, ("Barrier", "BoundedSemaphore", "Condition", "Event", "Semaphore")),
            (queue, ("Queue", "LifoQueue", "PriorityQueue")),
        ):
            for name in names:
                for key, value in list(vars(getattr(module, name)).items()):
                    if isinstance(value, types.FunctionType):
                        setattr(getattr(module, name), key, Compiled(value))
        INSTALL
        event = threading.Event()
        event.set()
        print(event.is_set(), event.wait(1))
        mine = queue.Queue()
        mine.put(1)
        print(mine.get())
        """,
        {
            *(f"threading.{name}" for name in ("Barrier", "BoundedSemaphore", "Event")),
            *(f"queue.{name}" for name in ("Queue", "LifoQueue", "PriorityQueue", "SimpleQueue")),
            *("threading.Semaphore", "threading.Condition"),
        },
    ),
}

INSTALL = """
import warnings, rthread
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    rthread.install(**OPTIONS)
assert [w.category for w in caught] == [rthread.PatchedWarning] * bool(LEFT), caught
assert not caught or caught[0].filename == __file__
for name in LEFT:
    assert f" {name} (" in str(caught[0].message) , (name, str(caught[0].message))
said = str(caught[0].message).count(" (") if caught else 0
assert said == len(LEFT), str(caught[0].message)
left = {f"{e.module}.{e.name}" for e in rthread.report() if e.runs_on == "rthread"} & LEFT
assert not left, left
"""


def run(program: str, left: set[str] | None, options: dict[str, bool]) -> str:
    """Run a program; on stock if `left` is None."""
    install = ""
    if left is not None:
        install = INSTALL.replace("OPTIONS", repr(options)).replace(
            "LEFT", repr(left) if left else "set()"
        )
    source = PRELUDE + textwrap.dedent(program).replace("INSTALL\n", install + "\n")
    return support.check_snippet(source.replace("__file__", "'<string>'"))


@pytest.mark.parametrize("name", PROGRAMS)
@pytest.mark.parametrize("queue", [False, True], ids=["threading", "queue"])
def test_tool_keeps_what_it_has_put_in_place(name: str, queue: bool) -> None:
    program, left = PROGRAMS[name]
    if not queue:
        left = {entry for entry in left if not entry.startswith("queue.")}
    assert run(program, left, {"queue": queue}) == run(program, None, {})


@pytest.mark.parametrize("name", PROGRAMS)
def test_python_classes_with_a_tool(name: str) -> None:
    program, left = PROGRAMS[name]
    left = {entry for entry in left if entry.startswith("_thread.")}
    assert run(program, left, {"native": False}) == run(program, None, {})


@pytest.mark.parametrize("name", PROGRAMS)
def test_uninstall_gives_everything_back(name: str) -> None:
    program, _left = PROGRAMS[name]
    install = """
    def everything():
        return {
            (name, key): value
            for name in ("_thread", "threading", "queue", "spy", "first", "second", "user")
            if name in sys.modules
            for key, value in vars(sys.modules[name]).items()
        }
    everything_before, module_before = everything(), sys.modules["_thread"]
    import warnings, rthread
    warnings.simplefilter("ignore")
    own_before = dict(vars(rthread._rthread))
    rthread.install(queue=True)
    assert sys.modules["_thread"] is rthread._rthread
    rthread.uninstall()
    own_after = dict(vars(rthread._rthread))
    assert {n: v for n, v in own_after.items() if n != "__native_state__"} == own_before
    assert sys.modules["_thread"] is module_before
    after = everything()
    assert after.keys() == everything_before.keys()
    for key, value in after.items():
        assert value is everything_before[key], key
    """
    source = PRELUDE + textwrap.dedent(program).replace("INSTALL\n", textwrap.dedent(install))
    assert support.check_snippet(source) == run(program, None, {})


def test_warning_as_an_error_changes_nothing() -> None:
    support.check_snippet(
        PRELUDE
        + textwrap.dedent(
            """
            _thread.get_ident = lambda: 7
            import warnings, rthread
            before = dict(vars(threading)), sys.modules["_thread"]
            warnings.simplefilter("error")
            try:
                rthread.install()
            except rthread.PatchedWarning as warning:
                assert "_thread.get_ident (__main__)" in str(warning)
            else:
                raise AssertionError("no warning")
            assert not rthread.is_installed()
            assert (dict(vars(threading)), sys.modules["_thread"]) == before
            warnings.simplefilter("ignore")
            rthread.install()
            assert rthread.is_installed()
            """
        )
    )


def test_tool_that_comes_and_goes_while_installed() -> None:
    """What a tool puts into _thread while that is rthread stays there after uninstall()."""
    support.check_snippet(
        PRELUDE
        + textwrap.dedent(
            """
            import rthread
            stock = sys.modules["_thread"]
            original = stock.allocate_lock, stock.get_ident, threading.Event
            def check():
                rthread.install()
                spy = tool("spy", '''
            import _thread, threading
            real = _thread.allocate_lock
            real_ident = _thread.get_ident
            _thread.allocate_lock = wrap(real)
            _thread.get_ident = wrap(real_ident)
            _thread.extra = 1
            class Event(threading.Event): pass
            threading.Event = Event
            ''')
                return spy
            spy = check()
            import _thread
            _thread.get_ident = spy.real_ident
            rthread.uninstall()
            import _thread
            assert _thread is stock
            assert _thread.allocate_lock.__wrapped__ is rthread.allocate_lock
            assert _thread.get_ident is original[1] and spy.real is original[0]
            assert _thread.extra == 1 and not hasattr(rthread._rthread, "extra")
            assert threading.Event is spy.Event
            lock = _thread.allocate_lock()
            with lock: assert spy.calls == ["allocate_lock"]
            assert rthread._rthread.allocate_lock is rthread.allocate_lock
            # The tool goes; what it puts back is stock's.
            _thread.allocate_lock = spy.real
            assert _thread.allocate_lock is original[0]
            """
        )
    )


def test_tool_that_goes_while_installed() -> None:
    support.check_snippet(
        PRELUDE
        + textwrap.dedent(
            """
            import rthread, warnings
            warnings.simplefilter("ignore")
            stock = sys.modules["_thread"]
            original = stock.allocate_lock
            spy = tool("spy", "import _thread; real = _thread.allocate_lock")
            stock.allocate_lock = wrapper = lambda: original()
            rthread.install()
            import _thread
            assert _thread.allocate_lock is wrapper and spy.real is rthread.allocate_lock
            _thread.allocate_lock = spy.real
            rthread.uninstall()
            assert stock.allocate_lock is original and spy.real is original
            assert rthread._rthread.allocate_lock is rthread.allocate_lock
            """
        )
    )


def test_original_behind_a_wrapper_is_found_in_other_modules() -> None:
    """A tool that hides a function of _thread hides it in _thread alone."""
    support.check_snippet(
        PRELUDE
        + textwrap.dedent(
            """
            import rthread, warnings
            warnings.simplefilter("ignore")
            real = _thread.start_new_thread, _thread._local, _thread.LockType
            user = tool("user", "from _thread import start_new_thread, _local, LockType")
            _thread.start_new_thread = _thread._local = _thread.LockType = wrapper = lambda: 0
            rthread.install()
            assert user.start_new_thread is rthread.start_new_thread
            assert user._local is rthread._local and user.LockType is rthread.LockType
            assert _thread.start_new_thread is wrapper
            thread(print)
            rthread.uninstall()
            assert (user.start_new_thread, user._local, user.LockType) == real
            """
        )
    )


def test_threading_imported_after_install_and_patched_at_once() -> None:
    """A finder of a tool's that patches modules as they are loaded comes before rthread's."""
    support.check_snippet(
        """
        import sys
        assert "threading" not in sys.modules
        class Loader:
            def __init__(self, loader): self.loader = loader
            def __getattr__(self, name): return getattr(self.loader, name)
            def exec_module(self, module):
                self.loader.exec_module(module)
                module.Event.set = lambda self: print("patched")
        class Finder:
            def find_spec(self, name, path=None, target=None):
                if name != "threading": return None
                sys.meta_path.remove(self)
                import importlib.util
                spec = importlib.util.find_spec(name)
                spec.loader = Loader(spec.loader)
                return spec
        import rthread
        rthread.install()
        sys.meta_path.insert(1, Finder())
        import warnings
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            import threading
        threading.Event().set()
        assert [w.category for w in caught] == [rthread.PatchedWarning], caught
        assert "threading.Event (__main__ has replaced set)" in str(caught[0].message)
        assert type(threading.Condition.wait) is not type(lambda: 0)
        """
    )


def test_programs_differ_from_each_other() -> None:
    """Each program prints something, so that the comparisons compare something."""
    assert os.environ.get("RTHREAD") is None
    for name, (program, _left) in PROGRAMS.items():
        assert "print" in program, name
        assert "INSTALL\n" in textwrap.dedent(program), name
