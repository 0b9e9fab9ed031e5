"""One table of the results of several interpreters, for the README.

python -m benches.summary build/*/bench.json
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any


def heading(result: dict[str, Any]) -> str:
    """The interpreter and how it was built."""
    machine = result["machine"]
    free_threaded = "t" if machine["gil"] == "free-threaded" else ""
    return f"{machine['python']}{free_threaded} ({machine['build']})"


def duration(seconds: float) -> str:
    """In the unit in which it has two or three digits before the point."""
    for unit, scale in (("ns", 1e-9), ("µs", 1e-6)):
        if seconds < scale * 1000:
            return f"{seconds / scale:.3g} {unit}"
    return f"{seconds * 1e3:.3g} ms"


def rows(results: list[dict[str, Any]]) -> dict[str, list[str]]:
    """By operation, a cell for each interpreter: the ratio, and rthread's figure."""
    table: dict[str, list[str]] = {}

    def put(name: str, ratio: float, figure: str) -> None:
        table.setdefault(name, []).append(f"**{ratio:.2f}** ({figure})")

    for result in results:
        for name, sides in result["operations"].items():
            put(name, sides["stock"] / sides["rthread"], duration(sides["rthread"]))
        for threads, sides in result["contention"].items():
            stock, ours = (sides[side]["per_second"] for side in ("stock", "rthread"))
            fairness = sides["rthread"]["fairness"]
            figure = f"{ours / 1e6:.1f} million/s, fairness {fairness:.2f}"
            put(f"one lock, {threads} threads", ours / stock, figure)
        size = result["sizes"]["lock"]
        put("size of a lock", size["stock"] / size["rthread"], f"{size['rthread']} bytes")
    return table


def main(paths: list[str]) -> None:
    """Print the table."""
    results = [json.loads(Path(path).read_text(encoding="utf-8")) for path in paths]
    print("| |", " | ".join(heading(result) for result in results), "|")
    print("|---|" + "---:|" * len(results))
    for name, cells in rows(results).items():
        print(f"| {name} |", " | ".join(cells), "|")
    imports = [duration(result["import"]["rthread"]) for result in results]
    print("| `import rthread` |", " | ".join(imports), "|")


if __name__ == "__main__":
    main(sys.argv[1:])
