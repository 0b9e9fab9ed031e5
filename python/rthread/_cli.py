"""The command ``python -m rthread``: reads its arguments, installs rthread, runs the program."""

import os
import sys

import rthread
from rthread import _program, _settings, _watch

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, NoReturn

__all__ = ["main"]

USAGE = """\
usage: python -m rthread [option ...] script [argument ...]
       python -m rthread [option ...] -m module [argument ...]
       python -m rthread [option ...] -c code [argument ...]
       python -m rthread [option ...] - [argument ...]
       python -m rthread [option ...] --report
       python -m rthread --version

Runs a Python program as python itself does, with rthread in the place of _thread and threading.

  script       a file, or a directory or zip file with a __main__.py
  -m module    a module or a package with a __main__.py
  -c code      the code itself
  -            a program read from standard input
  --report     no program: list what each name of _thread, threading and queue runs on
  --version    print the version of rthread

options:
  --queue      rthread's classes in queue, too
  --no-native  Condition, Event, Semaphore and Barrier as threading writes them in Python
  --children   Python processes and sub-interpreters that the program starts run on rthread too,
               with the same options
  --reuse-threads number
               keep up to so many finished threads for a second each, for the next starts
  --deadlocks policy
               what happens when a thread would close a circle of threads that wait for each other:
               raise DeadlockError there, warn on stderr (the default), exit with status 66, or off
  --record-sites
               record where locks are taken and made, for reports; --deadlocks raise and exit do so
  --dump-on signal
               write a report on all threads to stderr whenever the signal comes, as SIGQUIT, which
               Ctrl-\\ sends

environment:
  RTHREAD=1         runs every Python process that inherits it on rthread from its start, without
                    this command; 0 takes a process out; --children sets it
  RTHREAD_QUEUE=1   as --queue, wherever rthread is installed
  RTHREAD_NATIVE=0  as --no-native, wherever rthread is installed
  RTHREAD_REUSE_THREADS=number  as --reuse-threads, wherever rthread is installed
  RTHREAD_DEADLOCKS=policy  as --deadlocks, wherever rthread is installed
  RTHREAD_RECORD_SITES=1  as --record-sites, wherever rthread is installed
  RTHREAD_DUMP_ON=signal  as --dump-on, wherever rthread is installed"""

# For each option with an operand, the function that runs the operand.
_WITH_OPERAND = {"-c": _program.run_code, "-m": _program.run_module}
_OPTIONS = ("--children", "--no-native", "--queue", "--record-sites")
_REUSE = "--reuse-threads"
_DEADLOCKS = "--deadlocks"
_DUMP_ON = "--dump-on"

# The words that start the command, as `USAGE` has them, and as the user has written them.
_NAME = "python -m rthread"
_name = _NAME


def main(name: str = _NAME) -> None:
    """Run the command line in ``sys.argv``.

    Args:
        name: the words that start the command, for messages.
    """
    global _name
    _name = name
    arguments = sys.argv[1:]
    # The options that were given, each with its value if it has one.
    options: dict[str, Any] = {}
    while arguments:
        name, has_value, value = arguments[0].partition("=")
        if arguments[0] in _OPTIONS:
            options[arguments.pop(0)] = 0
        elif name == _REUSE:
            del arguments[0]
            options.pop(_REUSE, None)
            options[_REUSE] = _number(value if has_value or not arguments else arguments.pop(0))
        elif name == _DEADLOCKS:
            del arguments[0]
            options.pop(_DEADLOCKS, None)
            value = value if has_value or not arguments else arguments.pop(0)
            options[_DEADLOCKS] = _policy(value)
        elif name == _DUMP_ON:
            del arguments[0]
            options.pop(_DUMP_ON, None)
            value = value if has_value or not arguments else arguments.pop(0)
            options[_DUMP_ON] = _signal(value)
        else:
            break
    command = arguments[0] if arguments else ""
    if not arguments and options:
        _refuse(f"{list(options)[-1]} needs a program to run")
    elif command == "--version":
        _take_no_arguments(arguments)
        print(f"rthread {rthread.__version__}")
    elif command == "--report":
        _take_no_arguments(arguments)
        _install(options)
        print(rthread.report())
    elif command in ("", "-h", "--help"):
        print(_about())
    else:
        run, operand, rest = _program_in(arguments)
        if "--children" in options:
            _switch_children(options)
        _install(options)
        run(operand, rest)


def _number(value: str) -> int:
    number = _settings.number_of_threads(value)
    if number is None:
        most = _settings.MOST_THREADS
        _refuse(f"{_REUSE} needs a number of threads from 0 to {most}, not {value!r}")
    return number


def _policy(value: str) -> str:
    if value not in _settings.DEADLOCKS:
        *first, last = _settings.DEADLOCKS
        _refuse(f"{_DEADLOCKS} needs {', '.join(first)} or {last}, not {value!r}")
    return value


def _signal(value: str) -> int:
    number = _settings.number_of_signal(value)
    if number is None:
        _refuse(f"{_DUMP_ON} needs {_settings.signals_to_choose()}, not {value!r}")
    return number


def _take_no_arguments(arguments: list[str]) -> None:
    if len(arguments) > 1:
        _refuse(f"{arguments[0]} takes no arguments")


def _program_in(
    arguments: list[str],
) -> "tuple[Callable[[str, list[str]], None], str, list[str]]":
    """The function that runs the program, the program, and the arguments for it."""
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
    print(f"rthread: {reason}; see {_name} --help", file=sys.stderr)
    sys.exit(2)


def _switch_children(options: "dict[str, Any]") -> None:
    # A package that is on the path without being installed has no .pth file where Python looks for
    # one. Then the command fails: otherwise the children would silently run on stock.
    if not any(os.path.exists(os.path.join(place, "rthread.pth")) for place in sys.path):
        _refuse("--children needs rthread.pth, which installing the wheel puts into site-packages")
    # RTHREAD_CHILDREN is the older name: a child may have a version of rthread that knows only it.
    os.environ.update(RTHREAD="1", RTHREAD_CHILDREN="1")
    if "--queue" in options:
        os.environ["RTHREAD_QUEUE"] = "1"
    if "--no-native" in options:
        os.environ["RTHREAD_NATIVE"] = "0"
    if _REUSE in options:
        os.environ["RTHREAD_REUSE_THREADS"] = str(options[_REUSE])
    os.environ["RTHREAD_DEADLOCKS"] = _deadlock_policy(options)
    if "--record-sites" in options:
        os.environ["RTHREAD_RECORD_SITES"] = "1"
    if _DUMP_ON in options:
        os.environ["RTHREAD_DUMP_ON"] = str(options[_DUMP_ON])


def _deadlock_policy(options: "dict[str, Any]") -> str:
    policy: str = options.get(_DEADLOCKS) or _settings.chosen_policy() or "warn"
    return policy


def _install(options: "dict[str, Any]") -> None:
    wanted = _settings.of_environment()
    if "--no-native" in options:
        wanted["native"] = False
    if "--queue" in options:
        wanted["queue"] = True
    if _REUSE in options:
        wanted["reuse_threads"] = options[_REUSE]
    if not rthread.is_installed():
        for name in _settings.INSTALL_VARIABLES:
            complaint = _settings.complaint(name)
            if complaint:
                print(f"rthread: {complaint}", file=sys.stderr)
    try:
        rthread.install(**wanted)
    except RuntimeError as error:
        # Code that Python runs at its start, such as sitecustomize, has started a thread.
        print(f"rthread: {error}", file=sys.stderr)
        sys.exit(1)
    if _DEADLOCKS in options:
        _watch.watch_deadlocks(options[_DEADLOCKS])
    elif _settings.chosen_policy() is None:
        _watch.warn_of_deadlocks()
    if "--record-sites" in options:
        _watch.record_sites()
    if _DUMP_ON in options:
        _watch.dump_on(options[_DUMP_ON])


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
        USAGE.replace(_NAME, _name),
    ]
    return "\n".join(lines)
