"""Paths and guards shared by the tests."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parent.parent
SHARED = Path(os.environ.get("SDPOSE_SHARED", REPOSITORY.parent / "shared"))


@pytest.fixture(scope="session")
def repository() -> Path:
    """Root of the checkout."""
    return REPOSITORY


@pytest.fixture(scope="session")
def shared() -> Path:
    """Folder with real photographs, logs and annotations; the test is skipped where it is absent."""
    if not SHARED.is_dir():
        pytest.skip(f"needs the shared data folder, not found at {SHARED}")
    return SHARED


@pytest.fixture(scope="session")
def parity() -> Path:
    """Reference numbers of the published model (a copy that lives in the repository)."""
    return REPOSITORY / "tests" / "fixtures" / "parity"
