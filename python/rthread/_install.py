"""Puts a whole program on rthread, and takes it off again.

A program reaches threads in three ways: through ``sys.modules["_thread"]``, through the
``threading`` module, and through names that other modules have already taken from either. All three
are module-level names, so one operation serves them all. Wherever a module holds, by identity, an
object of the stock ``_thread``, rthread's object of that name is put in its place.

``threading`` needs nothing more, because its classes and functions look such names up in the
module each time they run. So those classes stay the very same objects. A subclass made before
``install()`` is still a subclass after it, and a patch of a debugger or a tracer in ``threading``
stays. An object made earlier, such as a lock, goes on working too. Only a thread that is not
started yet has to get a new handle.
"""

import os
import sys

from rthread import _follow, _native, _rthread, _watch

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import ModuleType
    from typing import Any

    from rthread._stock import Patched

    # A namespace, a name in it, the object that was there, and the object that is there now.
    Change = tuple[dict[str, Any], str, Any, Any]
    # By the id of an object, the object itself and the object that takes its place.
    Swaps = dict[int, tuple[Any, Any]]
    Pairs = list[tuple[Any, Any]]

__all__ = ["PatchedWarning", "install", "is_installed", "stock", "stock_thread", "uninstall"]

# Stands for a name that does not exist.
_ABSENT: "Any" = ...

# From 3.13 on these work only with each other: they start threads, and wait for them at the end.
_OF_HANDLES = (
    "start_joinable_thread",
    "_ThreadHandle",
    "_make_thread_handle",
    "_get_main_thread_ident",
    "_shutdown",
)
_QUEUE = ("Queue", "LifoQueue", "PriorityQueue", "SimpleQueue")

# The state of the installation belongs to the process, not to this copy of the package. A program
# that drops rthread from sys.modules and imports it again must find all of this as it was. So the
# state lives in the extension module, of which there is only one.
_state: "dict[str, Any]" = vars(_rthread).setdefault(
    "__install_state__",
    {
        "stock": sys.modules["_thread"],
        # The objects of the extension module. A tool may put others there while it is _thread.
        "own": {name: value for name, value in vars(_rthread).items() if name[:2] != "__"},
        "changes": None,
        "explicit": frozenset(),
        "pairs": [],
        "native": False,
        "queue": False,
        "reuse_threads": 0,
        "lost": 0,
    },
)
own: "dict[str, Any]" = _state["own"]


class PatchedWarning(RuntimeWarning):
    """Names that `install` leaves alone, because other code had replaced them before."""

    __module__ = "rthread"


def stock_thread() -> "ModuleType":
    """The interpreter's own ``_thread``, whether or not rthread is installed."""
    module: ModuleType = _state["stock"]
    return module


def stock(module: str, name: str) -> "Any":
    """The interpreter's own object of a name, whether or not rthread is installed.

    Args:
        module: the name of a module that is or can be imported: ``"threading"``, ``"queue"``, ...
        name: a name in that module.

    Returns:
        The object that the module has under this name, or had before `install` replaced it.

    Raises:
        ImportError: there is no such module.
        AttributeError: the module has no such name.
    """
    __import__(module)
    found = sys.modules[module]
    if found is _rthread:
        found = stock_thread()
    value = getattr(found, name)
    for old, ours in _state["pairs"]:
        if value is ours:
            return old
    return value


def is_installed() -> bool:
    """Tell whether the program runs on rthread through `install`.

    Returns:
        True between a call of `install` and the next call of `uninstall`.
    """
    return _state["changes"] is not None


def install(
    *,
    native: "bool | None" = None,
    queue: "bool | None" = None,
    reuse_threads: "int | None" = None,
) -> None:
    """Put the whole program on rthread.

    Afterwards ``sys.modules["_thread"]`` and ``threading`` refer to rthread. So does every name
    that an imported module has taken from them. Only the interpreter's own functions and classes
    are replaced: a function or class that another tool has put in their place stays. `report`
    tells about each name. A second call has no effect, unless it asks for another kind of classes.

    Args:
        native: whether Condition, Event, Semaphore, BoundedSemaphore and Barrier are rthread's
            own classes (True), or the Python classes of ``threading`` (False). None means
            True, unless the environment variable ``RTHREAD_NATIVE`` is ``0``.
        queue: whether the classes of ``queue`` are those of ``rthread.queue``. Queues that exist
            already, and classes derived from the former classes, stay as they are. None means
            False, unless the environment variable ``RTHREAD_QUEUE`` is ``1``.
        reuse_threads: how many threads of the operating system to keep, each for a second, for the
            next start when their threads have ended. For the program each start is a new thread.
            None means the number in the environment variable ``RTHREAD_REUSE_THREADS``, or 0 if
            that is not set.

    Warns:
        PatchedWarning: names were left to other code. It is given before anything is changed.
        RuntimeWarning: an environment variable has a value without a meaning.

    Raises:
        RuntimeError: other threads are alive. Nothing has been changed.
        TypeError: `reuse_threads` is neither an int nor None.
        ValueError: `reuse_threads` is negative, or above 9999.
    """
    from rthread import _settings

    number = _settings.chosen_number(reuse_threads)
    if is_installed():
        _reinstall(native, queue)
        if reuse_threads is not None:
            _keep_threads(number)
        return
    _refuse_other_threads("install")
    # The command, and the start of a process, leave nothing open, and have complained already.
    others = None if None in (native, queue, reuse_threads) else False
    asked_for = (native, queue, reuse_threads, others, others, others)
    for index, name in enumerate(_settings.INSTALL_VARIABLES):
        complaint = _settings.complaint(name)
        if asked_for[index] is None and complaint is not None:
            import warnings

            warnings.warn(complaint, RuntimeWarning, stacklevel=2)
    native = _settings.chosen(native, "RTHREAD_NATIVE", True)
    queue = _settings.chosen(queue, "RTHREAD_QUEUE", False)
    stock = stock_thread()
    patched = _patched()
    pairs = _thread_pairs(stock, patched)
    settings = {"native": native, "queue": queue}
    added: list[Change] = []
    awaited = []
    for replaced in _REPLACED:
        if not settings[replaced.setting]:
            continue
        if replaced.at_once:
            __import__(replaced.module)
        if replaced.module in sys.modules:
            found, more = replaced.classes(patched)
            pairs += found
            added += more
        else:
            awaited.append(replaced)
    patched.tell()
    swaps = _swaps([(stock, _rthread), *pairs])
    back = _swaps([(_rthread, stock), *_reversed(pairs)])
    explicit = frozenset(_places(_switched(_rthread, stock, back)))
    changes = [*_switched(stock, _rthread, swaps), *_as_thread(stock, _rthread, patched), *added]
    pending = [*changes, *_handles(pairs)]
    _apply(pending, changes=changes, explicit=explicit, pairs=pairs, native=native, queue=queue)
    for replaced in awaited:
        _follow.import_of(replaced.module, replaced.adopt)
    _keep_threads(number)
    _watch.follow_environment()


def _keep_threads(number: int) -> None:
    _rthread.__keep_threads__(number)
    _state["reuse_threads"] = number


def _reinstall(native: "bool | None", queue: "bool | None") -> None:
    """Serve a second call of `install`."""
    before = {"native": _state["native"], "queue": _state["queue"]}
    asked = {"native": native, "queue": queue}
    wanted = {name: before[name] if asked[name] is None else asked[name] for name in before}
    if wanted == before:
        return
    _refuse_other_threads("install")
    number = _state["reuse_threads"]
    uninstall()
    try:
        install(**wanted, reuse_threads=number)
    except BaseException:
        if not is_installed():
            install(**before, reuse_threads=number)
        raise


def uninstall() -> None:
    """Put the whole program back on the interpreter's own ``_thread``.

    Everything that `install` has changed is restored, unless the program has changed it since.
    Modules imported in between are switched as well. Locks and threads that were made on rthread
    go on working. Without a preceding `install` there is no effect.

    Raises:
        RuntimeError: other threads are alive. Nothing has been changed.
    """
    if not is_installed():
        return
    _refuse_other_threads("uninstall")
    stock = stock_thread()
    # First the recorded changes are undone exactly, then the names that modules have taken since. A
    # module that had an object of rthread before install() had asked for it by name, and keeps it.
    back = _swaps([(_rthread, stock), *_reversed(_state["pairs"])])
    recorded = [(namespace, name, new, old) for namespace, name, old, new in _state["changes"]]
    done = _places(recorded) | _state["explicit"]
    since = [
        (namespace, name, old, new)
        for namespace, name, old, new in _switched(_rthread, stock, back)
        if (id(namespace), name) not in done
    ]
    pending = [*_patched_since(stock, recorded), *recorded, *since]
    pending += _handles(_reversed(_state["pairs"]))
    _apply(pending, changes=None, explicit=frozenset(), pairs=[], native=False, queue=False)
    _follow.forget()
    _keep_threads(0)


def _patched() -> "Patched":
    # Not at the top: only `install` needs it.
    from rthread import _stock

    return _stock.Patched(PatchedWarning)


def _thread_pairs(stock: "ModuleType", patched: "Patched") -> "Pairs":
    """The functions and types of ``_thread``, each with rthread's."""
    from rthread._stock import is_stock_object, origin

    names = vars(stock)
    pairs: Pairs = []
    hidden: dict[str, Any] = {}
    stay = _OF_HANDLES if _another_starts_threads(stock, patched) else ()
    for name, ours in own.items():
        value = names.get(name, _ABSENT)
        # Constants and exceptions are the same in both modules.
        if value is _ABSENT or value is ours or not callable(ours):
            continue
        if name in stay:
            patched.in_thread[name] = value
        elif is_stock_object(value, name, stock):
            pairs.append((value, ours))
        else:
            hidden[name] = ours
            patched.in_thread[name] = value
            patched.add(f"_thread.{name}", origin(value), "")
    if hidden:
        # Other modules may have taken the original before a tool hid it.
        found: Swaps = {}
        for namespace in map(_namespace, _foreign_modules()):
            values = [value for value in list(namespace.values()) if _is_of_c(value)]
            # eventlet loads _thread once more. Only functions tell to which copy they belong, so
            # the functions beside a type decide for the type.
            if any(_is_of_copy(value, stock) for value in values):
                continue
            for value in values:
                called: str = value.__name__
                for name in ("LockType", "lock") if called == "lock" else (called,):
                    ours = hidden.get(name)
                    if value is not ours and ours and is_stock_object(value, name, stock):
                        found[id(value)] = value, ours
        pairs += found.values()
    return pairs


def _another_starts_threads(stock: "ModuleType", patched: "Patched") -> bool:
    """Tell whether a tool has a function of its own that starts the threads of ``threading``.

    It calls the interpreter's function, which takes only the interpreter's handles.
    """
    from rthread._stock import is_stock_object, origin

    name = _OF_HANDLES[0]
    places = [(stock, name), (sys.modules.get("threading", stock), f"_{name}")]
    found = False
    for module, known_as in places:
        value = vars(module).get(known_as, _ABSENT)
        if value is not _ABSENT and not is_stock_object(value, name, stock):
            tool = origin(value)
            patched.add(f"{module.__name__}.{known_as}", tool, "starts the interpreter's threads")
            found = True
    return found


def _is_of_c(value: object) -> bool:
    return type(value) is type(len) or type(value) is type


def _is_of_copy(value: "Any", stock: "ModuleType") -> bool:
    """Tell whether a function belongs to a second copy of the interpreter's ``_thread``."""
    owner = getattr(value, "__self__", None) if type(value) is type(len) else None
    is_module = type(owner) is type(sys) and owner is not stock and owner is not _rthread
    return is_module and vars(owner).get("__name__") == "_thread"


class _Replaced:
    """A module with classes that rthread replaces by classes of its own."""

    def __init__(
        self,
        module: str,
        setting: str,
        names: "tuple[str, ...]",
        pairs: "Callable[[Patched], tuple[Pairs, dict[str, Any]]]",
        *,
        at_once: bool,
    ) -> None:
        self.module = module
        # The argument of `install` that asks for it.
        self.setting = setting
        self.names = names
        # Gives pairs of a stock class and rthread's, and names that this version does not have.
        self._pairs = pairs
        # Whether `install` imports the module; if not, it is followed until a program does.
        self.at_once = at_once

    def classes(self, patched: "Patched") -> "tuple[Pairs, list[Change]]":
        """The classes that are replaced, with their replacements, and the names that are added."""
        module = sys.modules[self.module]
        found, more = self._pairs(patched)
        pairs = patched.fit(found, self.names, module)
        names = vars(module)
        missing = {name: value for name, value in more.items() if pairs and name not in names}
        return pairs, [(names, name, _ABSENT, value) for name, value in missing.items()]

    def adopt(self) -> None:
        """Replace the classes of the module, which has just been loaded."""
        if not is_installed():
            return
        patched = _patched()
        pairs, added = self.classes(patched)
        patched.tell()
        changes = [*_named(_swaps(pairs), {}), *added]
        _apply(changes, changes=[*_state["changes"], *changes], pairs=[*_state["pairs"], *pairs])


def _of_threading(patched: "Patched") -> "tuple[Pairs, dict[str, Any]]":
    return _native.in_threading(patched.evidence), {}


def _of_queue(patched: "Patched") -> "tuple[Pairs, dict[str, Any]]":
    stock = sys.modules["queue"]
    # The native classes cannot be made from the classes of a tool.
    usable = patched.evidence.fits(vars(stock).get("Queue"), stock)
    if "rthread.queue" not in sys.modules and not usable:
        return [], {}
    # Not at the top: most programs do not need it.
    from rthread import queue

    ours: Any = queue
    return list(ours._pairs()), {"ShutDown": ours.ShutDown}


# In this order: `queue` imports `threading`.
_REPLACED = (
    _Replaced("queue", "queue", _QUEUE, _of_queue, at_once=True),
    _Replaced("threading", "native", _native.THREADING, _of_threading, at_once=False),
)


def _as_thread(stock: "ModuleType", target: "ModuleType", patched: "Patched") -> "Iterator[Change]":
    """The changes that make the extension module the ``_thread`` of the program."""
    names = vars(target)
    # gevent and cloudpickle keep objects by the __name__ of their module. The import system goes by
    # __spec__, which stays.
    yield names, "__name__", names["__name__"], "_thread"
    for name, value in vars(stock).items():
        if name in patched.in_thread:
            yield names, name, own[name], value
        elif name not in own and name[:2] != "__":
            yield names, name, names.get(name, _ABSENT), value


def _patched_since(stock: "ModuleType", recorded: "list[Change]") -> "Iterator[Change]":
    """The changes that move objects of tools from rthread's ``_thread`` to the stock module."""
    put = {name: old for namespace, name, old, _new in recorded if namespace is vars(_rthread)}
    stock_by_ours = {id(ours): old for old, ours in _state["pairs"]}
    for name, value in list(vars(_rthread).items()):
        ours = own.get(name, _ABSENT)
        if name[:2] == "__" or value is put.get(name, ours):
            continue
        yield vars(_rthread), name, value, ours
        # A tool that removes its function again puts back the object that it has seen here.
        yield vars(stock), name, vars(stock).get(name, _ABSENT), stock_by_ours.get(id(value), value)


def _reversed(pairs: "Pairs") -> "Pairs":
    return [(new, old) for old, new in pairs]


def _refuse_other_threads(what: str) -> None:
    threading = sys.modules.get("threading")
    # A thread that is about to run, or about to end, has no frame. One that is about to run is in
    # limbo if it was started through threading. Both are counted, whichever module started them.
    starting = len(threading._limbo) if threading is not None else 0
    counted = own["_count"]() - _state["lost"]
    others = _running_threads() - {own["get_ident"]()}
    if not others and not starting and not counted:
        return
    number = max(len(others), starting, counted)
    names = [repr(thread.name) for thread in _known_threads(threading) if thread.ident in others]
    are_alive = "another thread is alive" if number == 1 else f"{number} other threads are alive"
    hint = (
        "; RTHREAD=1 in the environment, or python -m rthread, installs it before a program can "
        "start threads"
    )
    raise RuntimeError(
        f"rthread.{what}() needs a process with one thread, but {are_alive}"
        + (f": {', '.join(names)}" if names else "")
        + (hint if what == "install" else "")
    )


def _running_threads() -> "set[int]":
    # sys._current_frames() looks at the threads of every interpreter, and makes frame objects for
    # them in the memory of the calling interpreter. If that has a memory of its own, its end frees
    # the frames of the main interpreter too, and the process crashes.
    if not vars(_rthread)["__is_main__"]:
        return set()
    return set(sys._current_frames())


def _lose_threads() -> None:
    # In a new process the interpreter still counts the threads of the parent process.
    _state["lost"] = own["_count"]()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_lose_threads)


def _known_threads(threading: "ModuleType | None") -> "list[Any]":
    if threading is None:
        return []
    # A thread says that it is started before it goes from _limbo to _active, and is in both for a
    # moment.
    threads = [*list(threading._active.values()), *list(threading._limbo.values())]
    return list({id(thread): thread for thread in threads}.values())


def _apply(pending: "list[Change]", **state: object) -> None:
    """Make every change and take on the state. If that fails halfway, undo all of it."""
    before = dict(_state)
    try:
        for namespace, name, old, new in pending:
            _set(namespace, name, old, new)
        _state.update(state)
    except BaseException:
        # Undoing a change that was not made yet has no effect.
        for namespace, name, old, new in reversed(pending):
            _set(namespace, name, new, old)
        _state.update(before)
        raise


def _set(namespace: "dict[str, Any]", name: str, old: object, new: object) -> None:
    # The program may have put an object of its own there in the meantime. That stays.
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
    homes = _homes_of_subclasses(swaps) if target is _rthread else {}
    return [(modules, "_thread", source, target), *_named(swaps, homes)]


def _swaps(pairs: "Pairs") -> "Swaps":
    return {id(old): (old, new) for old, new in pairs}


def _named(swaps: "Swaps", homes: "dict[int, set[str]]") -> "Iterator[Change]":
    """Every name in a module that holds one of the objects to be replaced.

    Args:
        swaps: the objects, and the objects that take their places.
        homes: by the id of an object, the modules in which it stays.
    """
    for namespace in map(_namespace, _foreign_modules()):
        for name, value in list(namespace.items()):
            if id(value) in swaps and namespace.get("__name__") not in homes.get(id(value), ()):
                yield namespace, name, *swaps[id(value)]


def _homes_of_subclasses(swaps: "Swaps") -> "dict[int, set[str]]":
    """By the id of a stock class, the modules that have derived classes from it.

    In these modules, ``Event.__init__(self)`` and ``isinstance(x, Event)`` mean the class that
    they have derived from.
    """
    homes: dict[int, set[str]] = {}
    for old, _new in swaps.values():
        if type(old) is not type:
            continue
        rest: list[type] = list(old.__subclasses__())
        found: set[str] = set()
        while rest:
            cls = rest.pop()
            found.add(cls.__module__)
            rest += cls.__subclasses__()
        homes[id(old)] = found - {old.__module__}
    return homes


def _foreign_modules() -> "list[ModuleType]":
    own = {id(stock_thread()), id(_rthread)}
    return [
        module
        for name, module in list(sys.modules.items())
        # Not isinstance(): it believes a proxy's __class__, and reading that can run code.
        if issubclass(type(module), type(sys))
        and id(module) not in own
        and name.partition(".")[0] != "rthread"
    ]


def _namespace(module: "ModuleType") -> "dict[str, Any]":
    # An ordinary attribute access would load a lazy module.
    get: Callable[[object, str], Any] = object.__getattribute__
    namespace: dict[str, Any] = get(module, "__dict__")
    return namespace


def _handles(pairs: "Pairs") -> "Iterator[Change]":
    """New handles for threads that exist but were not started, from 3.13 on.

    ``start_joinable_thread`` takes handles of its own module only.
    """
    threading = sys.modules.get("threading")
    types = {id(old): new for old, new in pairs if getattr(old, "__name__", "") == "_ThreadHandle"}
    if threading is None or not types:
        return
    for thread in list(threading._dangling):
        # _dangling also has threads of rthread.threading, which keep their handles.
        if not isinstance(thread, threading.Thread) or thread.ident is not None:
            continue
        for name, value in list(vars(thread).items()):
            if id(type(value)) in types:
                yield vars(thread), name, value, types[id(type(value))]()
