"""All proofs, in the order in which they run and are shown."""

from __future__ import annotations

from collections.abc import Iterable
from importlib import import_module

from .proof import Proof

MODULES: list[str] = [
    "stress",
    "alarms",
    "exits",
    "forks",
    "signals",
    "limits",
    "leaks",
    "subinterpreters",
    "bad_input",
]


def proofs(names: Iterable[str] = ()) -> list[Proof]:
    """The proofs of these names; all, if there are none.

    Raises:
        KeyError: for a name that no proof has.
    """
    found = {
        proof.name: proof
        for module in MODULES
        for proof in vars(import_module(f"reliability.{module}")).values()
        if isinstance(proof, Proof)
    }
    return [found[name] for name in names] or list(found.values())
