"""Every command of all other pages runs; what the reader of pages does with commands that do not."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import page_text
import pytest
from excused import EXCUSED, EXIT_CODES, SMALLER_WORDS
from page_text import PAGES, REPOSITORY, TRANSLATIONS, page_commands, page_id
from test_docs_exporting_pages import EXPORTING

OTHERS = [
    page_id(page)
    for page in PAGES
    if page_id(page) not in (*EXPORTING, *TRANSLATIONS) and any(page_commands(page))
]


@pytest.mark.parametrize("name", OTHERS)
def test_every_command_runs(name: str, read_page: Callable[[Path], None]) -> None:
    read_page(REPOSITORY / name)


@pytest.mark.parametrize("table", [EXCUSED, EXIT_CODES, SMALLER_WORDS])
def test_no_entry_is_left_over(table: Mapping[str, object]) -> None:
    texts = [text for page in PAGES for c in page_commands(page) for text in (c.text, f"{c.page}: {c.text}")]
    assert [key for key in table if not any(text.startswith(key) for text in texts)] == []


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (
            "```bash\nmoon landing\n```\n",
            "page.md: command `moon landing` (line 2) is neither run nor excused",
        ),
        ("```bash\nsdpose info sdpose_xl\n```\n", "`sdpose info sdpose_xl` (line 2) ended with exit code 2"),
        (
            "```bash\nsdpose config CONFIG\n```\n\n```text\nno such line\n```\n",
            "page.md:6 shows 'no such line', and the commands above it print no line that begins like it",
        ),
    ],
)
def test_a_page_that_is_wrong_fails_with_a_sentence(
    text: str,
    sentence: str,
    read_page: Callable[[Path], None],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(page_text, "REPOSITORY", tmp_path)
    page = tmp_path / "page.md"
    page.write_text(text, encoding="utf-8")
    with pytest.raises((pytest.fail.Exception, AssertionError)) as failed:
        read_page(page)
    assert sentence in str(failed.value)
