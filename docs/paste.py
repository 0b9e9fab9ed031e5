"""Puts real output into the documents, so that what they show is what the programs print.

    python docs/paste.py                 run the commands of all documents, and write what is new
    python docs/paste.py --check         write nothing; status 1 if a document would change
    python docs/paste.py docs/pytest.md  these documents only

Before a block of code a comment says where its text comes from:

    <!-- output: rthread dump PID
    background: RTHREAD=1 python two_accounts.py
    after: Deadlock
    status: 3 -->

`output` is a command; several are run one after the other. `source` is a program of
examples/debugging. `session` stands for the lines with ``>>>`` that the block has already. `part`
is the text of another block of the document, by its `name`. The other words:

    background  a command that runs meanwhile; PID in `output` stands for its process
    after       run `output` when ``rthread dump`` of that process has this text
    ends        run no longer than so many seconds
    shows       "text": the commands themselves are left out; "background": the text is what the
                command in the background has written, when this has the text `until`
    status      the exit status of the last command, 0 if left out
    use         "A as B": the program A is there under the name B
    from, to    regular expressions: the text is from one line to the other one, inclusive
    without     a regular expression: lines that have it are left out
    seconds     how long waits have lasted, according to the text
    name        a name for this block, for parts of its text elsewhere in the document
    hidden      lines that a session runs first

Numbers that differ from run to run are replaced by some that do not: processes, identifiers,
addresses, and times. So are the folders of this machine. A command runs in a folder that has the
programs of examples/debugging, with the interpreter that runs this script. It has to be CPython
3.14 with a GIL: other versions print other lines, and stacks can be read from outside from 3.13 on
only.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable

ROOT = Path(__file__).resolve().parents[1]
EXAMPLES = ROOT / "examples" / "debugging"
DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]

VERSION = (3, 14)

_KEYS = (
    *(
        "output",
        "source",
        "session",
        "part",
        "name",
        "background",
        "after",
        "ends",
        "shows",
        "until",
    ),
    *("status", "use", "from", "to", "without", "seconds", "hidden"),
)
_MARKER = re.compile(r"<!-- (?:output|source|session|part)\b")

# So long a command may take, and so often it is run before a difference counts: which of two
# threads comes first is a matter of chance.
_HANG = 60.0
_TRIES = 7

_FIRST_PID = 4242
_FIRST_IDENT = 140300112512832
# What lies between the stacks of two threads.
_IDENT_STEP = 8392704
_FIRST_ADDRESS = 0x7F3C2AD0C140
_ADDRESS_STEP = 0x80

# Where the numbers of processes and threads stand: the digits are the group.
_NATIVE_IDS = re.compile(
    r"(?:native id |process |native_id=|\"native_id\": |\"pid\": |\w \[)(\d+)\b"
)
_FIRST_COLUMN = re.compile(r"^ *(\d+)(?=  +(?:\d+\.\d|-)  )", re.MULTILINE)
_IDENTS = re.compile(r"(?:ident |started |daemon |ident=|\"ident\": |owner=|thread )(\d{6,})")
_ADDRESSES = re.compile(r"0x[0-9a-f]{6,}")
_TIMES = re.compile(r"(?<=for )\d+\.\d(?= s\b)")
_COLUMNS_OF_TIMES = re.compile(r" +\d+\.\d s(?=  )")
_SHARES = re.compile(r"^( +\d+ +)(\d+\.\d|-)(?=  )", re.MULTILINE)
_TIMES_OF_PYTEST = re.compile(r"(?<= in )\d+\.\d\ds")

# What differs between patch levels of Python: lines of its library, and the version itself.
_LINES_OF_LIBRARY = re.compile(r'("/usr/lib/[^"]*", line|/usr/lib/\S+\.py:) ?\d+')
_PATCH_LEVEL = re.compile(rf"\b({VERSION[0]}\.{VERSION[1]})\.\d+\b")


class PasteError(Exception):
    """The sentence that says what is wrong with a block or its command."""


class Block(NamedTuple):
    """A block of code in a document, and what its comment says."""

    words: dict[str, list[str]]
    # The lines of the document in between the fences: from the first to before the last.
    first: int
    last: int

    def word(self, name: str, otherwise: str = "") -> str:
        return (self.words.get(name) or [otherwise])[-1]


def main() -> int:
    """Run the command line, and give the exit status."""
    parser = argparse.ArgumentParser(description="Puts real output into the documents.")
    parser.add_argument("--check", action="store_true", help="only tell what would change")
    parser.add_argument("documents", nargs="*", type=Path, help="all of them if left out")
    options = parser.parse_args()
    if sys.version_info[:2] != VERSION or sysconfig.get_config_var("Py_GIL_DISABLED"):
        print(f"{parser.prog}: needs CPython {VERSION[0]}.{VERSION[1]} with a GIL", file=sys.stderr)
        return 2
    status = 0
    for document in options.documents or DOCUMENTS:
        try:
            changed = paste(document.resolve(), options.check)
        except PasteError as problem:
            print(f"{_shown(document)}: {problem}", file=sys.stderr)
            return 2
        for line in changed:
            verb = "differs from what the programs print" if options.check else "is new"
            print(f"{_shown(document)}:{line}: {verb}")
            status = 1 if options.check else 0
    return status


def _shown(document: Path) -> str:
    return os.path.relpath(document, ROOT)


def paste(document: Path, is_check: bool) -> list[int]:
    """Bring the blocks of a document up to date.

    Args:
        document: the file.
        is_check: whether to leave the file as it is.

    Returns:
        The numbers of the lines with the blocks that have changed.

    Raises:
        PasteError: a block or its command is wrong.
    """
    lines = document.read_text("utf-8").split("\n")
    found = blocks(lines)
    texts = _Texts(found)
    changed = []
    # From the end, so that the numbers of the lines above stay right.
    for block in reversed(found):
        old = lines[block.first : block.last]
        new = texts.of(block, old)
        if _comparable(old) != _comparable(new):
            changed.append(block.first)
            if is_check:
                _print_difference(old, new)
            lines[block.first : block.last] = new
    if changed and not is_check:
        document.write_text("\n".join(lines), "utf-8")
    return changed[::-1]


class _Texts:
    """What the programs print for the blocks of a document."""

    def __init__(self, blocks: list[Block]) -> None:
        self._named = {block.word("name"): block for block in blocks if block.word("name")}
        # By the name of a block, its text at each try.
        self._known: dict[str, list[str]] = {}

    def of(self, block: Block, old: list[str]) -> list[str]:
        """The lines that a block has, if the programs print them; else those that are usual."""
        seen: dict[str, list[list[str]]] = {}
        for number in range(_TRIES):
            new = _lines(_cut(block, self._whole(block, old, number)))
            seen.setdefault(_comparable(new), []).append(new)
            if _comparable(new) == _comparable(old):
                return old
        return max(seen.values(), key=len)[0]

    def _whole(self, block: Block, old: list[str], number: int) -> str:
        name = block.word("name") or block.word("part")
        if not name:
            return _text(block, old)
        if name not in self._named:
            raise PasteError(f"no block has the name {name}")
        known = self._known.setdefault(name, [])
        if number == len(known):
            known.append(_text(self._named[name], old))
        return known[number]


def _lines(text: str) -> list[str]:
    return "\n".join(map(str.rstrip, text.split("\n"))).strip("\n").split("\n")


def _print_difference(old: list[str], new: list[str]) -> None:
    import difflib

    sys.stdout.writelines(
        f"{line}\n" for line in difflib.unified_diff(old, new, "document", "programs", lineterm="")
    )


def _comparable(lines: list[str]) -> str:
    text = _LINES_OF_LIBRARY.sub(r"\1 …", "\n".join(lines))
    return _PATCH_LEVEL.sub(r"\1.…", text)


def blocks(lines: list[str]) -> list[Block]:
    """The blocks of a document whose text comes from a program.

    Raises:
        PasteError: a comment is not understood, or no block comes after it.
    """
    found = []
    index = 0
    while index < len(lines):
        if not _MARKER.match(lines[index]):
            index += 1
            continue
        start = index
        index = _find(lines, index, lambda line: "-->" in line)
        words = _words("\n".join(lines[start : index + 1]), start + 1)
        fence = next((i for i in range(index + 1, len(lines)) if lines[i].strip()), None)
        if fence is None or not lines[fence].startswith("```"):
            raise PasteError(f"line {start + 1}: no block of code comes after this comment")
        index = _find(lines, fence + 1, lambda line: line == "```")
        found.append(Block(words, fence + 1, index))
        index += 1
    return found


def _find(lines: list[str], start: int, is_end: Callable[[str], bool]) -> int:
    for index in range(start, len(lines)):
        if is_end(lines[index]):
            return index
    raise PasteError(f"line {start}: what begins here does not end")


def _words(comment: str, number: int) -> dict[str, list[str]]:
    words: dict[str, list[str]] = {}
    name = ""
    for line in comment.removeprefix("<!-- ").partition("-->")[0].rstrip().split("\n"):
        key, colon, value = line.partition(":")
        if name == "hidden" and key not in _KEYS:
            words[name].append(line)
        elif key.strip() in _KEYS and (colon or key.strip() == "session"):
            name = key.strip()
            words.setdefault(name, []).extend([value.strip()] if value.strip() else [])
        else:
            raise PasteError(f"line {number}: the comment is not understood: {line!r}")
    return words


def _text(block: Block, old: list[str]) -> str:
    """What the programs print for a block that is no part of another one."""
    if "source" in block.words:
        return (EXAMPLES / block.word("source")).read_text("utf-8")
    with tempfile.TemporaryDirectory(prefix="paste-") as folder:
        scene = _Scene(block, Path(folder))
        text = scene.session(old) if "session" in block.words else scene.commands()
        return _normalised(text, scene)


def _cut(block: Block, text: str) -> str:
    """The lines from `from` to `to`, without those that have `without`."""
    lines = text.split("\n")
    for name in ("from", "to"):
        pattern = block.word(name)
        if not pattern:
            continue
        index = next((i for i, line in enumerate(lines) if re.search(pattern, line)), None)
        if index is None:
            raise PasteError(f"the text has no line with {pattern!r}:\n{text}")
        lines = lines[index:] if name == "from" else lines[: index + 1]
    if block.word("without"):
        lines = [line for line in lines if not re.search(block.word("without"), line)]
    return "\n".join(lines)


class _Scene:
    """A folder with the programs, and the commands that run in it."""

    def __init__(self, block: Block, folder: Path) -> None:
        self._block = block
        # As the system calls it: the stacks have it so.
        self.folder = folder.resolve()
        # The process that the text is about: that of the background, or the first command.
        self.pid = 0
        self.asked = block.words.get("output", [])
        self.seconds = block.word("seconds", "12.3" if block.word("background") else "0.0")
        for program in EXAMPLES.glob("*.py"):
            shutil.copy(program, self.folder)
        for words in block.words.get("use", []):
            original, _, name = words.partition(" as ")
            shutil.copy(EXAMPLES / original, self.folder / name)

    def commands(self) -> str:
        block = self._block
        background = block.word("background")
        if not background:
            return "".join(self._run_each())
        log = self.folder / "background.txt"
        with log.open("wb") as file:
            process = self._start(background, stdout=file, stderr=subprocess.STDOUT)
        try:
            self.pid = process.pid
            if block.word("after"):
                self._await_text(process, block.word("after"), self._look)
                # Its threads are still for a while: `top` counts what they do.
                time.sleep(0.5)
            printed = list(self._run_each())
            if block.word("shows") != "background":
                return "".join(printed)
            until = block.word("until")
            return f"$ {background}\n" + self._await_text(
                process, until, lambda: log.read_text("utf-8", "replace")
            )
        finally:
            process.kill()
            process.wait()

    def _look(self) -> str:
        return self._run(f"rthread dump {self.pid}")[1]

    def _await_text(
        self, process: subprocess.Popen[bytes], text: str, look: Callable[[], str]
    ) -> str:
        end = time.monotonic() + _HANG
        while True:
            ended = process.poll() is not None
            seen = look()
            if text in seen:
                return seen
            if ended or time.monotonic() > end:
                raise PasteError(f"{text!r} never came:\n{seen}")
            time.sleep(0.1)

    def _run_each(self) -> list[str]:
        printed = []
        expected = int(self._block.word("status", "0"))
        for command in self.asked:
            status, text = self._run(command.replace("PID", str(self.pid)))
            if command is self.asked[-1] and status != expected:
                raise PasteError(f"{command} ended with {status}, not {expected}:\n{text}")
            if self._block.word("shows") != "text":
                printed.append(f"$ {command.replace('PID', str(_FIRST_PID))}\n")
            printed.append(text)
        return printed

    def _run(self, command: str) -> tuple[int, str]:
        process = self._start(command, stderr=subprocess.STDOUT)
        self.pid = self.pid or process.pid
        ends = self._block.word("ends")
        try:
            out, _ = process.communicate(timeout=float(ends) if ends else _HANG)
        except subprocess.TimeoutExpired:
            process.kill()
            out, _ = process.communicate()
            if not ends:
                raise PasteError(f"{command} hangs:\n{out.decode('utf-8', 'replace')}") from None
            return 0, out.decode("utf-8", "replace")
        return process.returncode, out.decode("utf-8", "replace")

    def _start(self, command: str, **files: Any) -> subprocess.Popen[bytes]:
        words = shlex.split(command)
        environment = _environment()
        while "=" in words[0]:
            name, _, value = words.pop(0).partition("=")
            environment[name] = value
        return self._popen(words, environment, **files)

    def _popen(
        self, words: list[str], environment: dict[str, str], **files: Any
    ) -> subprocess.Popen[bytes]:
        files.setdefault("stdout", subprocess.PIPE)
        folder = self.folder
        return subprocess.Popen(
            words, cwd=folder, env=environment, stdin=subprocess.DEVNULL, **files
        )

    def session(self, old: list[str]) -> str:
        """Run the lines of a session, and give it with what they print."""
        inputs = [line for line in old if line.startswith((">>>", "..."))]
        asked = {"hidden": "\n".join(self._block.words.get("hidden", [])), "inputs": inputs}
        words = [sys.executable, "-c", _SESSION, json.dumps(asked)]
        process = self._popen(words, _environment(), stderr=subprocess.STDOUT)
        self.pid = process.pid
        text = process.communicate(timeout=_HANG)[0].decode("utf-8", "replace")
        if process.returncode:
            raise PasteError(f"the session ended with {process.returncode}:\n{text}")
        return text


# Runs in a process of its own. The threads of the session need not end.
_SESSION = """
import code, json, os, sys

asked = json.loads(sys.argv[1])
del sys.argv[1:]
sys.path.insert(0, "")
sys.stderr = sys.stdout
names = {"__name__": "__main__", "__doc__": None}
sys.modules["__main__"].__dict__.update(names)
names = vars(sys.modules["__main__"])
exec(compile(asked["hidden"], "hidden", "exec"), names)

class Console(code.InteractiveConsole):
    # The frames of rthread's own are of no interest, and change.
    def showtraceback(self):
        kind, error, _ = sys.exc_info()
        print(f"Traceback (most recent call last):\\n  ...\\n{kind.__name__}: {error}")

console = Console(names, filename="<stdin>")
is_inside = False
for line in [*asked["inputs"], ">>> "]:
    # An empty line ends a block, and the document has none.
    if is_inside and line.startswith(">>>"):
        console.push("")
    if line != ">>> ":
        print(line)
        is_inside = console.push(line[4:])
sys.stdout.flush()
os._exit(0)
"""


def _environment() -> dict[str, str]:
    """The variables of a command: those of this process, without what would show in the text."""
    kept = {
        name: value
        for name, value in os.environ.items()
        # pytest writes longer lines where it thinks that it is not read by a person.
        if not name.startswith(("PYTHON", "RTHREAD", "PYTEST", "COV_"))
        and name not in ("CI", "BUILD_NUMBER")
    }
    scripts = sysconfig.get_path("scripts")
    return {
        **kept,
        "PATH": f"{scripts}{os.pathsep}{kept.get('PATH', os.defpath)}",
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHON_COLORS": "0",
        "NO_COLOR": "1",
        "COLUMNS": "80",
        "LC_ALL": "C.UTF-8",
    }


def _normalised(text: str, scene: _Scene) -> str:
    for folder, name in _folders(scene):
        text = text.replace(folder, name)
    text = _with_stable_numbers(text, scene)
    idents: dict[str, str] = {}
    text = _replace_groups(
        _IDENTS,
        text,
        lambda digits: idents.setdefault(digits, str(_FIRST_IDENT - _IDENT_STEP * len(idents))),
    )
    addresses: dict[str, str] = {}
    text = _ADDRESSES.sub(
        lambda match: addresses.setdefault(
            match[0], f"{_FIRST_ADDRESS + _ADDRESS_STEP * len(addresses):#x}"
        ),
        text,
    )
    seconds = scene.seconds
    text = _TIMES.sub(seconds, text)
    text = _COLUMNS_OF_TIMES.sub(lambda match: f"{seconds} s".rjust(len(match[0])), text)
    text = _SHARES.sub(lambda match: match[1] + "0.0".rjust(len(match[2])), text)
    return _TIMES_OF_PYTEST.sub("0.12s", text)


def _folders(scene: _Scene) -> list[tuple[str, str]]:
    """The folders of this machine, the innermost first, and those that stand for them."""
    release = f"python{VERSION[0]}.{VERSION[1]}"
    library = os.path.dirname(os.path.realpath(os.__file__))
    places = {
        str(scene.folder): "/app",
        sysconfig.get_path("purelib"): f"/usr/lib/{release}/site-packages",
        sysconfig.get_path("scripts"): "/usr/bin",
        library: f"/usr/lib/{release}",
        os.path.dirname(os.__file__): f"/usr/lib/{release}",
        str(ROOT): "/src/rthread",
    }
    return sorted(places.items(), key=lambda place: -len(place[0]))


def _with_stable_numbers(text: str, scene: _Scene) -> str:
    """Number the process and its threads from `_FIRST_PID` on, in the order of their start."""
    pid = scene.pid
    found = {*map(int, _NATIVE_IDS.findall(text)), *map(int, _FIRST_COLUMN.findall(text))}
    # The command lines have numbers of their own.
    found -= {_FIRST_PID, *map(int, re.findall(r"\b\d+\b", " ".join(scene.asked)))}
    # After the largest number the system begins again with small ones.
    threads = sorted(found - {pid}, key=lambda number: (number < pid, number))
    names = {str(pid): str(_FIRST_PID)}
    names.update({str(thread): str(_FIRST_PID + 1 + i) for i, thread in enumerate(threads)})
    text = _replace_groups(_NATIVE_IDS, text, lambda digits: names.get(digits, digits))
    return _FIRST_COLUMN.sub(lambda m: names.get(m[1], m[1]).rjust(len(m[0])), text)


def _replace_groups(pattern: re.Pattern[str], text: str, stable: Callable[[str], str]) -> str:
    """Replace the digits at the end of each match."""
    return pattern.sub(lambda m: m[0].removesuffix(m[1]) + stable(m[1]), text)


if __name__ == "__main__":
    sys.exit(main())
