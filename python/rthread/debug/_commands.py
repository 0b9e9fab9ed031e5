"""The commands that look at another process: ``dump`` and ``top``."""

import os
import sys

import rthread
from rthread.debug import _as_json, _text, _top
from rthread.debug._outside import CannotLook, Outside, has_findings

__all__ = ["main"]

USAGE = """\
usage: {name} dump pid [--json]
       {name} top pid [--interval seconds] [--once]
       {name} --version

Looks at a process that runs on rthread. The process is only read: it gets no signal, and nothing
runs in it. This needs Linux, and the right to read the memory of the process.

  dump       the threads, what each of them waits for, which thread holds it, the Python stacks from
             Python 3.13 on; then deadlocks and threads that are stuck for good
  top        the threads and the hottest locks, again every second; q ends it, h shows the keys

options:
  --json     the report as one JSON document
  --interval seconds
             the time between two looks, 1 if it is not given
  --once     one look, as text

exit status:
  0  nothing was found
  1  the process cannot be looked at: the reason is one line on standard error
  2  the command line is wrong
  3  a deadlock was found, or a thread that is stuck for good"""

FOUND_NOTHING, CANNOT_LOOK, WRONG_USAGE, FOUND = range(4)
# As a shell counts a process that SIGINT has ended.
_INTERRUPTED = 130


class _WrongUsage(Exception):
    pass


class _Options:
    """What a command line asks for."""

    def __init__(self) -> None:
        self.pid = 0
        self.json = False
        self.once = False
        self.interval = 1.0


def main(arguments: "list[str]", name: str) -> int:
    """Run a command.

    Args:
        arguments: the command and its arguments.
        name: the words that start the command, for messages.

    Returns:
        The exit status.
    """
    command, rest = (arguments or ["--help"])[0], arguments[1:]
    try:
        if command in ("-h", "--help", "--version"):
            if rest:
                raise _WrongUsage(f"{command} takes no arguments")
            about = f"rthread {rthread.__version__}"
            return _write(about if command == "--version" else USAGE.format(name=name))
        if command not in ("dump", "top"):
            kind = "option" if command.startswith("-") else "command"
            raise _WrongUsage(f"unknown {kind} {command}")
        if "-h" in rest or "--help" in rest:
            return _write(USAGE.format(name=name))
        options = _options(command, rest)
        return _run_dump(options) if command == "dump" else _run_top(options)
    except _WrongUsage as problem:
        _complain(f"{problem}; see {name} --help")
        return WRONG_USAGE
    except CannotLook as reason:
        _complain(str(reason))
        return CANNOT_LOOK
    except KeyboardInterrupt:
        return _INTERRUPTED


def _options(command: str, arguments: "list[str]") -> _Options:
    options = _Options()
    pids = []
    left = list(arguments)
    while left:
        argument = left.pop(0)
        option, has_value, value = argument.partition("=")
        if argument == "--json" and command == "dump":
            options.json = True
        elif argument == "--once" and command == "top":
            options.once = True
        elif option == "--interval" and command == "top":
            if not has_value:
                if not left:
                    raise _WrongUsage("--interval needs a number of seconds")
                value = left.pop(0)
            options.interval = _interval(value)
        elif argument.startswith("-"):
            raise _WrongUsage(f"unknown option {argument}")
        else:
            pids.append(argument)
    if len(pids) != 1:
        raise _WrongUsage(f"{command} needs the number of one process")
    options.pid = _pid(pids[0])
    return options


def _pid(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 20 and int(text)):
        raise _WrongUsage(f"{text!r} is not the number of a process")
    return int(text)


def _interval(text: str) -> float:
    seconds = _top.interval_in(text)
    if seconds is None:
        shortest, longest = _top.SHORTEST_INTERVAL, _top.LONGEST_INTERVAL
        raise _WrongUsage(
            f"--interval needs seconds from {shortest:g} to {longest:g}, not {text!r}"
        )
    return seconds


def _run_dump(options: _Options) -> int:
    outside = Outside(options.pid)
    try:
        snapshot = outside.look()
    finally:
        outside.close()
    report = _as_json.report(snapshot) if options.json else _text.report(snapshot)
    return _write(report.removesuffix("\n"), FOUND if has_findings(snapshot) else FOUND_NOTHING)


def _run_top(options: _Options) -> int:
    outside = Outside(options.pid)
    try:
        found = _top.run(outside, options.interval, options.once, _write)
    finally:
        outside.close()
    return FOUND if found else FOUND_NOTHING


def _write(text: str, status: int = FOUND_NOTHING) -> int:
    """Write to standard output. Returns the exit status.

    Raises:
        CannotLook: if the output cannot be written, for a reason other than a closed pipe.
        SystemExit: if the reader of the output has ended.
    """
    if sys.stdout is None:
        return status
    reconfigure = getattr(sys.stdout, "reconfigure", None)
    if reconfigure is not None:
        # Names of threads may have letters that the terminal has not.
        reconfigure(errors="backslashreplace")
    try:
        sys.stdout.write(text + "\n")
        sys.stdout.flush()
    except BrokenPipeError:
        # The interpreter would complain at exit, when it flushes what is left.
        _give_up_output()
        raise SystemExit(status) from None
    except OSError as error:
        _give_up_output()
        raise CannotLook(f"the report cannot be written: {error.strerror or error}") from None
    return status


def _give_up_output() -> None:
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)


def _complain(sentence: str) -> None:
    if sys.stderr is not None:
        print(f"rthread: {sentence}", file=sys.stderr)
