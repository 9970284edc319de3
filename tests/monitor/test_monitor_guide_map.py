"""docs/guide-map.md leaves no line of the guide out, and quotes it rightly."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROW = re.compile(
    r"^\| (\d+)(?:-(\d+))? \| (.*?) \| (.*) \| (works|differs|in part|issue 3) \|$", re.MULTILINE
)
STRUCTURE = re.compile(r"\s*(---|```\w*|[|\-]+|\)|)\s*")


@pytest.fixture(scope="module")
def rows(repository: Path) -> list[tuple[int, int, str]]:
    """First line, last line and quotation of each row of the page."""
    page = (repository / "docs" / "guide-map.md").read_text(encoding="utf-8")
    return [(int(first), int(last or first), says) for first, last, says, _, _ in ROW.findall(page)]


@pytest.fixture(scope="module")
def guide(shared: Path) -> list[str]:
    text = (shared / "spec" / "monitoring-guide.ko.md").read_text(encoding="utf-8")
    return text.replace("**", "").splitlines()


def test_every_row_of_the_tables_is_understood(repository: Path, rows: list[tuple[int, int, str]]) -> None:
    page = (repository / "docs" / "guide-map.md").read_text(encoding="utf-8")
    assert len(rows) == len(re.findall(r"^\| \d", page, re.MULTILINE)) > 60


def test_no_line_of_the_guide_is_left_out(guide: list[str], rows: list[tuple[int, int, str]]) -> None:
    covered = {number for first, last, _ in rows for number in range(first, last + 1)}
    assert [
        line
        for number, line in enumerate(guide, start=1)
        if not STRUCTURE.fullmatch(line) and number not in covered
    ] == []


def test_every_quotation_is_the_guides(guide: list[str], rows: list[tuple[int, int, str]]) -> None:
    for first, last, says in rows:
        text = "\n".join(guide[first - 1 : last])
        quotations = re.findall(r"“(.*?)”", says)
        assert quotations
        for quotation in quotations:
            assert quotation in text, f"line {first}: {quotation}"
