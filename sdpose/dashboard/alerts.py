"""The alerts of a run in the reader's language: those that its monitor wrote, and those that its log shows now."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

from sdpose.dashboard.tail import FileTail
from sdpose.monitor.alert import Alert
from sdpose.monitor.diagnosis import explain
from sdpose.monitor.finding import Finding
from sdpose.monitor.hooks import RunFacts

_BLOCK = 2**20
_UNKNOWN = (KeyError, TypeError, ValueError, AttributeError)


class AlertTail:
    """`alerts.jsonl` as it grows."""

    def __init__(self, path: Path) -> None:
        self._tail = FileTail(path)
        self.alerts: list[Alert] = []

    def refresh(self) -> bool:
        """Whether there are new ones."""
        if not self._tail.look():
            return False
        changed = False
        if self._tail.restarted or self._tail.missing:
            changed = bool(self.alerts)
            self._tail.restarted, self.alerts = False, []
        while block := self._tail.read(_BLOCK):
            for line in block.decode("utf-8", errors="replace").split("\n"):
                try:
                    self.alerts.append(Alert.from_json(line))
                except (ValueError, TypeError):
                    continue
                changed = True
        return changed


def in_language(alert: Alert, facts: RunFacts, language: str) -> tuple[Alert, bool]:
    """The alert in `language`, and whether its advice had to be made anew from less than the run knew.

    A kind that this version does not know stays as it was written.
    """
    if alert.language == language:
        return alert, False
    finding = _finding(alert)
    try:
        again = explain(finding, facts, alert.language)
        translated = explain(finding, facts, language)
    except _UNKNOWN:
        # Written by another version, or by a user's own hook.
        return alert, False
    return translated, again.actions != alert.actions


def explained(alert: Alert, facts: RunFacts, language: str) -> Alert:
    """An alert that was found in the log, with advice for the run whose log it is."""
    return explain(_finding(alert), facts, language)


def _finding(alert: Alert) -> Finding:
    return Finding(
        kind=alert.kind,
        severity=alert.severity,
        epoch=alert.epoch,
        iteration=alert.iteration,
        metric=alert.metric,
        value=alert.value,
        evidence=alert.evidence,
        time=alert.time or 0.0,
    )


def as_data(alert: Alert, *, remade: bool, source: str) -> dict[str, Any]:
    """Plain data for the page."""
    return {
        **{field.name: getattr(alert, field.name) for field in dataclasses.fields(alert)},
        "evidence": dict(alert.evidence),
        "remade": remade,
        "source": source,
    }
