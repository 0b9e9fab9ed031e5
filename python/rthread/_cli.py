"""The command ``python -m rthread``: reads its arguments, installs rthread, runs the program."""

import os
import sys

import rthread
from rthread import _program

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import NoReturn

__all__ = ["main"]

USAGE = """\
usage: python -m rthread [--children] script [argument ...]
       python -m rthread [--children] -m module [argument ...]
       python -m rthread [--children] -c code [argument ...]
       python -m rthread [--children] - [argument ...]
       python -m rthread --version

Runs a Python program as python itself does, with rthread in the place of _thread and threading.

  script      a file, or a directory or zip file with a __main__.py
  -m module   a module or a package with a __main__.py
  -c code     the code itself
  -           a program read from standard input
  --children  Python processes and sub-interpreters that the program starts run on rthread
              too: it sets RTHREAD_CHILDREN=1, which rthread.pth in site-packages looks for
  --version   print the version of rthread"""

# By the option that says so, what runs the operand that follows it.
_WITH_OPERAND = {"-c": _program.run_code, "-m": _program.run_module}


def main() -> None:
    """Carry out the command line in ``sys.argv``."""
    arguments = sys.argv[1:]
    children = False
    while arguments and arguments[0] == "--children":
        children = True
        del arguments[0]
    if not arguments and not children:
        print(_about())
    elif not arguments:
        _refuse("--children needs a program to run")
    elif arguments[0] == "--version":
        if len(arguments) > 1:
            _refuse("--version takes no arguments")
        print(f"rthread {rthread.__version__}")
    elif arguments[0] in ("-h", "--help"):
        print(_about())
    else:
        run, operand, rest = _program_in(arguments)
        if children:
            _switch_children()
        _install()
        run(operand, rest)


def _program_in(
    arguments: list[str],
) -> "tuple[Callable[[str, list[str]], None], str, list[str]]":
    """What runs the program, the program, and the arguments it is to get."""
    first, rest = arguments[0], arguments[1:]
    option, attached = first[:2], first[2:]
    if option in _WITH_OPERAND:
        if attached:
            return _WITH_OPERAND[option], attached, rest
        if rest:
            return _WITH_OPERAND[option], rest[0], rest[1:]
        _refuse(f"option {option} needs an argument")
    if first == "-":
        return _program.run_standard_input, first, rest
    if first == "--" and rest:
        return _program.run_path, rest[0], rest[1:]
    if first.startswith("-"):
        _refuse(f"unknown option {first}")
    return _program.run_path, first, rest


def _refuse(reason: str) -> "NoReturn":
    print(f"rthread: {reason}; see python -m rthread --help", file=sys.stderr)
    sys.exit(2)


def _switch_children() -> None:
    # A package that was put on the path in some other way than by installing it has no .pth file
    # where Python looks for one: better to say so than to leave the children as they are.
    if not any(os.path.exists(os.path.join(place, "rthread.pth")) for place in sys.path):
        _refuse("--children needs rthread.pth, which installing the wheel puts into site-packages")
    os.environ["RTHREAD_CHILDREN"] = "1"


def _install() -> None:
    try:
        rthread.install()
    except RuntimeError as error:
        # Something that Python runs at its start, such as sitecustomize, has started a thread.
        print(f"rthread: {error}", file=sys.stderr)
        sys.exit(1)


def _about() -> str:
    import platform
    import sysconfig

    free_threaded = bool(sysconfig.get_config_var("Py_GIL_DISABLED"))
    gil = getattr(sys, "_is_gil_enabled", lambda: True)()
    build = "free-threaded build" if free_threaded else "default build"
    lines = [
        f"rthread {rthread.__version__}: CPython's _thread and threading on a core written in Rust",
        "",
        f"{platform.python_implementation()} {platform.python_version()}, {build}, "
        f"GIL {'enabled' if gil else 'disabled'}, {platform.system()} {platform.machine()}",
        f"extension: {rthread._rthread.__file__}",
        "",
        USAGE,
    ]
    return "\n".join(lines)
