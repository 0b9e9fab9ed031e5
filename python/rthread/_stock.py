"""Tells the interpreter's own classes and functions from those that other code put in their place.

Debuggers, profilers and gevent replace functions of ``_thread``, classes of ``threading`` and
``queue``, or single methods of these. `rthread.install` replaces only objects that the interpreter
came with. Names prove little, because a wrapper copies ``__name__``, ``__qualname__`` and
``__module__`` of the original. Code is a proof: a function of a module runs in the namespace of
that module, and was compiled from the same file as the rest of it.
"""

import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from types import CodeType, ModuleType
    from typing import Any

__all__ = [
    "Dependencies",
    "Patched",
    "_is_stock_class",
    "foreign_attributes",
    "is_of_the_library",
    "is_stock_object",
    "origin",
]

# Stands for a name that does not exist.
_ABSENT: "Any" = ...

_Module = type(sys)
_Function: "Any" = type(lambda: None)
_Builtin: "Any" = type(len)
_MethodWrapper = type((0).__add__)
_Member = type(_Function.__globals__)

# No Python class has the first flag. No type that is compiled into an interpreter has the second
# flag, unless it was made from a specification, as those of _thread and _queue are.
_IMMUTABLE = 1 << 8
_HEAP = 1 << 9

# The interpreter sets these in every class. They describe the class, and do nothing.
_OF_EVERY_CLASS = frozenset(
    {
        "__annotate__",
        "__annotate_func__",
        "__annotations__",
        "__annotations_cache__",
        "__dict__",
        "__doc__",
        "__firstlineno__",
        "__module__",
        # copyreg leaves it behind when an object is copied or pickled.
        "__slotnames__",
        "__static_attributes__",
        "__type_params__",
        "__weakref__",
    }
)
_PLAIN_DATA = (bool, int, float, str, bytes, tuple, frozenset, type(None))

# By the id of a module, the module and the file that most of its functions come from.
_files: "dict[int, tuple[ModuleType, str | None]]" = {}


def _is_stock_class(cls: object, module: "ModuleType") -> bool:
    """Tell whether a class is the interpreter's own, and as the interpreter made it.

    It is not if another class stands in its place, or if it disguises itself as the class that it
    is derived from. It is not if one of its methods was replaced, removed from its place or added.
    And it is not if its methods are no Python functions, as where a compiler has translated the
    standard library. The types that C makes for ``_thread`` and ``_queue`` count as stock as well.

    Args:
        cls: any object but a class of rthread's.
        module: the module that has the class: ``threading``, ``queue`` or ``_thread``.

    Returns:
        True only if all evidence says so.
    """
    if type(cls) is not type:
        return False
    names = vars(cls)
    home = vars(module)["__name__"]
    if cls.__flags__ & _IMMUTABLE:
        # rthread's native classes are immutable as well, and say that they are threading's. But the
        # interpreter has no immutable class in a module that is written in Python.
        of_c = names.get("__module__") in ("_thread", "_queue")
        return of_c and bool(cls.__flags__ & _HEAP)
    if names.get("__module__") != home or foreign_attributes(cls, module):
        return False
    if _Function not in map(type, names.values()) and not issubclass(cls, BaseException):
        return False
    for base in cls.__bases__:
        # A class without code of its own may have been given the name of its base.
        if base.__qualname__ == cls.__qualname__:
            return False
        is_plain = base is object or base.__module__ == "builtins"
        if not is_plain and not _is_stock_class(base, module):
            return False
    return True


def foreign_attributes(cls: type, module: "ModuleType") -> "list[str]":
    """The names in a Python class that hold other objects than the source of the module put there.

    Args:
        cls: a class of the module, written in Python.
        module: the module.
    """
    names, file = vars(module), _file(module)
    foreign = []
    for name, value in vars(cls).items():
        if type(value) is _Function:
            is_own = _is_method(name, value, cls, names, file)
        else:
            is_own = name in _OF_EVERY_CLASS or _is_own(name, value, cls, names, file)
        if not is_own:
            foreign.append(name)
    return foreign


def _is_method(
    name: str, function: "Any", cls: type, names: "dict[str, Any]", file: "str | None"
) -> bool:
    code = function.__code__
    if function.__globals__ is not names or code.co_filename != file:
        return False
    qualname = getattr(code, "co_qualname", None) or function.__qualname__
    if qualname != f"{cls.__qualname__}.{code.co_name}":
        return False
    # "__enter__ = acquire" is an alias that the class itself makes, "set = clear" is not.
    return code.co_name == name or (name[:2] == "__" and vars(cls).get(code.co_name) is function)


def _is_own(
    name: str, value: "Any", cls: type, names: "dict[str, Any]", file: "str | None"
) -> bool:
    kind = type(value)
    if kind in (property, classmethod, staticmethod):
        parts = _parts_of(value)
        # Queue.__class_getitem__ is made from types.GenericAlias.
        if len(parts) == 1 and type(parts[0]) is type:
            return name == "__class_getitem__" and parts[0].__module__ == "types"
        return all(
            type(part) is _Function and _is_method(name, part, cls, names, file) for part in parts
        )
    if kind is _Member:
        # The class has __slots__.
        return value.__objclass__ is cls and value.__name__ == name
    if kind not in _PLAIN_DATA:
        return False
    # A datum belongs to a class if its methods use it, or if the compiler has added it.
    return (name[:2] == "__" == name[-2:]) or any(
        name in _names_in(function.__code__)
        for member in vars(cls).values()
        for function in _functions_of(member)
    )


def _file(module: "ModuleType") -> "str | None":
    """The file that most functions of the module come from.

    Not ``__file__``: a frozen module has none, and bytecode may have been compiled elsewhere.
    """
    known = _files.get(id(module))
    if known is not None and known[0] is module:
        return known[1]
    names = vars(module)
    counts: dict[str, int] = {}
    values = list(names.values())
    of_classes = (m for v in values if type(v) is type for m in vars(v).values())
    # queue has no functions outside of its classes.
    for candidates in (values, of_classes):
        for function in candidates:
            if type(function) is _Function and function.__globals__ is names:
                file = function.__code__.co_filename
                counts[file] = counts.get(file, 0) + 1
        if counts:
            break
    most = max(counts, key=lambda file: counts[file]) if counts else None
    _files[id(module)] = module, most
    return most


def _parts_of(value: "Any") -> "tuple[Any, ...]":
    if type(value) is property:
        return tuple(p for p in (value.fget, value.fset, value.fdel) if p is not None)
    return (value.__func__,) if type(value) in (classmethod, staticmethod) else (value,)


def _functions_of(value: "Any") -> "list[Any]":
    return [part for part in _parts_of(value) if type(part) is _Function]


def _names_in(code: "CodeType") -> "set[str]":
    names = set(code.co_names)
    for constant in code.co_consts:
        if type(constant) is type(code):
            names |= _names_in(constant)
    return names


def is_stock_object(value: "Any", name: str, module: "ModuleType") -> bool:
    """Tell whether `value` is the function or type that a C module had at first under a name.

    Args:
        value: any object.
        name: the name.
        module: the interpreter's own ``_thread``.
    """
    if type(value) is _Builtin:
        return value.__self__ is module and value.__name__ == name
    if type(value) is not type or not _is_stock_class(value, module):
        return False
    # LockType is called lock.
    return value.__name__ in (name, "lock" if name == "LockType" else name)


class Dependencies:
    """Finds names that a stock class uses and that do not hold the interpreter's own objects.

    `Event` makes a `Condition` and a `Lock` from the present objects of these names in
    ``threading``. A native class does not use the names, so the replacement of a tool would have no
    effect. Results are remembered: an object of this class serves while nothing is replaced.

    Args:
        trusted: the ids of classes that stand in for stock classes.
    """

    def __init__(self, trusted: "Iterable[int]" = ()) -> None:
        self._stock: dict[int, bool] = dict.fromkeys(trusted, True)
        self._found: dict[int, tuple[str, Any] | None] = dict.fromkeys(trusted)

    def is_stock_class(self, cls: object, module: "ModuleType") -> bool:
        """Tell whether a class is stock. `_is_stock_class` is called once for each class."""
        if id(cls) not in self._stock:
            self._stock[id(cls)] = _is_stock_class(cls, module)
        return self._stock[id(cls)]

    def fits(self, cls: "Any", module: "ModuleType") -> bool:
        """Tell whether a class is stock, and uses only stock objects."""
        return self.is_stock_class(cls, module) and self.foreign(cls, module) is None

    def foreign(self, cls: type, module: "ModuleType") -> "tuple[str, Any] | None":
        """Look at every object that a class uses by name.

        Args:
            cls: a stock class.
            module: the module of the class.

        Returns:
            The dotted name and the object of the first one that is not stock, or None.
        """
        known = self._found
        if id(cls) in known:
            return known[id(cls)]
        # For classes that use each other.
        known[id(cls)] = None
        names: set[str] = set()
        for member in vars(cls).values():
            for function in (member,) if type(member) is _Function else _functions_of(member):
                names |= _names_in(function.__code__)
        found = self._foreign_name(names, module)
        # queue uses threading.Lock().
        if found is None and "threading" in names and "threading" in vars(module):
            found = self._foreign_name(names, vars(module)["threading"])
        for base in cls.__bases__:
            if found is None and vars(base).get("__module__") == vars(module)["__name__"]:
                found = self.foreign(base, module)
        known[id(cls)] = found
        return found

    def explain(self, value: "Any", module: "ModuleType") -> "tuple[str | None, str]":
        """Tell why a class in a module is not switched.

        Returns:
            The module of the tool that has replaced the class or a part of it, or None; and a
            remark, which may be empty.
        """
        home = vars(module)["__name__"]
        if type(value) is not type or vars(value).get("__module__") != home:
            stays = type(value) is type and self.is_stock_class(value, module)
            return (None, "") if stays else (origin(value), "")
        for attribute in foreign_attributes(value, module):
            return origin(vars(value)[attribute]), f"has replaced {attribute}"
        for base in value.__mro__[1:]:
            if vars(base).get("__module__") == home and foreign_attributes(base, module):
                return None, f"in Python: derives from {base.__name__}, which is changed"
        if not self.is_stock_class(value, module):
            return origin(value), ""
        cause = self.foreign(value, module)
        return None, f"in Python: uses {cause[0]}, which is changed" if cause else "in Python"

    def _foreign_name(self, names: "set[str]", module: "ModuleType") -> "tuple[str, Any] | None":
        namespace = vars(module)
        home = namespace["__name__"]
        # Sorted, so that messages are always the same.
        for name in sorted(names & namespace.keys()):
            value = namespace[name]
            # The Python RLock is for interpreters without an RLock in _thread.
            if not callable(value) or (name == "_PyRLock" and namespace.get("_CRLock")):
                continue
            found = None
            if type(value) is _Function and value.__globals__ is namespace:
                code = value.__code__
                is_stock = code.co_name == name and code.co_filename == _file(module)
                if is_stock and id(value) not in self._found:
                    self._found[id(value)] = None
                    found = self._foreign_name(_names_in(code), module)
                    self._found[id(value)] = found
            elif type(value) is type and vars(value).get("__module__") == home:
                is_stock = value.__name__ == name and self.is_stock_class(value, module)
                if is_stock:
                    found = self.foreign(value, module)
            else:
                is_stock = is_of_the_library(value, name)
            if not is_stock:
                return f"{home}.{name}", value
            if found is not None:
                return found
        return None


def is_of_the_library(value: "Any", name: str) -> bool:
    """Tell whether a helper that a module imports comes from the standard library."""
    kind = type(value)
    if kind is _MethodWrapper:
        return True
    if kind is _Builtin:
        owner = value.__self__
        home = vars(owner).get("__name__") if type(owner) is _Module else type(owner).__module__
    elif kind is _Function:
        home = value.__globals__.get("__name__")
    elif kind is type:
        home = vars(value).get("__module__", "builtins")
        found = vars(sys.modules.get(home, sys)).get(value.__name__)
        if not value.__flags__ & _IMMUTABLE and found is not value:
            return False
    else:
        return False
    if home == "_thread":
        # Lock and _allocate_lock make locks, _CRLock makes RLocks.
        of_rlock = "rlock" in value.__name__.lower()
        return of_rlock == ("rlock" in name.lower())
    return str(home).partition(".")[0] in sys.stdlib_module_names


def origin(value: "Any") -> str:
    """The module that an object comes from, for messages.

    A wrapper may tell the module of the function that it wraps.
    """
    kind = type(value)
    if kind is _Function:
        return str(value.__globals__.get("__name__", "?"))
    if issubclass(kind, type):
        for member in vars(value).values():
            if type(member) is _Function:
                return str(member.__globals__.get("__name__", "?"))
        return str(value.__module__)
    try:
        named = value.__module__
    except Exception:
        # Reading an attribute of a proxy may raise anything.
        named = None
    return named if type(named) is str else kind.__module__


class Patched:
    """The names that are left as they are, and why."""

    def __init__(self, warning: "type[Warning]") -> None:
        self.evidence = Dependencies()
        # By name, the object of a tool.
        self.in_thread: dict[str, Any] = {}
        self._warning = warning
        self._sentences: list[str] = []

    def add(self, name: str, tool: "str | None", remark: str) -> None:
        """Note a name that belongs to a tool."""
        reason = " ".join(filter(None, (tool, remark))) or "belongs to classes that stay"
        self._sentences.append(f"{name} ({reason})")

    def fit(
        self, pairs: "list[tuple[Any, Any]]", names: "tuple[str, ...]", module: "ModuleType"
    ) -> "list[tuple[Any, Any]]":
        """Those of some pairs of classes that can be switched. The others are noted."""
        unfit = {id(new) for old, new in pairs if not self.evidence.fits(old, module)}
        # A native class is not used if it derives from one that is not used.
        fitting = [
            (old, new) for old, new in pairs if not any(id(base) in unfit for base in new.__mro__)
        ]
        used = {id(old) for old, _new in fitting}
        for name in names:
            value = vars(module).get(name, _ABSENT)
            if id(value) not in used and value is not _ABSENT:
                self.add(f"{module.__name__}.{name}", *self.evidence.explain(value, module))
        return fitting

    def tell(self) -> None:
        """Warn of the names that are left as they are."""
        if not self._sentences:
            return
        import warnings

        warnings.warn(
            "other code has replaced these, so rthread.install() leaves them as they are: "
            f"{', '.join(self._sentences)}; rthread.report() tells of every name",
            self._warning,
            stacklevel=3,
        )
