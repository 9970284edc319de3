"""docs/guide-map.md leaves no line of the guide out, and quotes it rightly."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from sdpose.monitor import advice
from sdpose.monitor.advice.phrase import Phrase

ROW = re.compile(r"^\| (\d+)(?:-(\d+))? \| (.*?) \| (.*) \| (works|differs) \|$", re.MULTILINE)
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


# Lines of the guide that tell a person what to expect, to suspect or to try.
SPOKEN = [
    *range(53, 57),
    *range(66, 70),
    *range(110, 114),
    *range(119, 122),
    *range(138, 142),
    *range(201, 214),
]
NUMBERS = {"max_norm": 5.0, "old_norm": 5.0, "new_norm": 3.0, "old_lr": "1e-3", "new_lr": "3e-3"}


def guides_own() -> list[str]:
    """The sentences of the alerts that are the guide's."""
    modules = (advice.changes, advice.loss, advice.score, advice.gradients, advice.model, advice.machine)
    phrases = [value for module in modules for value in vars(module).values() if isinstance(value, Phrase)]
    return [phrase.ko.format(**NUMBERS) for phrase in phrases if phrase.guide]


def test_what_the_guide_tells_people_to_suspect_and_try_is_said_by_the_monitor(shared: Path) -> None:
    guide = (shared / "spec" / "monitoring-guide.ko.md").read_text(encoding="utf-8").splitlines()
    said = guides_own()
    silent = []
    for number in SPOKEN:
        line = guide[number - 1]
        title = not line.strip() or line.startswith(("#", "**"))
        if not title and not any(sentence in line.replace("**", "") for sentence in said):
            silent.append(line)
    # It is said with the metric's own name: "Overfitting 주의 (validation AP 하락)".
    assert silent == ["- Overfitting 주의 (validation AP 하락 시)"]
