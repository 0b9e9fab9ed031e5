"""What was measured on: a number without it says nothing."""

from __future__ import annotations

import os
import platform
import sys
import sysconfig
from typing import Any


def describe() -> dict[str, Any]:
    """The interpreter, how it was built, and the machine."""
    return {
        "python": platform.python_version(),
        "build": build(),
        "gil": _gil(),
        "executable": os.path.realpath(sys.executable),
        "compiler": platform.python_compiler(),
        "cpu": _cpu(),
        "cpus": os.cpu_count(),
        "allowed": allowed(),
        "system": f"{platform.system()} {platform.release()}",
    }


def allowed() -> int | None:
    """How many processors the bench may use: `taskset` gives it fewer."""
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # Not Linux.
        return os.cpu_count()


def build() -> str:
    """How the interpreter was optimised: rthread looks better beside a slow one."""
    options = str(sysconfig.get_config_var("CONFIG_ARGS") or "")
    flags = str(sysconfig.get_config_var("PY_CORE_CFLAGS") or "")
    # Debian keeps the flags of its profiled build out of sysconfig, so that extensions do not
    # inherit them; its own wheels are what its builds are told by.
    if "/usr/share/python-wheels" in options and sys.base_prefix == "/usr":
        return "Debian's, PGO + LTO"
    profiled = "--enable-optimizations" in options or "-fprofile-use" in flags
    linked = "--with-lto" in options or "-flto" in flags
    found = ["PGO"] * profiled + ["LTO"] * linked
    return " + ".join(found) if found else "no PGO: stock is slower here than people run it"


def _gil() -> str:
    if not sysconfig.get_config_var("Py_GIL_DISABLED"):
        return "GIL"
    # An extension that does not say otherwise turns it on.
    enabled = sys._is_gil_enabled()  # type: ignore[attr-defined]
    return "free-threaded build, GIL turned ON" if enabled else "free-threaded"


def _cpu() -> str:
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            names = [line.partition(":")[2].strip() for line in file if "model name" in line]
    except OSError:
        names = []
    return names[0] if names else platform.processor() or platform.machine()
