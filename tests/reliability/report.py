"""Figures as JSON, and as a Markdown table with a column for each interpreter."""

from __future__ import annotations

import json
import platform
import sys
import sysconfig
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from .paths import RESULTS
from .proof import Figure, Proof, as_json


def interpreter() -> str:
    """Which interpreter this is, told apart from others of its version."""
    build = "t" * bool(sysconfig.get_config_var("Py_GIL_DISABLED"))
    by = " (Debian)" if "/usr/bin" in sys._base_executable else ""  # type: ignore[attr-defined]
    return f"{platform.python_version()}{build}{by}"


def write(folder: Path, proof: Proof, count: int, figures: Sequence[Figure]) -> None:
    """Add a proof's figures to what is known of this interpreter."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / RESULTS
    known: dict[str, Any] = {}
    if path.exists():
        known = json.loads(path.read_text(encoding="utf-8"))
    known["interpreter"] = interpreter()
    known["version"] = list(sys.version_info[:3])
    known.setdefault("proofs", {})[proof.name] = {
        "what": proof.what,
        "count": count,
        "unit": proof.unit,
        "figures": as_json(list(figures)),
    }
    path.write_text(json.dumps(known, indent=1) + "\n", encoding="utf-8")


def table(folder: Path) -> str:
    """The Markdown table of all results found under a folder: a row for each figure."""
    results = [json.loads(file.read_text(encoding="utf-8")) for file in folder.rglob(RESULTS)]
    results.sort(key=lambda result: (result["version"], result["interpreter"]))
    rows: dict[tuple[str, str], dict[str, str]] = {}
    for result in results:
        for name, proof in result["proofs"].items():
            for figure in proof["figures"]:
                row = rows.setdefault((name, _words(figure)), {})
                row[result["interpreter"]] = _cell(figure)
    columns = [result["interpreter"] for result in results]
    lines = [
        _line(["", "", *columns]),
        _line(["---", "---", *("---:" for _ in columns)]),
    ]
    before = ""
    # The figures of a proof in one place, also where an interpreter has more of them than others.
    order = list(dict.fromkeys(name for name, _ in rows))
    for (name, words), cells in sorted(rows.items(), key=lambda row: order.index(row[0][0])):
        values = [cells.get(column, "") for column in columns]
        lines.append(_line([name if name != before else "", words, *values]))
        before = name
    return "".join(lines)


def _words(figure: dict[str, Any]) -> str:
    unit = f", {figure['unit']}" if figure["unit"] else ""
    wanted = f" ({figure['wanted']})" if figure["wanted"] else ""
    return f"{figure['name']}{unit}{wanted}"


def _cell(figure: dict[str, Any]) -> str:
    value = figure["value"]
    text = f"{value:,.0f}" if value == int(value) or abs(value) >= 1000 else f"{value:.3g}"
    return text if figure["ok"] else f"**{text}**"


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |\n"
