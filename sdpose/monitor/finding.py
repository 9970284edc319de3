"""What a detector finds: a fault as bare numbers, before anybody explains it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sdpose.monitor.alert import Severity


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One fault at one record; `diagnosis.explain` makes an alert of it."""

    kind: str
    severity: Severity
    epoch: int
    iteration: int
    metric: str | None
    """Name of the value that shows it; None when no single value does."""
    value: float | None
    evidence: Mapping[str, Any]
    """The numbers that the message shows, at full precision."""
    time: float
