"""A process that runs cases, each in a fork of its own: `python case_server.py stock`.

It reads a request a line, and answers with a line: the output, the exit status and the errors.
The fork happens while there is one thread, so a case meets what a program meets at its start.
It ends as a program does, by the interpreter's finalization.
"""

from __future__ import annotations

import functools
import importlib
import json
import os
import signal
import sys
import time
import types
from typing import Any

# Imported once, after rthread is in place, for all cases that use them.
SHARED = (
    "case_support",
    "copy",
    "inspect",
    "pickle",
    "pprint",
    "pydoc",
    "queue",
    "threading",
    "typing",
)


def serve(answers: Any) -> None:
    for line in sys.stdin:
        request = json.loads(line)
        code = _compiled(request["file"])
        sys.stdout.flush()
        pid = os.fork()
        if pid == 0:
            answers.close()
            _become(request, code)
            return
        status = _wait(pid, request["limit"])
        print(json.dumps(status), file=answers, flush=True)


@functools.cache
def _compiled(path: str) -> types.CodeType:
    with open(path, encoding="utf-8") as file:
        return compile(file.read(), path, "exec")


def _become(request: dict[str, Any], code: types.CodeType) -> None:
    """In the child: run the case as `__main__` would."""
    os.setpgid(0, 0)
    for name, number, mode in (
        (os.devnull, 0, os.O_RDONLY),
        (request["out"], 1, os.O_WRONLY | os.O_TRUNC | os.O_CREAT),
        (request["err"], 2, os.O_WRONLY | os.O_TRUNC | os.O_CREAT),
    ):
        file = os.open(name, mode)
        os.dup2(file, number)
        os.close(file)
    os.environ["CASE"] = request["mode"]
    sys.argv = [request["file"]]
    main = types.ModuleType("__main__")
    main.__file__ = request["file"]
    sys.modules["__main__"] = main
    sys.path.insert(0, os.path.dirname(request["file"]))
    exec(code, main.__dict__)
    main.__dict__[request["case"]](*request["args"])


def _wait(pid: int, limit: float) -> int | None:
    """The exit status of a child, or None for one that hangs and is killed."""
    deadline = time.monotonic() + limit
    pause = 0.0005
    while time.monotonic() < deadline:
        ended, status = os.waitpid(pid, os.WNOHANG)
        if ended:
            return os.waitstatus_to_exitcode(status)
        time.sleep(pause)
        pause = min(0.005, pause * 1.3)
    # With faulthandler, this makes the child write the stacks of all its threads.
    for number in (signal.SIGABRT, signal.SIGKILL):
        try:
            os.killpg(pid, number)
        except OSError:
            os.kill(pid, number)
        time.sleep(0.3)
    os.waitpid(pid, 0)
    return None


if __name__ == "__main__":
    if sys.argv[1] == "queue":
        import rthread

        rthread.install(queue=True)
    for _name in (*SHARED, "unittest.mock"):
        importlib.import_module(_name)
    _answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    serve(_answers)
