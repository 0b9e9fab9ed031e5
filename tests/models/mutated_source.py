"""A copy of the source that holds every mutant at once, asleep until `RTHREAD_MUTANT` names it.

So one build serves them all, and the source itself knows nothing of them.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from .mutants import MUTANTS, Mutant

ROOT = Path(__file__).parents[2]
PARTS = (
    "Cargo.toml",
    "Cargo.lock",
    "build.rs",
    "src",
    "tests/loom",
    "tests/models",
    "tests/shuttle",
    "tests/sync",
)

CHOICE = """
/// Whether this mutant has been chosen.
pub(crate) fn is_broken(mutant: &str) -> bool {
    use std::sync::OnceLock;
    static CHOSEN: OnceLock<String> = OnceLock::new();
    mutant == CHOSEN.get_or_init(|| std::env::var("RTHREAD_MUTANT").unwrap_or_default())
}
"""


def make_copy(folder: Path) -> None:
    """Writes the copy into `folder`. Raises ValueError if a mutant does not fit the source."""
    shutil.rmtree(folder, ignore_errors=True)
    for part in PARTS:
        source, target = ROOT / part, folder / part
        if source.is_dir():
            shutil.copytree(source, target)
        else:
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(source, target)
    # Broken code looks odd, and that is not what we want to hear of.
    crate = folder / "src" / "lib.rs"
    crate.write_text("#![allow(warnings)]\n" + crate.read_text())
    sync = folder / "src" / "sync"
    for file in {mutant.file for mutant in MUTANTS}:
        _break(sync / file, [mutant for mutant in MUTANTS if mutant.file == file])
    primitive = sync / "primitive.rs"
    primitive.write_text(primitive.read_text() + CHOICE)


def _break(path: Path, mutants: list[Mutant]) -> None:
    text = path.read_text()
    places = sorted(((_place(text, mutant), mutant) for mutant in mutants), reverse=True)
    before = len(text)
    for place, mutant in places:
        end = place + len(mutant.old)
        if end > before:
            raise ValueError(f"{mutant.name}: another mutant is at the same place")
        before = place
        text = text[:place] + _choose(mutant) + text[end:]
    path.write_text(text)


def _place(text: str, mutant: Mutant) -> int:
    """Where the piece of source is that the mutant replaces."""
    near = mutant.near or mutant.old
    for piece, whole in ((near, text), (mutant.old, near)):
        if whole.count(piece) != 1:
            raise ValueError(f"{mutant.name}: {piece!r} is there {whole.count(piece)} times")
    return text.index(near) + near.index(mutant.old)


def _choose(mutant: Mutant) -> str:
    condition = f'crate::sync::primitive::is_broken("{mutant.name}")'
    choice = f"if {condition} {{ {mutant.new} }} else {{ {mutant.old} }}"
    return choice if mutant.old.endswith(";") else f"({choice})"
