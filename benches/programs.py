"""The programs of `textbook.py`, made anew for each rival."""

from __future__ import annotations

import builtins
import functools
import importlib
import importlib.util
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import ModuleType
from typing import Any

from .measure import Rival


def module_again(name: str, replaced: Mapping[str, Any]) -> ModuleType:
    """Run a module once more, with other modules where it imports some of these names.

    Installing is no way to measure: stock and rthread are both needed in one process.
    """

    def importer(wanted: str, *others: Any) -> Any:
        return replaced.get(wanted) or builtins.__import__(wanted, *others)

    spec = importlib.util.find_spec(name)
    assert spec is not None
    loader: Any = spec.loader
    module = ModuleType(f"{name}, again")
    vars(module)["__builtins__"] = {**vars(builtins), "__import__": importer}
    exec(loader.get_code(name), vars(module))
    return module


@dataclass(frozen=True)
class Program:
    """One of them, as `measure.compare` takes it."""

    name: str
    unroll: int = 1

    def runs_on(self, rival: Rival) -> bool:
        return rival.textbook is not None

    def compile_for(self, rival: Rival) -> Callable[[int], float]:
        assert rival.textbook is not None
        return _programs(rival.textbook)[self.name]


def names(rival: Rival) -> list[str]:
    """The programs that there are."""
    assert rival.textbook is not None
    return list(_programs(rival.textbook))


@functools.cache
def _programs(textbook: Callable[[], ModuleType]) -> dict[str, Callable[[int], float]]:
    programs: dict[str, Callable[[int], float]] = textbook().PROGRAMS
    return programs


def textbook_on(threading: ModuleType, queue: ModuleType, plain_queue: ModuleType) -> ModuleType:
    """`textbook.py` on these modules."""
    ours = {"threading": threading, "queue": queue, "plain_queue": plain_queue}
    futures = ModuleType("concurrent.futures")
    vars(futures)["_base"] = module_again("concurrent.futures._base", ours)
    ours["concurrent.futures"] = futures
    ours["executor"] = module_again("concurrent.futures.thread", ours)
    return module_again(f"{__package__}.textbook", ours)
