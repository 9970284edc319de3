"""The alerts that the monitor of a run writes, as they come."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

from sdpose.dashboard.tail import FileTail
from sdpose.monitor.alert import Alert

_BLOCK = 2**20


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


def as_data(alert: Alert, *, remade: bool, source: str) -> dict[str, Any]:
    """Plain data for the page."""
    return {
        **{field.name: getattr(alert, field.name) for field in dataclasses.fields(alert)},
        "evidence": dict(alert.evidence),
        "remade": remade,
        "source": source,
    }
