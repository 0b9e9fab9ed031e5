"""Links of the documents lead to files and headings that exist."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
DOCUMENTS = [
    *sorted(ROOT.glob("*.md")),
    *sorted((ROOT / "docs").glob("*.md")),
    *sorted((ROOT / "examples").rglob("*.md")),
    *sorted((ROOT / "tests").glob("*.md")),
]

_CODE = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)
_SPAN = re.compile(r"`[^`\n]*`")
_LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
_HEADING = re.compile(r"^#+ +(.*)$", re.MULTILINE)


def prose_of(document: Path) -> str:
    """A document without its blocks of code."""
    return _CODE.sub("", document.read_text("utf-8"))


@cache
def anchors_of(document: Path) -> set[str]:
    """The anchors that GitHub gives to the headings of a document."""
    anchors: set[str] = set()
    for heading in _HEADING.findall(prose_of(document)):
        words = re.sub(r"[^\w\- ]", "", heading.replace("`", "").lower()).replace(" ", "-")
        number = 0
        anchor = words
        while anchor in anchors:
            number += 1
            anchor = f"{words}-{number}"
        anchors.add(anchor)
    return anchors


def broken_links(document: Path) -> list[str]:
    broken = []
    for target in _LINK.findall(_SPAN.sub("", prose_of(document))):
        if "://" in target:
            continue
        path, _, anchor = target.partition("#")
        file = (document.parent / path).resolve() if path else document
        if not file.exists() or (anchor and anchor not in anchors_of(file)):
            broken.append(target)
    return broken


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_links_lead_somewhere(document: Path) -> None:
    assert broken_links(document) == []


def test_a_broken_link_is_found(tmp_path: Path) -> None:
    document = tmp_path / "a.md"
    document.write_text(
        "# One `two`: three!\n## One `two`: three!\n[a](#one-two-three) [b](#one-two-three-1)\n"
        "[c](#one-two-three-2) [d](a.md#one) [e](a.md) [f\ng](b.md) [h](https://example.org/x)\n"
        "```\n[i](c.md)\n```\n`[j](d.md)`\n"
    )

    assert broken_links(document) == ["#one-two-three-2", "a.md#one", "b.md"]
