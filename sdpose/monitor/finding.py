"""What a detector finds: a fault as bare numbers, before anybody explains it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sdpose.monitor.alert import Severity
from sdpose.monitor.record import Record


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

    @classmethod
    def at(
        cls,
        record: Record,
        *,
        kind: str,
        severity: Severity,
        metric: str | None,
        value: float | None,
        evidence: Mapping[str, Any],
    ) -> Finding:
        """A finding that stands where `record` does."""
        return cls(
            kind=kind,
            severity=severity,
            epoch=record.epoch,
            iteration=record.iteration,
            metric=metric,
            value=value,
            evidence=evidence,
            time=record.time,
        )
