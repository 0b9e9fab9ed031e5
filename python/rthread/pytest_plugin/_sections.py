"""Text under a heading of its own in what pytest shows of a test that has failed."""

from __future__ import annotations

import pytest

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Generator

__all__ = ["Sections", "add_section"]

_sections = pytest.StashKey[list[tuple[str, str]]]()


def add_section(item: pytest.Item, title: str, text: str) -> None:
    """Show a text with the report of the phase that the test is in, if that phase fails."""
    item.stash.setdefault(_sections, []).append((title, text))


class Sections:
    """The plugin that puts the texts into the reports."""

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_makereport(
        self, item: pytest.Item
    ) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        report = yield
        sections: list[tuple[str, str]] = item.stash.get(_sections, [])
        report.sections += sections
        item.stash[_sections] = []
        return report
