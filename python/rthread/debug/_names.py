"""Finds names for locks: a global variable, an attribute of ``self``, a local variable.

A lock has no name of its own. One that is found here says where the program keeps the lock. The
search looks only at the modules and frames on the stacks of the report, runs no code of the
program, and stops after a fixed number of steps.
"""

import gc

from rthread import _rthread
from rthread.debug import _safe

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from types import FrameType
    from typing import Any

__all__ = ["find"]

# How many names and attributes are looked at in all: less than 0.1 s.
_BUDGET = 500_000


def find(
    wanted: "set[int]",
    modules: "Iterable[dict[str, Any]]",
    frames: "Iterable[FrameType]",
) -> "dict[int, str]":
    """Look for names of objects.

    Args:
        wanted: the ids of the objects, which have to be alive.
        modules: the global names of modules.
        frames: frames whose local variables may be read. Frames that come first give the names of
            local variables.

    Returns:
        By the id of an object, its name; objects without a name are left out.
    """
    search = _Search(wanted)
    for names in modules:
        search.look_at_module(names)
    for frame in frames:
        if search.is_over():
            break
        search.look_at_frame(frame)
    return search.names()


class _Search:
    def __init__(self, wanted: "set[int]") -> None:
        self._wanted = wanted
        self._budget = _BUDGET
        # The better sources first.
        self._globals: dict[int, str] = {}
        self._attributes: dict[int, str] = {}
        self._locks_of_conditions: dict[int, str] = {}
        self._variables: dict[int, str] = {}
        # The ids of objects and classes that have been looked at. The frames keep them alive.
        self._seen: set[int] = set()
        state = vars(_rthread).get("__native_state__", {})
        kinds = [state.get("native", {}), state.get("python", {}), _safe.namespace("threading")]
        self._conditions = {id(names["Condition"]) for names in kinds if "Condition" in names}

    def names(self) -> "dict[int, str]":
        return {
            **self._variables,
            **self._locks_of_conditions,
            **self._attributes,
            **self._globals,
        }

    def is_over(self) -> bool:
        named = len(self._globals.keys() | self._attributes.keys())
        return named >= len(self._wanted) or self._budget < 0

    def look_at_module(self, names: "dict[str, Any]") -> None:
        module = _safe.exact(names.get("__name__")) or "?"
        self._look(module, list(names.items()), self._globals)

    def look_at_frame(self, frame: "FrameType") -> None:
        variables = _safe.locals_of(frame)
        self._look_at_variables(frame, variables)
        owner = variables.get("self")
        if owner is None or id(owner) in self._seen:
            return
        self._seen.add(id(owner))
        name = _safe.class_name(owner)
        self._look(name, [*_safe.attributes(owner).items(), *_safe.slots(owner)], self._attributes)
        for cls in _safe.mro(owner)[:-1]:
            if id(cls) not in self._seen:
                self._seen.add(id(cls))
                self._look(name, _safe.class_attributes(cls), self._attributes)

    def _look_at_variables(self, frame: "FrameType", variables: "dict[str, Any]") -> None:
        code = frame.f_code
        # The names of parameters mislead: two threads that take two locks in opposite order by the
        # same function call each of the locks `first`.
        count = code.co_argcount + code.co_kwonlyargcount
        parameters = code.co_varnames[:count]
        own = _safe.exact(getattr(code, "co_qualname", code.co_name))
        self._budget -= len(variables)
        for name, value in variables.items():
            if id(value) in self._wanted and name not in parameters:
                function = own
                if name in code.co_freevars:
                    # The variable belongs to the function around this one.
                    function = own.rpartition(".<locals>.")[0] or own
                self._variables.setdefault(id(value), f"{_safe.exact(name)} in {function}()")

    def _look(self, prefix: str, items: "list[tuple[Any, Any]]", into: "dict[int, str]") -> None:
        self._budget -= len(items)
        if self._budget < 0:
            return
        for name, value in items:
            if id(value) in self._wanted:
                into.setdefault(id(value), f"{prefix}.{_safe.exact(name)}")
            elif id(type(value)) in self._conditions:
                self._look_at_condition(f"{prefix}.{_safe.exact(name)}", value)

    def _look_at_condition(self, name: str, condition: object) -> None:
        # An attribute access would turn a native condition into a Python object.
        inside = gc.get_referents(condition)
        for value in (*inside, *_safe.attributes(condition).values()):
            if id(value) in self._wanted:
                self._locks_of_conditions.setdefault(id(value), f"lock of {name}")
