"""Reads of objects of the program that run no code of the program.

A report is made when a program hangs. An attribute that is read in the usual way may be a property
that takes the lock that all threads wait for. So nothing here looks an attribute up in an object,
compares objects, or asks an object for its text.
"""

import gc
import sys

from rthread import _rthread

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FrameType
    from typing import Any

__all__ = [
    "attributes",
    "class_attributes",
    "class_name",
    "exact",
    "globals_of",
    "is_a",
    "locals_of",
    "mro",
    "name_of",
    "namespace",
    "native_classes",
    "slots",
    "variables_of",
]

# The interpreter's own getters. A metaclass can hide the attributes of a class, but not these.
_qualname_of: "Any" = vars(type)["__qualname__"].__get__
_mro_of: "Any" = vars(type)["__mro__"].__get__
_dict_of: "Any" = vars(type)["__dict__"].__get__
_flags_of: "Any" = vars(type)["__flags__"].__get__

_Module = type(sys)
_Function: "Any" = type(lambda: None)
_GetSet = type(vars(type)["__qualname__"])
_Member = type(_Function.__globals__)

# A class with this flag is C's; reading the dict of one of its objects may do more than reading.
_IMMUTABLE = 1 << 8
# Each class of `threading` and `queue` has one of these attributes.
_OF_MATERIALIZED = ("_waiters", "_cond", "mutex")
# The code of a function: its local variables are not a namespace of the program's choice.
_OPTIMIZED = 1


def exact(text: object) -> str:
    """A text as an instance of `str` itself; empty if it is none."""
    if type(text) is str:
        return text
    return str.__str__(text) if issubclass(type(text), str) else ""


def name_of(cls: type) -> str:
    """The qualified name of a class."""
    return exact(_qualname_of(cls))


def class_name(value: object) -> str:
    """The qualified name of the class of an object."""
    return name_of(type(value))


def is_a(value: object, classes: "tuple[type, ...]") -> bool:
    """Tell whether an object is an instance, whatever it says itself."""
    mro: tuple[type, ...] = _mro_of(type(value))
    return any(cls is known for cls in mro for known in classes)


def mro(value: object) -> "tuple[type, ...]":
    """The class of an object, and the bases of that class."""
    found: tuple[type, ...] = _mro_of(type(value))
    return found


def class_attributes(cls: type) -> "list[tuple[str, Any]]":
    """The names and values in the dict of a class, without those of its bases."""
    return list(_dict_of(cls).items())


def attributes(value: object) -> "dict[str, Any]":
    """The dict of an object of a Python class; an empty one for any other object."""
    native = {id(cls) for cls in native_classes()}
    for cls in _mro_of(type(value)):
        if id(cls) in native:
            return _attributes_of_native(value)
        getter = _dict_of(cls).get("__dict__")
        if getter is None:
            continue
        if type(getter) is not _GetSet or _flags_of(cls) & _IMMUTABLE:
            break
        found = getter.__get__(value)
        return found if type(found) is dict else {}
    return {}


def native_classes() -> "tuple[type, ...]":
    """The native classes that stand in for those of `threading` and `queue`."""
    state: dict[str, Any] = vars(_rthread).get("__native_state__", {})
    return tuple(state.get("native", {}).values())


def _attributes_of_native(value: object) -> "dict[str, Any]":
    """The dict of a native object that has become a Python object, else an empty one."""
    # To ask for its dict would make a Python object of it.
    for inside in gc.get_referents(value):
        if type(inside) is dict and any(name in inside for name in _OF_MATERIALIZED):
            return inside
    return {}


def slots(value: object) -> "Iterator[tuple[str, Any]]":
    """The names and values of the slots of an object of a Python class."""
    for cls in _mro_of(type(value)):
        names = _dict_of(cls)
        if "__slots__" not in names or _flags_of(cls) & _IMMUTABLE:
            continue
        for name, slot in list(names.items()):
            if type(slot) is _Member:
                try:
                    yield name, slot.__get__(value)
                except AttributeError:
                    # The slot has no value.
                    pass


def namespace(name: str) -> "dict[str, Any]":
    """The names of an imported module; an empty dict if it is not imported."""
    module = sys.modules.get(name)
    if not issubclass(type(module), _Module):
        return {}
    # An ordinary attribute access would load a lazy module.
    get: Any = object.__getattribute__
    found = get(module, "__dict__")
    return found if type(found) is dict else {}


def globals_of(frame: "FrameType") -> "dict[str, Any]":
    """The global names of a frame; an empty dict if they are in an object of the program's own."""
    found: object = frame.f_globals
    return found if type(found) is dict else {}


def locals_of(frame: "FrameType") -> "dict[str, Any]":
    """A copy of the local variables of a function's frame; an empty dict for other frames.

    Without a GIL the thread of the frame must not run meanwhile: the interpreter would crash.
    """
    return dict(variables_of(frame)) if frame.f_code.co_flags & _OPTIMIZED else {}


def variables_of(frame: "FrameType") -> "Any":
    """The local variables of a frame, as locals_of; those of a class or a module, too.

    Returns:
        A dict up to 3.12, from 3.13 on a view of the variables of a function. An empty dict if
        the program has its own class for them.
    """
    found: Any = frame.f_locals
    return found if frame.f_code.co_flags & _OPTIMIZED or type(found) is dict else {}


def module_of(cls: type) -> str:
    """The name of the module of a class."""
    return exact(_dict_of(cls).get("__module__"))
