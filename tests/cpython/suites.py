"""Which of CPython's test modules are run, and where this interpreter has them."""

from __future__ import annotations

import importlib.util
import os
import sys
import sysconfig
from dataclasses import dataclass
from importlib.machinery import ModuleSpec

FREE_THREADED = bool(sysconfig.get_config_var("Py_GIL_DISABLED"))

NAMES = [
    "test_thread",
    "test_threading",
    "test_threading_local",
    "test_threadsignals",
    "test_threadedtempfile",
    "test_queue",
    "test_fork1",
    "test_concurrent_futures",
    # With `--children`, the interpreters that they make are on rthread too.
    "test_interpreters",
]
# Under one name or the other, the module that `test_interpreters` is written on.
NAMES.append("test__interpreters" if sys.version_info >= (3, 13) else "test__xxsubinterpreters")
if FREE_THREADED and sys.version_info >= (3, 14):
    NAMES.append("test_free_threading.test_threading")


@dataclass(frozen=True)
class Suite:
    """A test module, run in a process of its own.

    `missing` says why it cannot be run; it is empty for one that can.
    """

    name: str
    missing: str = ""

    @property
    def module(self) -> str:
        return f"test.{self.name}"


def suites() -> list[Suite]:
    """The modules to run, packages of tests taken apart into theirs."""
    found: list[Suite] = []
    for name in NAMES:
        spec = _find(f"test.{name}")
        if spec is None:
            found.append(Suite(name, _why_missing(name)))
        elif spec.submodule_search_locations:
            parts = _parts(list(spec.submodule_search_locations))
            found += [Suite(f"{name}.{part}") for part in parts]
        else:
            found.append(Suite(name))
    return found


def _find(module: str) -> ModuleSpec | None:
    try:
        return importlib.util.find_spec(module)
    except ModuleNotFoundError:
        return None


def _why_missing(name: str) -> str:
    if _find("test.libregrtest") is None:
        return "this interpreter has no test package"
    return f"this interpreter's test package has no {name}"


def _parts(folders: list[str]) -> list[str]:
    files = [file for folder in folders for file in os.listdir(folder)]
    return sorted(
        file[: -len(".py")] for file in files if file.startswith("test_") and file.endswith(".py")
    )
