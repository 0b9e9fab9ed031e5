"""Starts an interactive session, as ``python -`` does at a terminal.

The session itself is the interpreter's own. How it edits lines, colours them, or shows source lines
in tracebacks differs with every version, and up to 3.12 it is written in C and out of reach. But
when a program has ended, the interpreter starts a session in ``__main__`` if the program has set
PYTHONINSPECT. So this module does everything that comes before the first prompt, and sets the
variable.
"""

import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

__all__ = ["is_wanted", "start"]

_VARIABLE = "PYTHONINSPECT"


def is_wanted() -> bool:
    """Tell whether standard input is a terminal, or is to be treated as one."""
    return bool(sys.flags.interactive) or (sys.stdin is not None and sys.stdin.isatty())


def start(
    names: "dict[str, Any]",
    run_startup: "Callable[[str, dict[str, Any]], None]",
    show: "Callable[[BaseException], None]",
) -> None:
    """Do everything that comes before the first prompt, and let the session begin.

    Args:
        names: the namespace of the new ``__main__``.
        run_startup: a function that runs the file in PYTHONSTARTUP.
        show: a function that prints an exception.
    """
    if not sys.flags.quiet or sys.flags.verbose:
        _greet()
    if not sys.flags.isolated:
        _import_readline()
    startup = None if sys.flags.ignore_environment else os.environ.get("PYTHONSTARTUP")
    if startup:
        run_startup(startup, names)
    _run_hook(show)
    sys.audit("cpython.run_stdin")
    if sys.flags.inspect or (sys.version_info < (3, 13) and not sys.flags.ignore_environment):
        if startup and sys.version_info >= (3, 13):
            _keep_from_startup()
        _arrange_session()
    else:
        _converse(names)


def _greet() -> None:
    print(f"Python {sys.version} on {sys.platform}", file=sys.stderr)
    if not sys.flags.no_site:
        print(
            'Type "help", "copyright", "credits" or "license" for more information.',
            file=sys.stderr,
        )
    sys.stderr.flush()


def _import_readline() -> None:
    for name in ("readline", "rlcompleter"):
        try:
            __import__(name)
        except ImportError:
            pass


def _run_hook(show: "Callable[[BaseException], None]") -> None:
    hook = getattr(sys, "__interactivehook__", None)
    if hook is None:
        return
    sys.audit("cpython.run_interactivehook", hook)
    try:
        hook()
    except SystemExit:
        raise
    except BaseException as error:
        print("Failed calling sys.__interactivehook__", file=sys.stderr)
        show(error)


def _arrange_session() -> None:
    """Let the interpreter start a session when this program is done.

    Before the session the interpreter calls the hook once more. That call undoes the changes.
    """
    before: dict[str, Any] = {
        name: value for name, value in vars(sys).items() if name == "__interactivehook__"
    }
    was_set = os.environ.get(_VARIABLE)

    def clean_up() -> None:
        if was_set is None:
            os.environ.pop(_VARIABLE, None)
        else:
            os.environ[_VARIABLE] = was_set
        del sys.__interactivehook__
        vars(sys).update(before)

    sys.__interactivehook__ = clean_up
    os.environ[_VARIABLE] = "1"


def _keep_from_startup() -> None:
    """Keep the new prompt from running PYTHONSTARTUP once more in its next session.

    Some releases run it in a session that follows a program.
    """
    prompt = _prompt()
    if prompt is None:
        return
    original = prompt.interactive_console

    def interactive_console(
        mainmodule: "Any" = None, quiet: bool = False, pythonstartup: bool = False
    ) -> None:
        prompt.interactive_console = original
        original(mainmodule, quiet, False)

    prompt.interactive_console = interactive_console


def _converse(names: "dict[str, Any]") -> None:
    """Run the session here.

    From 3.13 on the prompt is in Python, and in some releases a session after the program would
    lose the exit status. Up to 3.12 this is for -E, with which the interpreter reads no variable.
    """
    if sys.version_info < (3, 13):
        import code

        code.InteractiveConsole(names, "<stdin>").interact("", exitmsg="")
        return
    is_basic = not sys.flags.ignore_environment and os.environ.get("PYTHON_BASIC_REPL")
    prompt = None if is_basic else _prompt()
    if prompt is None:
        sys._baserepl()
    else:
        prompt.interactive_console(sys.modules["__main__"])


def _prompt() -> "Any":
    try:
        # Not an import statement: type checkers do not know the module, and earlier versions have
        # none.
        return __import__("_pyrepl.main", fromlist=["main"])
    except ImportError:
        return None
