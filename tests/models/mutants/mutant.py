"""What a mutant is."""

from typing import NamedTuple

RELAXED = "Ordering::Relaxed"


class Mutant(NamedTuple):
    """One way to break one property."""

    name: str
    """Of what it breaks, and how: unique."""
    file: str
    """In src/sync."""
    old: str
    new: str
    models: tuple[str, ...]
    """Those under loom that must fail, each by itself."""
    near: str = ""
    programs: tuple[str, ...] = ()
    """Those under shuttle that must fail as well."""
