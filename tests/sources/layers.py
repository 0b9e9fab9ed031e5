"""layers.py [SRC]: fails on an import against the layers of `src/`, and on a circle among folders.

A file uses its own layer and those before it in `LAYERS`. Files of one folder may need each other;
files of different folders may not.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path

LAYERS = ("sync", "capi", "runtime", "thread_module", "threading", "debug", "module")
SRC = Path(__file__).resolve().parents[2] / "src"

Graph = dict[str, set[str]]


def modules(src: Path) -> dict[str, Path]:
    """The files of a crate by the paths of their modules, without the root."""
    found = {}
    for path in sorted(src.rglob("*.rs")):
        parts = path.relative_to(src).with_suffix("").parts
        if parts[-1] == "mod":
            parts = parts[:-1]
        if parts != ("lib",):
            found["::".join(parts)] = path
    return found


def imports(src: Path) -> Graph:
    """Which modules each module names, in a `use` or in its code."""
    known = modules(src)
    graph: Graph = {}
    for module, path in known.items():
        named = {_file_of(path, known) for path in _paths(module, path.read_text("utf-8"), known)}
        graph[module] = {name for name in named if name and name != module}
    return graph


def _file_of(path: str, known: dict[str, Path]) -> str | None:
    """The longest beginning of a path that is a file."""
    while path and path not in known:
        path = path.rpartition("::")[0]
    return path or None


def _paths(module: str, text: str, known: dict[str, Path]) -> Iterator[str]:
    """The absolute paths that a file names, without `crate`."""
    text = re.sub(r"//[^\n]*", "", text)
    for use in re.finditer(r"\buse\s+([^;]+);", text):
        for path in _leaves("", use.group(1)):
            yield from _absolute(module, path, known)
    code = re.sub(r"\buse\s+[^;]+;", "", text)
    for found in re.finditer(r"(?<![\w:])(?:crate|super|self)(?:::\w+)+", code):
        yield from _absolute(module, found.group(), known)


def _leaves(prefix: str, tree: str) -> Iterator[str]:
    """The paths of a `use`, whose groups may be nested."""
    depth, begun = 0, 0
    for index, char in enumerate(tree + ","):
        depth += (char == "{") - (char == "}")
        if char != "," or depth:
            continue
        item, begun = tree[begun:index].strip(), index + 1
        group = re.fullmatch(r"([^{]*)\{(.*)\}", item, re.DOTALL)
        if group:
            yield from _leaves(prefix + group.group(1).strip(), group.group(2))
        elif item:
            yield prefix + re.split(r"\s+as\s+", item)[0].removesuffix("::self")


def _absolute(module: str, path: str, known: dict[str, Path]) -> Iterator[str]:
    first, _, rest = path.partition("::")
    if first == "crate":
        yield rest
        return
    at = module.split("::")
    if first == "self":
        yield "::".join([*at, rest])
    elif first == "super":
        while path.startswith("super::") and at:
            at, path = at[:-1], path.removeprefix("super::")
        yield "::".join([*at, path])
    elif f"{module}::{first}" in known:
        yield f"{module}::{path}"


def upward(graph: Graph) -> list[str]:
    """What is said of each import of a later layer."""
    found = []
    for module, named in sorted(graph.items()):
        layer = module.partition("::")[0]
        for name in sorted(named):
            other = name.partition("::")[0]
            if LAYERS.index(other) > LAYERS.index(layer):
                found.append(f"{module} uses {name}, which is in a later layer")
    return found


def circles(graph: Graph, src: Path) -> list[str]:
    """What is said of files of different folders that need each other."""
    folders = {module: path.parent for module, path in modules(src).items()}
    reached = {module: _reach(graph, module) for module in graph}
    found = set()
    for module, named in graph.items():
        for name in named:
            if folders[module] != folders[name] and module in reached[name]:
                found.add(f"{module} uses {name}, which needs it in turn")
    return sorted(found)


def _reach(graph: Graph, start: str) -> set[str]:
    reached: set[str] = set()
    left = [start]
    while left:
        for name in graph[left.pop()] - reached:
            reached.add(name)
            left.append(name)
    return reached


def main(src: Path = SRC) -> int:
    graph = imports(src)
    strangers = {module.partition("::")[0] for module in graph} - set(LAYERS)
    found = [f"{name} is in no layer" for name in sorted(strangers)]
    if not found:
        found = upward(graph) + circles(graph, src)
    for line in found:
        print(line)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(*map(Path, sys.argv[1:])))
