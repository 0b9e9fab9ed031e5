"""What the documents show is what the programs print: `docs/paste.py`."""

from __future__ import annotations

import importlib.util
import os
import sys
import sysconfig
from pathlib import Path
from types import ModuleType

import pytest

from support import run_python

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = ROOT / "docs" / "paste.py"

# Each command has a time limit of its own.
HANG = 500.0


def load() -> ModuleType:
    spec = importlib.util.spec_from_file_location("paste", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    # A NamedTuple looks for its module there.
    sys.modules["paste"] = module
    spec.loader.exec_module(module)
    return module


paste = load()
# README.md and the files of docs that have such blocks.
PASTED = [path for path in paste.DOCUMENTS if paste.blocks(path.read_text("utf-8").split("\n"))]

# Other interpreters print other lines.
is_the_one = sys.version_info[:2] == paste.VERSION and not sysconfig.get_config_var(
    "Py_GIL_DISABLED"
)
has_command = Path(sysconfig.get_path("scripts"), "rthread").exists()


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


@pytest.mark.skipif(not is_the_one, reason="the output is that of one version of Python")
@pytest.mark.skipif(not has_command, reason="the command rthread is not installed")
@pytest.mark.skipif(sys.platform != "linux", reason="processes are read from outside on Linux only")
@pytest.mark.parametrize("document", PASTED, ids=name_of)
def test_a_document_has_the_output_that_its_commands_have(document: Path) -> None:
    # On a busy machine a thread may be seen a moment too early or too late.
    for _ in range(3):
        finished = run_python(str(SCRIPT), "--check", str(document), timeout=HANG)
        if finished.returncode == 0:
            break

    assert (finished.returncode, finished.stdout, finished.stderr) == (0, "", "")


def test_the_documents_about_debugging_have_such_output() -> None:
    assert {name_of(path) for path in PASTED} >= {
        "README.md",
        "docs/commands.md",
        "docs/debugging.md",
        "docs/pytest.md",
        "docs/reading-a-report.md",
        "docs/tutorial-deadlock.md",
    }


@pytest.mark.parametrize("document", PASTED, ids=name_of)
def test_no_folder_of_a_machine_is_in_a_document(document: Path) -> None:
    text = document.read_text("utf-8")

    for folder in ("/root/", "/home/", "/tmp/", os.path.expanduser("~"), str(ROOT), sys.prefix):
        assert folder in ("/", "/usr") or folder not in text


NUMBERED = """\
clerk, native id 777, ident 139999999999999
worker [778], started daemon 140000000000001, at 0x7fffdeadbeef, for 3.1 s
      777    1.2  waiting       3.1 s  Lock at 0x7fffdeadbeef  x
File "/usr/lib/python3.14/threading.py", line 12, in run
"""


def test_numbers_become_stable(tmp_path: Path) -> None:
    scene = paste._Scene(paste.Block({"output": ["rthread dump PID"]}, 0, 0), tmp_path)
    scene.pid = 777
    scene.seconds = "12.3"

    assert paste._normalised(f"{NUMBERED}{tmp_path.resolve()}/x.py\n", scene).splitlines() == [
        "clerk, native id 4242, ident 140300112512832",
        "worker [4243], started daemon 140300104120128, at 0x7f3c2ad0c140, for 12.3 s",
        "     4242    0.0  waiting      12.3 s  Lock at 0x7f3c2ad0c140  x",
        'File "/usr/lib/python3.14/threading.py", line 12, in run',
        "/app/x.py",
    ]


@pytest.mark.parametrize(
    ("comment", "reason"),
    [
        ("<!-- output: rthread\nfrob: 3 -->\n```\n```", "is not understood"),
        ("<!-- output: rthread -->\n\ntext\n", "no block of code comes after"),
        ("<!-- output: rthread\n", "does not end"),
        ("<!-- output: rthread -->\n", "no block of code comes after"),
        ("<!-- output: rthread -->\n```\ntext\n", "does not end"),
    ],
)
def test_a_comment_with_a_mistake_is_an_error(comment: str, reason: str) -> None:
    with pytest.raises(paste.PasteError, match=reason):
        paste.blocks(comment.split("\n"))
