"""The check of the layers finds what it is there to find."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from sources import layers

pytestmark = pytest.mark.skipif(not layers.SRC.exists(), reason="there are no sources")


@pytest.fixture
def src(tmp_path: Path) -> Path:
    """A copy of the sources, to be spoilt."""
    return Path(shutil.copytree(layers.SRC, tmp_path / "src"))


def plant(src: Path, file: str, line: str) -> None:
    path = src / file
    path.write_text(path.read_text("utf-8") + f"\n{line}\n", "utf-8")


def test_the_sources_keep_to_their_layers(capsys: pytest.CaptureFixture[str]) -> None:
    status = layers.main()
    assert (status, capsys.readouterr().out) == (0, "")


@pytest.mark.parametrize(
    "line",
    [
        "use crate::runtime::blocking;",
        "use crate::{runtime::blocking::{self, Timeout}, sync};",
        "use super::super::runtime::blocking as waits;",
        "pub use crate::runtime::blocking::Timeout;",
        "fn planted() { crate::runtime::blocking::prepare() }",
    ],
)
def test_an_import_of_a_later_layer_is_found(
    src: Path, line: str, capsys: pytest.CaptureFixture[str]
) -> None:
    plant(src, "capi/refs.rs", line)
    assert layers.main(src) == 1
    assert "capi::refs uses runtime::blocking, which is in a later layer" in capsys.readouterr().out


def test_a_comment_is_no_import(src: Path) -> None:
    plant(src, "capi/refs.rs", "// use crate::runtime::blocking;")
    assert layers.main(src) == 0


def test_a_circle_among_folders_is_found(src: Path, capsys: pytest.CaptureFixture[str]) -> None:
    plant(src, "threading/head.rs", "use crate::threading::queue::put_get;")
    assert layers.main(src) == 1
    out = capsys.readouterr().out
    assert "threading::head uses threading::queue::put_get, which needs it in turn" in out


def test_a_file_of_no_layer_is_found(src: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (src / "elsewhere.rs").write_text("use crate::sync;\n", "utf-8")
    assert layers.main(src) == 1
    assert capsys.readouterr().out == "elsewhere is in no layer\n"
