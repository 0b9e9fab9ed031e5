"""Runs a program as the interpreter does when the program is named on its own command line.

The program gets a ``__main__`` module, ``sys.argv`` and ``sys.path`` of its own. An exception that
it raises is shown without the frames of this package. The exception then goes on to the
interpreter, because only that can end the process with the right status, or by the signal after
Ctrl-C.
"""

import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from types import CodeType, TracebackType
    from typing import Any, NoReturn

__all__ = ["run_code", "run_module", "run_path", "run_standard_input"]

# The size of the header before the code object in a .pyc file: magic number, flags, and either time
# and size of the source or a hash of it.
_PYC_HEADER_BYTES = 16


def run_path(path: str, arguments: list[str]) -> None:
    """Run a script, or the ``__main__`` module in a directory or a zip file."""
    sys.argv = [path, *arguments]
    # The interpreter makes the path absolute too, and does not normalise it either.
    absolute = os.path.join(os.getcwd(), path)
    if _is_import_path_entry(absolute):
        # With -P too, because the user has named this place to import from.
        _set_first_of_path(absolute, even_if_safe=True)
        _run(lambda _names: _run_as_main("__main__", False))
    else:
        _set_first_of_path(os.path.dirname(os.path.realpath(path)))
        _run(lambda names: _run_file(absolute, names))


def run_module(name: str, arguments: list[str]) -> None:
    """Run a module by its name, as ``python -m`` does."""
    sys.audit("cpython.run_module", name)
    sys.argv = ["-m", *arguments]
    _set_first_of_path(os.getcwd())
    _run(lambda _names: _run_as_main(name, True))


def run_code(source: str, arguments: list[str]) -> None:
    """Run a piece of code, as ``python -c`` does."""
    # The interpreter adds a newline to the code before the audit hooks see it.
    sys.audit("cpython.run_command", source + "\n")
    sys.argv = ["-c", *arguments]
    _set_first_of_path("")
    _run(lambda names: _run_source(source, names))


def run_standard_input(_name: str, arguments: list[str]) -> None:
    """Run the program on standard input, or an interactive session if that is a terminal."""
    # Not at the top: other programs do not need it.
    from rthread import _session

    sys.argv = ["-", *arguments]
    _set_first_of_path("")
    if _session.is_wanted():
        _session.start(_fresh_main(), _run_startup, _show_without_own_frames)
    else:
        sys.audit("cpython.run_stdin")
        _run(_run_stdin)


def _run_startup(path: str, names: "dict[str, Any]") -> None:
    """Run a file in the module of a session. An exception does not end the session."""
    import importlib.machinery

    sys.audit("cpython.run_startup", path)
    try:
        with open(path, "rb") as file:
            content = file.read()
    except OSError as error:
        print("Could not open PYTHONSTARTUP", file=sys.stderr)
        _show_without_own_frames(error)
        return
    names["__loader__"] = importlib.machinery.SourceFileLoader("__main__", path)
    _name_file(path, names)
    try:
        exec(_compile(content, path), names)
    except SystemExit:
        raise
    except BaseException as error:
        _show_without_own_frames(error)
    _forget_file(names)


def _show_without_own_frames(error: BaseException) -> None:
    traceback = _without_own_frames(error.__traceback__)
    own = "rthread._session"
    while traceback is not None and traceback.tb_frame.f_globals.get("__name__") == own:
        traceback = traceback.tb_next
    error.__traceback__ = traceback
    _show(error)


def _set_first_of_path(entry: str, even_if_safe: bool = False) -> None:
    # "python -m rthread" has put the current directory there, unless -P or -I forbids it.
    if not getattr(sys.flags, "safe_path", sys.flags.isolated):
        sys.path[0] = entry
    elif even_if_safe:
        sys.path.insert(0, entry)


def _is_import_path_entry(path: str) -> bool:
    if path not in sys.path_importer_cache:
        sys.path_importer_cache[path] = None
        for hook in sys.path_hooks:
            try:
                sys.path_importer_cache[path] = hook(path)
            except ImportError:
                continue
            break
    return sys.path_importer_cache[path] is not None


def _run(start: "Callable[[dict[str, Any]], None]") -> None:
    names = _fresh_main()
    failure = None
    try:
        start(names)
    except BaseException as error:
        failure = error
    # Outside of the handler, so that no exception is being handled when an exception hook is
    # called.
    if failure is None:
        _forget_file(names)
    else:
        _pass_on(failure, names)


def _fresh_main() -> "dict[str, Any]":
    """Make a ``__main__`` module like the one that the interpreter starts with."""
    module = type(sys)("__main__")
    names: dict[str, Any] = vars(module)
    names["__loader__"] = sys.modules["builtins"].__loader__
    if sys.version_info < (3, 14):
        names["__annotations__"] = {}
    names["__builtins__"] = sys.modules["builtins"]
    sys.modules["__main__"] = module
    return names


def _name_file(path: str, names: "dict[str, Any]") -> None:
    names["__file__"] = path
    if sys.version_info < (3, 15):
        names["__cached__"] = None


def _forget_file(names: "dict[str, Any]") -> None:
    # The interpreter removes the names that it set for the run, but not those that -m has set.
    if names.get("__spec__") is None:
        names.pop("__file__", None)
        names.pop("__cached__", None)


def _run_as_main(name: str, alter_argv: bool) -> None:
    import runpy

    runpy._run_module_as_main(name, alter_argv)  # type: ignore[attr-defined]


def _run_file(path: str, names: "dict[str, Any]") -> None:
    # Not "from importlib.machinery import": that looks up __path__, and the module then runs code
    # of its own that imports warnings.
    import importlib.machinery
    import importlib.util
    import io

    sys.audit("cpython.run_file", path)
    try:
        with io.open_code(path) as file:
            content = file.read()
    except OSError as error:
        program = sys.orig_argv[0]
        reason = f"[Errno {error.errno}] {error.strerror}"
        print(f"{program}: can't open file {path!r}: {reason}", file=sys.stderr)
        sys.exit(2)
    machinery, magic = importlib.machinery, importlib.util.MAGIC_NUMBER
    is_compiled = path.endswith(".pyc") or content[:2] == magic[:2]
    loader = machinery.SourcelessFileLoader if is_compiled else machinery.SourceFileLoader
    names["__loader__"] = loader("__main__", path)
    _name_file(path, names)
    code = _load_pyc(content, magic) if is_compiled else _compile(content, path)
    exec(code, names)


def _load_pyc(content: bytes, magic_number: bytes) -> "CodeType":
    import contextlib
    import marshal
    import types

    header = content[:_PYC_HEADER_BYTES]
    if len(header) < _PYC_HEADER_BYTES and sys.version_info >= (3, 13):
        raise EOFError("EOF read where not expected")
    if not header.startswith(magic_number):
        raise RuntimeError("Bad magic number in .pyc file")
    code = None
    with contextlib.suppress(EOFError, ValueError, TypeError):
        code = marshal.loads(content[_PYC_HEADER_BYTES:])
    if not isinstance(code, types.CodeType):
        raise RuntimeError("Bad code object in .pyc file")
    return code


def _run_stdin(names: "dict[str, Any]") -> None:
    with open(0, "rb", closefd=False) as file:
        content = file.read()
    _name_file("<stdin>", names)
    exec(_compile(content, "<stdin>"), names)


def _run_source(source: str, names: "dict[str, Any]") -> None:
    try:
        source.encode()
    except UnicodeEncodeError:
        print("Unable to decode the command from the command line:", file=sys.stderr)
        raise
    if sys.version_info >= (3, 14):
        source = _dedent(source)
    code = _compile(source, "<string>")
    if sys.version_info >= (3, 13):
        # This lets tracebacks show the lines of the code, which are in no file.
        import linecache

        # 3.13.0 keeps the lines by the name of the file, later releases by code object.
        key = code if hasattr(linecache, "_interactive_cache") else "<string>"
        linecache._register_code(key, source, "<string>")  # type: ignore[attr-defined]
    exec(code, names)


def _dedent(source: str) -> str:
    # textwrap.dedent does the same, but would import re into every program.
    lines = source.split("\n")
    filled = [line for line in lines if line and not line.isspace()]
    # A beginning that the first and the last line in sorted order share is shared by all lines.
    first, last = min(filled, default=""), max(filled, default="")
    margin = 0
    while first[margin : margin + 1] in (" ", "\t") and first[margin] == last[margin]:
        margin += 1
    if margin == 0:
        return source
    return "\n".join("" if line.isspace() else line[margin:] for line in lines)


def _compile(source: "str | bytes", name: str) -> "CodeType":
    code: CodeType = compile(source, name, "exec", dont_inherit=True)
    return code


def _pass_on(error: BaseException, names: "dict[str, Any]") -> "NoReturn":
    """Show an exception without the frames above the program, and let the interpreter end."""
    shown = error.__traceback__ = _without_own_frames(error.__traceback__)
    # With -i the interpreter shows even a SystemExit, and goes on.
    if isinstance(error, SystemExit) and not sys.flags.inspect:
        raise error
    try:
        _show(error)
    except SystemExit:
        raise
    except BaseException as failure:
        _show_failed_hook(failure, error)
    _forget_file(names)
    _be_silent_about(error, shown)
    raise error


def _without_own_frames(traceback: "TracebackType | None") -> "TracebackType | None":
    while traceback is not None and traceback.tb_frame.f_globals is globals():
        traceback = traceback.tb_next
    return traceback


def _show(error: BaseException) -> None:
    """Show an exception as the interpreter does if nothing has caught it."""
    traceback = error.__traceback__
    _set_last(error, traceback)
    if not hasattr(sys, "excepthook"):
        print("sys.excepthook is missing", file=sys.stderr)
        sys.__excepthook__(type(error), error, traceback)
        return
    sys.audit("sys.excepthook", sys.excepthook, type(error), error, traceback)
    sys.excepthook(type(error), error, traceback)


def _set_last(error: BaseException, traceback: "TracebackType | None") -> None:
    if sys.version_info >= (3, 12):
        sys.last_exc = error
    sys.last_type, sys.last_value, sys.last_traceback = type(error), error, traceback


def _show_failed_hook(failure: BaseException, error: BaseException) -> None:
    failure.__traceback__ = _without_own_frames(failure.__traceback__)
    print("Error in sys.excepthook:", file=sys.stderr)
    sys.__excepthook__(type(failure), failure, failure.__traceback__)
    print("\nOriginal exception was:", file=sys.stderr)
    sys.__excepthook__(type(error), error, error.__traceback__)


def _be_silent_about(error: BaseException, shown: "TracebackType | None") -> None:
    """Keep the interpreter from showing the exception again.

    When the interpreter gets the exception, its traceback has the frames of this package as well.
    Code that runs later, such as an atexit callback or a debugger after -i, is to find the
    traceback that was shown.
    """
    before = vars(sys).get("excepthook")

    def hook(*_: object) -> None:
        error.__traceback__ = shown
        _set_last(error, shown)
        if before is not None:
            sys.excepthook = before
        else:
            del sys.excepthook

    sys.excepthook = hook
