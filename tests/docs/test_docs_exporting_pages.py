"""Every command of the pages that export a network runs, in the page's order, and prints what the page shows."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from page_text import REPOSITORY

# An export takes 8 s and is made once a process, so they are together; test_docs_other_pages.py reads all other pages.
EXPORTING = ["README.md", "docs/quick-start.md", "docs/deploy.md"]


@pytest.mark.parametrize("name", EXPORTING)
def test_every_command_runs(name: str, read_page: Callable[[Path], None]) -> None:
    read_page(REPOSITORY / name)
