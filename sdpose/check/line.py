"""What a check answers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

Status = Literal["pass", "warn", "fail"]


@dataclass(frozen=True)
class CheckLine:
    """One question and its answer."""

    name: str
    status: Status
    text: str
    cure: str = ""
    """What to do about it; empty when all is well."""
    measured: Mapping[str, Any] = field(default_factory=dict)
    """Numbers behind the text, for `--json`: plain values only."""
    question: str = ""
    """Which of the questions it answers, as `--only` names it."""


def listed(items: list[str], most: int = 3) -> str:
    """The first few, and how many more there are."""
    shown = ", ".join(items[:most])
    return shown + (f" and {len(items) - most} more" if len(items) > most else "")
