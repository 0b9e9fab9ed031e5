"""Tells for each name on which code a program runs: rthread's, the interpreter's or a tool's."""

import sys
from typing import Any, NamedTuple

from rthread import _install, _rthread, _stock

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import ModuleType

__all__ = ["Entry", "Report", "report"]


class Entry(NamedTuple):
    """The object of one name."""

    module: str
    name: str
    #: "rthread", "stock" or "tool"
    runs_on: str
    #: the module that the object comes from
    source: str
    #: a remark for the reader; often empty
    note: str


class Report(tuple[Entry, ...]):
    """All entries. As text it is a table."""

    __slots__ = ()

    def of(self, runs_on: str) -> "list[str]":
        """The dotted names that run on one kind of code.

        Args:
            runs_on: ``"rthread"``, ``"stock"`` or ``"tool"``.
        """
        return [f"{entry.module}.{entry.name}" for entry in self if entry.runs_on == runs_on]

    def __str__(self) -> str:
        return "\n".join(self._lines())

    def __repr__(self) -> str:
        return f"<rthread.report(): {', '.join(self._counts())}>"

    def _counts(self) -> "list[str]":
        return [f"{len(self.of(kind))} names {kind}" for kind in ("rthread", "stock", "tool")]

    def _lines(self) -> "Iterator[str]":
        version = vars(_rthread)["__version__"]
        state = "installed" if _install.is_installed() else "not installed"
        yield f"rthread {version}, {state}: {', '.join(self._counts())}"
        module = ""
        for entry in self:
            if entry.module != module:
                module = entry.module
                yield ""
                yield module
            origin = f"tool: {entry.source}" if entry.runs_on == "tool" else entry.runs_on
            yield f"  {entry.name:<24} {origin:<10} {entry.note}".rstrip()
        for name in ("threading", "queue"):
            if name not in sys.modules:
                yield ""
                yield f"{name} (not imported)"


def report() -> Report:
    """Look at every name of ``_thread``, ``threading`` and ``queue``."""
    entries: list[Entry] = []
    stock = vars(_install.stock_thread())
    own = _install.own.items()
    ours = {id(value) for name, value in own if callable(value) and stock.get(name) is not value}
    ours |= {id(new) for new in _native_classes()}
    evidence = _stock.Dependencies(ours)
    for name in ("_thread", "threading", "queue"):
        module = sys.modules.get(name)
        if module is not None:
            entries += _entries(name, module, ours, evidence)
    return Report(entries)


def _native_classes() -> "Iterator[type]":
    state: dict[str, Any] = vars(_rthread).get("__native_state__", {})
    known: dict[str, tuple[type, type]] = state.get("threading", {})
    yield from (new for _old, new in known.values())
    queue: Any = sys.modules.get("rthread.queue")
    if queue is not None:
        yield from (new for _old, new in queue._pairs())
        if queue.ShutDown.__module__ == queue.__name__:
            # The interpreter has none in this version.
            yield queue.ShutDown


def _entries(
    home: str, module: "ModuleType", ours: "set[int]", evidence: "_stock.Dependencies"
) -> "Iterator[Entry]":
    names = vars(module)
    for name, value in sorted(names.items(), key=lambda item: item[0].lower()):
        if name[:2] == "__" or not callable(value):
            continue
        if id(value) in ours:
            yield Entry(home, name, "rthread", "rthread", "")
            continue
        entry = _other(home, name, value, module, evidence)
        # The interpreter's own helpers and the modules that it imports are left out.
        if home == "_thread" or entry.runs_on == "tool" or name in names.get("__all__", ()):
            yield entry


def _other(
    home: str, name: str, value: "Any", module: "ModuleType", evidence: "_stock.Dependencies"
) -> Entry:
    """An entry for an object that is not rthread's."""
    if type(value) is not type or vars(value).get("__module__") != home or home == "_thread":
        kind = "stock" if _stock.is_of_the_library(value, name) else "tool"
        return Entry(home, name, kind, _stock.origin(value), "")
    tool, note = evidence.explain(value, module)
    if tool is not None:
        return Entry(home, name, "tool", tool, note)
    return Entry(home, name, "stock", home, note)
