"""Runs the source of ``threading`` a second time, with rthread in the place of ``_thread``.

The two modules then describe the same threads. They share the registry objects: the threads that
are alive, the main thread, the threads to wait for at exit. So both modules give the same answers
in any thread. Classes and functions are separate, and so are hooks set with ``settrace`` or as
``excepthook``.
"""

import builtins
import os
import sys
import threading

from rthread import _native, _rthread
from rthread._install import stock_thread

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from types import CodeType, ModuleType
    from typing import Any

__all__ = ["load"]

# The stock module's fork hook binds these names to new objects, but only in the stock module.
_REBOUND_BY_FORK = ("_active_limbo_lock", "_main_thread", "_shutdown_locks", "_shutdown_locks_lock")

# The second module takes over the objects of these names instead of making its own. The interpreter
# runs the stock module's _shutdown() at exit, and its _after_fork() in a new process. Those two
# serve both modules.
_SHARED = frozenset(
    {
        *_REBOUND_BY_FORK,
        # Native barriers raise it, and both modules have the same native barriers.
        "BrokenBarrierError",
        "_active",
        "_after_fork",
        "_counter",
        "_dangling",
        "_limbo",
        "_register_atexit",
        "_shutdown",
        "_threading_atexits",
    }
)


class _ModuleScope:
    """The local names of the module while its top level runs.

    A statement that would make a new registry object binds the shared one instead.
    """

    def __init__(self, names: "dict[str, Any]", shared: "dict[str, Any]") -> None:
        self._names = names
        self._shared = shared
        self._instead: dict[str, Any] = {
            # The main thread has its object already. A second one would register itself.
            "_MainThread": lambda: shared["_main_thread"],
            # The source uses os only to register a fork hook, and the stock module has done that.
            "_os": object(),
        }

    def __getitem__(self, name: str) -> object:
        return self._instead[name] if name in self._instead else self._names[name]

    def __setitem__(self, name: str, value: object) -> None:
        self._names[name] = self._shared.get(name, value)

    def __delitem__(self, name: str) -> None:
        del self._names[name]


def load(names: "dict[str, Any]") -> None:
    """Fill a module with ``threading`` on rthread.

    Args:
        names: the namespace of the module.
    """
    names["__builtins__"] = {**vars(builtins), "__import__": _import}
    stock = vars(threading)
    shared = {name: stock[name] for name in _SHARED if name in stock}
    exec(_source_code(threading), names, _ModuleScope(names, shared))  # type: ignore[arg-type]
    _share_globals(names, shared)
    if _native.wanted():
        names.update((native.__name__, native) for _, native in _native.in_threading())
    _follow_forks(names)
    _wait_for_both_at_exit(names)


def _share_globals(names: "dict[str, Any]", shared: "dict[str, Any]") -> None:
    """Share the names that `_ModuleScope` could not.

    If a function declares a name ``global``, even the top level stores the name past the local
    names. So the module has made objects of its own for such names, and these may have become
    default arguments.
    """
    own = {id(names[name]): value for name, value in shared.items() if names[name] is not value}
    for value in list(names.values()):
        if isinstance(value, type) and value.__module__ == names["__name__"]:
            for function in vars(value).values():
                defaults = getattr(function, "__defaults__", None)
                if defaults and any(id(default) in own for default in defaults):
                    function.__defaults__ = tuple(own.get(id(item), item) for item in defaults)
    names.update(shared)


def _source_code(module: "ModuleType") -> "CodeType":
    spec = module.__spec__
    loader = spec and spec.loader
    get_code = getattr(loader, "get_code", None)
    code: CodeType | None = None
    reason = "has none to give"
    if get_code is not None:
        try:
            code = get_code(module.__name__)
        except ImportError as error:
            reason = f"does not give it: {error}"
    if code is None:
        raise ImportError(
            "rthread.threading needs the source or bytecode of the threading module, and "
            f"{type(loader).__name__}, which has loaded that, {reason}. Where the standard library "
            "was compiled into the program, use rthread.install() and import threading: that needs "
            "neither",
            name="rthread.threading",
        )
    return code


def _import(
    name: str,
    globals: "dict[str, Any] | None" = None,
    locals: "dict[str, Any] | None" = None,
    fromlist: "tuple[str, ...]" = (),
    level: int = 0,
) -> "ModuleType":
    if name == "_thread":
        return _rthread
    return builtins.__import__(name, globals, locals, fromlist, level)


def _follow_forks(names: "dict[str, Any]") -> None:
    """Keep the shared names shared in a new process."""

    def follow() -> None:
        stock = vars(threading)
        names.update((name, stock[name]) for name in _REBOUND_BY_FORK if name in stock)

    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=follow)
    if sys.version_info < (3, 13):
        # In these versions the stock module's hook runs first and calls methods of our threads.
        # The methods take _shutdown_locks_lock, and a thread that no longer exists may hold the
        # old one.
        thread_type = names["Thread"]
        reset: Callable[[object, bool], None] = thread_type._reset_internal_locks

        def _reset_internal_locks(self: object, is_alive: bool) -> None:
            follow()
            reset(self, is_alive)

        thread_type._reset_internal_locks = _reset_internal_locks


def _wait_for_both_at_exit(names: "dict[str, Any]") -> None:
    """Let ``threading._shutdown`` wait for the threads of both modules.

    Up to 3.12 it waits for the locks in the shared ``_shutdown_locks``. From 3.13 on it asks
    ``_thread``, and each of the two modules knows only its own threads.
    """
    stock: dict[str, Any] = vars(threading)
    if "_thread_shutdown" not in stock:
        return
    # The order matters: the stock module reports a thread that is just being started as an error,
    # and one of our threads may be starting it.
    modules = (_rthread, stock_thread())
    # The interpreter does not wait for threads that `threading` has not started. In a
    # sub-interpreter such a thread may not be the one that ends the interpreter, and never be done.
    others = (stock["_MainThread"], stock["_DummyThread"], names["_DummyThread"])

    def _thread_shutdown() -> None:
        waited = True
        # A thread of one module may have started a thread of the other meanwhile.
        while waited:
            waited = False
            for module in modules:
                handles = _awaited(module, others)
                vars(module)["_shutdown"]()
                if not all(handle.is_done() for handle in handles):
                    # Ctrl-C: the waits for the threads of both modules are given up.
                    return
                waited = waited or bool(handles)

    stock["_thread_shutdown"] = _thread_shutdown


def _awaited(module: "ModuleType", others: tuple[type, ...]) -> "list[Any]":
    """The handles of the threads of `module` that the interpreter waits for, without `others`."""
    handles: list[Any] = [
        # The name of the attribute changed in 3.14.
        getattr(thread, "_os_thread_handle", None) or getattr(thread, "_handle", None)
        for thread in threading.enumerate()
        if not (thread.daemon or thread.ident == _rthread.get_ident() or isinstance(thread, others))
    ]
    kind = vars(module)["_ThreadHandle"]
    return [handle for handle in handles if type(handle) is kind and not handle.is_done()]
