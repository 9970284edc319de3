"""Every command of the pages that are read first runs, in the page's order, and prints what the page shows."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from page_text import REPOSITORY

# About half of all commands, and all exports; test_docs_reference.py reads the other pages, on another core.
GUIDES = ["README.md", "docs/from-mmpose.md", "docs/guide.md", "docs/deploy.md"]


@pytest.mark.parametrize("name", GUIDES)
def test_every_command_runs(name: str, read_page: Callable[[Path], None]) -> None:
    read_page(REPOSITORY / name)
