"""Runs the source of ``threading`` a second time, in a module whose ``_thread`` is rthread.

The two modules then describe the same threads. They share the registry objects (who is alive, who
is the main thread, whom to wait for at exit), so that in any thread both give the same answers.
Classes and functions are separate, and so are hooks set with ``settrace`` or as ``excepthook``.
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

# Bound to new objects by the stock module's fork hook, which knows nothing of the second module.
_REBOUND_BY_FORK = ("_active_limbo_lock", "_main_thread", "_shutdown_locks", "_shutdown_locks_lock")

# Names whose object the second module takes over instead of making its own. The interpreter runs
# the stock module's _shutdown() at exit and its _after_fork() in a new process; those serve both.
_SHARED = frozenset(
    {
        *_REBOUND_BY_FORK,
        # Native barriers raise it, whichever module they are used through.
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

    Statements that would make a registry object of their own bind the shared one instead.
    """

    def __init__(self, names: "dict[str, Any]", shared: "dict[str, Any]") -> None:
        self._names = names
        self._shared = shared
        self._instead: dict[str, Any] = {
            # The main thread has its object already; a second one would register itself.
            "_MainThread": lambda: shared["_main_thread"],
            # The stock module's hook is registered already, and os is used for nothing else here.
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

    A name that some function declares ``global`` is stored past the local names, even at the top
    level, so that objects of the module's own were made, and may have become default arguments.
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
            "rthread.threading runs the code of the threading module once more, and "
            f"{type(loader).__name__}, which has loaded that, {reason}. Where the standard library "
            "was compiled into the program, use rthread.install() and import threading: it needs "
            "neither source nor bytecode",
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
        # Here the stock module's hook, which runs first, calls methods of our threads that take
        # _shutdown_locks_lock, and the old one may be held by a thread that is no more.
        thread_type = names["Thread"]
        reset: Callable[[object, bool], None] = thread_type._reset_internal_locks

        def _reset_internal_locks(self: object, is_alive: bool) -> None:
            follow()
            reset(self, is_alive)

        thread_type._reset_internal_locks = _reset_internal_locks


def _wait_for_both_at_exit(names: "dict[str, Any]") -> None:
    """Let ``threading._shutdown`` wait for the threads of both modules.

    Up to 3.12 it waits for the locks in the shared ``_shutdown_locks``; from 3.13 on it asks
    ``_thread``, and each of the two knows its own threads only.
    """
    stock: dict[str, Any] = vars(threading)
    if "_thread_shutdown" not in stock:
        return
    # In this order: the stock module reports a thread that is just being started as an error, and
    # one of ours may be starting it.
    modules = (_rthread, stock_thread())
    # Nobody waits for those that `threading` has not started. In a sub-interpreter they may be
    # others than the one that ends it, and never done.
    others = (stock["_MainThread"], stock["_DummyThread"], names["_DummyThread"])

    def _thread_shutdown() -> None:
        waited = True
        # A thread of one module may have started one of the other meanwhile.
        while waited:
            waited = False
            for module in modules:
                handles = _awaited(module, others)
                vars(module)["_shutdown"]()
                if not all(handle.is_done() for handle in handles):
                    # Ctrl-C: the threads of both are given up.
                    return
                waited = waited or bool(handles)

    stock["_thread_shutdown"] = _thread_shutdown


def _awaited(module: "ModuleType", others: tuple[type, ...]) -> "list[Any]":
    """The handles of the threads of `module` that the interpreter waits for: not of `others`."""
    handles: list[Any] = [
        # Its name changed in 3.14.
        getattr(thread, "_os_thread_handle", None) or getattr(thread, "_handle", None)
        for thread in threading.enumerate()
        if not (thread.daemon or thread.ident == _rthread.get_ident() or isinstance(thread, others))
    ]
    kind = vars(module)["_ThreadHandle"]
    return [handle for handle in handles if type(handle) is kind and not handle.is_done()]
