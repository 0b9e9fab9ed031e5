"""Non-daemon threads are waited for at exit, each in its turn with the hooks around it.

`threading._register_atexit` comes first, then the threads are waited for, then `atexit`. The
threads are started through both modules, and one of them starts another one while the interpreter
waits already; none may end before the hooks that let them go have run.
"""

from __future__ import annotations

import atexit
import sys
import threading as plain
from collections.abc import Callable
from typing import Any

from chosen import say, threading

let_go = {name: plain.Event() for name in ("first", "second", "third")}


def wait_for(name: str, then: Callable[[], object]) -> None:
    let_go[name].wait()
    # It is over before the threads are waited for, or none of them would ever go on.
    plain.main_thread().join()
    say("thread", name, "goes")
    then()


def start(module: Any, name: str, then: Callable[[], object]) -> None:
    module.Thread(target=wait_for, args=(name, then), daemon=False).start()


def main() -> None:
    atexit.register(say, "atexit, registered first")
    atexit.register(say, "atexit, registered last")

    # A chain through both modules: each thread lets the next one go, and the last is started late.
    def start_last() -> None:
        start(threading, "third", lambda: say("all threads are over"))
        let_go["third"].set()

    start(plain, "first", let_go["second"].set)
    start(threading, "second", start_last if sys.argv[1] == "late" else lambda: None)

    threading._register_atexit(lambda: let_go["first"].set())
    threading._register_atexit(say, "shutdown hook, registered last")
    plain._register_atexit(  # type: ignore[attr-defined]
        say, "shutdown hook, registered last of all"
    )
    say("main ends, threads:", threading.active_count())


if __name__ == "__main__":
    main()
    if sys.argv[2] == "raise":
        raise RuntimeError("the end of the main thread")
    if sys.argv[2] == "exit":
        sys.exit(3)
