"""What `threading` knows of threads: their objects, read without its lock."""

from rthread.debug import _safe

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

__all__ = ["Known", "known_threads"]


class Known:
    """What `threading` knows of threads."""

    __slots__ = ("by_ident", "main", "starting")

    def __init__(self) -> None:
        #: The Thread objects by ident, in the order in which the threads have started.
        self.by_ident: dict[int, Any] = {}
        #: The Thread objects of threads that do not run yet.
        self.starting: list[Any] = []
        #: The ident of the main thread, 0 if it is not known.
        self.main = 0


def known_threads() -> Known:
    """Read the tables of `threading`, without its lock."""
    known = Known()
    starting = []
    for module in ("threading", "rthread.threading"):
        names = _safe.namespace(module)
        active, limbo = names.get("_active"), names.get("_limbo")
        if type(active) is dict:
            known.by_ident.update(list(active.items()))
        if type(limbo) is dict:
            starting += list(limbo.values())
        main = _safe.attributes(names.get("_main_thread")).get("_ident")
        if type(main) is int:
            known.main = main
    # A thread enters one table before it leaves the other one.
    seen = {id(thread) for thread in known.by_ident.values()}
    known.starting = list({id(t): t for t in starting if id(t) not in seen}.values())
    return known
