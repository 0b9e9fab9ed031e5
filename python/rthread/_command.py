"""The command ``rthread``: runs a program on rthread, or looks at a process that runs on it."""

import sys

import rthread

__all__ = ["main"]

USAGE = """\
usage: rthread run [option ...] program [argument ...]
       rthread dump pid [--json]
       rthread top pid [--interval seconds] [--once]
       rthread --version

  run        run a Python program on rthread, as python -m rthread does; rthread run --help has
             the options
  dump       which thread of a process waits for what, which thread holds it, and deadlocks
  top        the same at a glance, again every second

The exit status of dump is 0, or 3 if it has found a deadlock or a thread that is stuck for good;
1 if the process cannot be looked at; 2 if the command line is wrong."""

_NAME = "rthread"


def main() -> None:
    """Run the command line in ``sys.argv``."""
    command, arguments = (sys.argv[1:] or ["--help"])[0], sys.argv[2:]
    # Each command imports what it needs: a program that is run is to find as few modules loaded as
    # possible.
    if command == "run":
        from rthread import _cli

        del sys.argv[1]
        _cli.main(f"{_NAME} run")
    elif command in ("dump", "top"):
        from rthread.debug import _commands

        sys.exit(_commands.main([command, *arguments], _NAME))
    elif command in ("-h", "--help", "--version"):
        if arguments:
            _refuse(f"{command} takes no arguments")
        print(f"rthread {rthread.__version__}" if command == "--version" else USAGE)
    elif command.startswith("-"):
        _refuse(f"unknown option {command}")
    else:
        _refuse(f"unknown command {command}; a program is run by {_NAME} run")


def _refuse(reason: str) -> None:
    print(f"rthread: {reason}; see {_NAME} --help", file=sys.stderr)
    sys.exit(2)
