"""The locale of the machine decides nothing here."""

from __future__ import annotations

import pytest


@pytest.fixture(autouse=True)
def english(monkeypatch: pytest.MonkeyPatch) -> None:
    """Advice is English unless a test says otherwise."""
    monkeypatch.setenv("LC_ALL", "C.UTF-8")
