"""Puts a whole program on rthread, and takes it off again.

A program reaches threads through three doors: ``sys.modules["_thread"]``, the ``threading``
module, and names that other modules have already taken from either. All three are module-level
names, so one operation serves them all: wherever a module holds, by identity, an object of the
stock ``_thread``, put rthread's object of that name in its place.

``threading`` needs nothing more, since its classes and functions look such names up in the
module each time they run. Its classes therefore stay the very same objects: a subclass made
before ``install()`` is still a subclass after it, and whatever a debugger or a tracer has patched
into ``threading`` stays patched. An object left behind, such as a lock made earlier, goes on
working too; only a thread that is not started yet has to be given a new handle.
"""

import os
import sys

from rthread import _native, _rthread

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import ModuleType
    from typing import Any

    # A namespace, a name in it, what was there, and what is there now.
    Change = tuple[dict[str, Any], str, Any, Any]
    # By the id of an object, the object itself and what is to stand in its place.
    Swaps = dict[int, tuple[Any, Any]]
    Pairs = list[tuple[Any, Any]]

__all__ = ["install", "is_installed", "stock_thread", "uninstall"]

# Stands for a name that does not exist.
_ABSENT: "Any" = ...

# What is installed is a property of the process, not of this copy of the package: a program that
# drops rthread from sys.modules and imports it again must find both of these as they were. They
# therefore live in the extension module, of which there is one.
_state: "dict[str, Any]" = vars(_rthread).setdefault(
    "__install_state__",
    {
        "stock": sys.modules["_thread"],
        "changes": None,
        "explicit": frozenset(),
        "classes": [],
        "lost": 0,
    },
)


def stock_thread() -> "ModuleType":
    """The interpreter's own ``_thread``, whether or not rthread is installed."""
    module: ModuleType = _state["stock"]
    return module


def is_installed() -> bool:
    """Tell whether the program runs on rthread through `install`.

    Returns:
        True between a call of `install` and the next call of `uninstall`.
    """
    return _state["changes"] is not None


def install(*, native: "bool | None" = None, queue: bool = False) -> None:
    """Put the whole program on rthread.

    ``sys.modules["_thread"]``, ``threading``, and every name that a module imported so far has
    taken from them refer to rthread afterwards. A second call has no effect.

    Args:
        native: whether Condition, Event, Semaphore, BoundedSemaphore and Barrier are rthread's
            own classes (True), or those that ``threading`` writes in Python (False). None means
            True, unless the environment variable ``RTHREAD_NATIVE`` is ``0``.
        queue: whether the classes of ``queue`` are those of ``rthread.queue``. Queues that exist
            already, and classes derived from the others, stay what they are.

    Raises:
        RuntimeError: other threads are alive. Nothing has been changed.
    """
    if is_installed():
        return
    _refuse_other_threads("install")
    stock = stock_thread()
    queues, added = _queues() if queue else ([], [])
    classes = [*_classes(native), *queues]
    there, back = _swaps(stock, _rthread, classes), _swaps(_rthread, stock, _reversed(classes))
    explicit = frozenset(_places(_switched(_rthread, stock, back)))
    changes = [*_switched(stock, _rthread, there), *added]
    pending = [*changes, *_handles(stock, _rthread)]
    _apply(pending, changes=changes, explicit=explicit, classes=classes)
    if _wants_native(native) and "threading" not in sys.modules:
        _follow_import()


def uninstall() -> None:
    """Put the whole program back on the interpreter's own ``_thread``.

    Everything that `install` changed is as it was before, unless the program has changed it since.
    Modules imported in between are switched as well. Locks and threads that were made on rthread
    go on working. Without a preceding `install` there is no effect.

    Raises:
        RuntimeError: other threads are alive. Nothing has been changed.
    """
    if not is_installed():
        return
    _refuse_other_threads("uninstall")
    stock = stock_thread()
    # First what was recorded, exactly; then what modules have taken since. A module that had an
    # object of rthread before install() had asked for it by name.
    back = _swaps(_rthread, stock, _reversed(_state["classes"]))
    recorded = [(namespace, name, new, old) for namespace, name, old, new in _state["changes"]]
    done = _places(recorded) | _state["explicit"]
    since = [
        (namespace, name, old, new)
        for namespace, name, old, new in _switched(_rthread, stock, back)
        if (id(namespace), name) not in done
    ]
    pending = [*recorded, *since, *_handles(_rthread, stock)]
    _apply(pending, changes=None, explicit=frozenset(), classes=[])
    sys.meta_path[:] = [finder for finder in sys.meta_path if not isinstance(finder, _Finder)]


def _classes(native: "bool | None") -> "Pairs":
    """The Python classes that are replaced, and what by."""
    if _wants_native(native) and "threading" in sys.modules:
        return list(_native.in_threading())
    return []


def _queues() -> "tuple[Pairs, list[Change]]":
    """The classes of ``queue`` and what they are replaced by, and the names that are added."""
    # Not at the top: most programs get along without it.
    from rthread import queue

    ours: Any = queue
    names = vars(sys.modules["queue"])
    added: list[Change] = []
    if "ShutDown" not in names:
        added.append((names, "ShutDown", _ABSENT, ours.ShutDown))
    return list(ours._pairs()), added


def _wants_native(native: "bool | None") -> bool:
    return _native.wanted() if native is None else native


class _Finder:
    """Finds ``threading`` once, and lets `_adopt_threading` see it when it is loaded.

    A program that does not import ``threading`` is not to pay for it.
    """

    def find_spec(self, name: str, path: "Any" = None, target: "Any" = None) -> "Any":
        if name != "threading":
            return None
        sys.meta_path.remove(self)
        for finder in sys.meta_path:
            spec = finder.find_spec(name, path, target)
            if spec is not None:
                break
        else:
            return None
        loader: Any = spec.loader
        load = loader.exec_module

        def exec_module(module: "ModuleType") -> None:
            del loader.exec_module
            load(module)
            _adopt_threading()

        loader.exec_module = exec_module
        return spec


def _follow_import() -> None:
    sys.meta_path.insert(0, _Finder())


def _adopt_threading() -> None:
    """Put native classes into ``threading``, which has just been loaded."""
    if not is_installed():
        return
    classes = list(_native.in_threading())
    changes = list(_named({id(old): (old, new) for old, new in classes}))
    _apply(changes, changes=[*_state["changes"], *changes], classes=classes)


def _reversed(pairs: "Pairs") -> "Pairs":
    return [(new, old) for old, new in pairs]


def _refuse_other_threads(what: str) -> None:
    threading = sys.modules.get("threading")
    # A thread that is about to run, or about to end, has no frame. The first is in limbo if it
    # was started through threading; both are counted, whichever module started them.
    starting = len(threading._limbo) if threading is not None else 0
    counted = _rthread._count() - _state["lost"]
    others = _running_threads() - {_rthread.get_ident()}
    if not others and not starting and not counted:
        return
    number = max(len(others), starting, counted)
    names = [repr(thread.name) for thread in _known_threads(threading) if thread.ident in others]
    are_alive = "another thread is alive" if number == 1 else f"{number} other threads are alive"
    raise RuntimeError(
        f"rthread.{what}() needs a process with one thread, but {are_alive}"
        + (f": {', '.join(names)}" if names else "")
    )


def _running_threads() -> "set[int]":
    # sys._current_frames() looks at the threads of every interpreter, and makes frame objects for
    # them in the memory of the calling one. Where that has a memory of its own, it takes the
    # frames of the main interpreter with it when it goes, and that crashes.
    if not vars(_rthread)["__is_main__"]:
        return set()
    return set(sys._current_frames())


def _lose_threads() -> None:
    # The interpreter goes on counting, in a new process, the threads of the one it comes from.
    _state["lost"] = _rthread._count()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_lose_threads)


def _known_threads(threading: "ModuleType | None") -> "list[Any]":
    return list(threading._active.values()) if threading is not None else []


def _apply(pending: "list[Change]", **state: object) -> None:
    """Make every change and take on the state or, if anything goes wrong on the way, neither."""
    before = dict(_state)
    try:
        for namespace, name, old, new in pending:
            _set(namespace, name, old, new)
        _state.update(state)
    except BaseException:
        # A change that was not made yet finds nothing to take back.
        for namespace, name, old, new in reversed(pending):
            _set(namespace, name, new, old)
        _state.update(before)
        raise


def _set(namespace: "dict[str, Any]", name: str, old: object, new: object) -> None:
    # The program may have put something of its own there in the meantime; that stays.
    if namespace.get(name, _ABSENT) is not old:
        return
    if new is _ABSENT:
        del namespace[name]
    else:
        namespace[name] = new


def _places(changes: "list[Change]") -> "set[tuple[int, str]]":
    return {(id(namespace), name) for namespace, name, _old, _new in changes}


def _switched(source: "ModuleType", target: "ModuleType", swaps: "Swaps") -> "list[Change]":
    """The changes that put `target` in the place of `source`, in every module."""
    modules: dict[str, Any] = sys.modules
    return [(modules, "_thread", source, target), *_named(swaps)]


def _swaps(source: "ModuleType", target: "ModuleType", classes: "Pairs") -> "Swaps":
    """What stands in for each function and class of `source`, for `source` itself, and for
    each of some more classes."""
    swaps: Swaps = {id(source): (source, target)}
    swaps.update((id(old), (old, new)) for old, new in classes)
    for name, old in vars(source).items():
        new = vars(target).get(name)
        if callable(old) and new is not None and new is not old and not name.startswith("__"):
            swaps[id(old)] = old, new
    return swaps


def _named(swaps: "Swaps") -> "Iterator[Change]":
    """Every name in a module that holds one of the objects to be replaced."""
    for namespace in map(_namespace, _foreign_modules()):
        for name, value in list(namespace.items()):
            if id(value) in swaps:
                yield namespace, name, *swaps[id(value)]


def _foreign_modules() -> "list[ModuleType]":
    own = {id(stock_thread()), id(_rthread)}
    return [
        module
        for name, module in list(sys.modules.items())
        # Not isinstance(): it believes a proxy's __class__, and asking for that can run code.
        if issubclass(type(module), type(sys))
        and id(module) not in own
        and name.partition(".")[0] != "rthread"
    ]


def _namespace(module: "ModuleType") -> "dict[str, Any]":
    # A lazy module is loaded by an ordinary attribute access.
    get: Callable[[object, str], Any] = object.__getattribute__
    namespace: dict[str, Any] = get(module, "__dict__")
    return namespace


def _handles(source: "ModuleType", target: "ModuleType") -> "Iterator[Change]":
    """New handles for threads that exist but were not started, from 3.13 on.

    ``start_joinable_thread`` takes handles of its own module only.
    """
    threading = sys.modules.get("threading")
    handle_type = getattr(source, "_ThreadHandle", None)
    if threading is None or handle_type is None:
        return
    for thread in list(threading._dangling):
        # Threads of rthread.threading are in there too, and keep the handles they have.
        if not isinstance(thread, threading.Thread) or thread.ident is not None:
            continue
        for name, value in list(vars(thread).items()):
            if type(value) is handle_type:
                yield vars(thread), name, value, target._ThreadHandle()
