"""The alerts of a run in the reader's language: those that its monitor wrote, and those that its log shows now."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sdpose.dashboard.tail import FileTail
from sdpose.monitor.alert import Alert
from sdpose.monitor.diagnosis import explain
from sdpose.monitor.finding import Finding
from sdpose.monitor.hooks import RunFacts

_BLOCK = 2**20
_SETTINGS_OF = re.compile(r"^# The settings of (.+)$", re.MULTILINE)


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
    finding = Finding(
        kind=alert.kind,
        severity=alert.severity,
        epoch=alert.epoch,
        iteration=alert.iteration,
        metric=alert.metric,
        value=alert.value,
        evidence=alert.evidence,
        time=alert.time or 0.0,
    )
    try:
        again = explain(finding, facts, alert.language)
        translated = explain(finding, facts, language)
    except (KeyError, TypeError, ValueError, AttributeError):
        # Written by another version, or by a user's own hook.
        return alert, False
    return translated, again.actions != alert.actions


def facts_of(
    folder: Path,
    settings: Mapping[str, Any],
    text: str,
    *,
    log_facts: Mapping[str, Any],
    total_epochs: int | None,
) -> RunFacts:
    """What advice is made concrete with, from the config beside the log."""

    def look(*names: str) -> Any:
        value: Any = settings
        for name in names:
            value = value.get(name) if isinstance(value, Mapping) else None
        return value if isinstance(value, int | float) else None

    data = settings.get("data")
    named = _SETTINGS_OF.search(text)
    return RunFacts(
        name=folder.name,
        config_path=named[1] if named else None,
        work_dir=folder,
        total_epochs=total_epochs,
        epoch_length=log_facts.get("epoch_length"),
        lr=look("optimizer", "lr"),
        warmup_iterations=look("lr_config", "warmup_iters") or 0,
        max_norm=look("optimizer_config", "grad_clip", "max_norm"),
        samples_per_gpu=look("data", "samples_per_gpu") if isinstance(data, Mapping) else None,
        workers_per_gpu=look("data", "workers_per_gpu") if isinstance(data, Mapping) else None,
        evaluation_interval=look("evaluation", "interval"),
        checkpoint_interval=look("checkpoint_config", "interval"),
    )


def as_data(alert: Alert, *, remade: bool, source: str) -> dict[str, Any]:
    """Plain data for the page."""
    return {
        **{field.name: getattr(alert, field.name) for field in dataclasses.fields(alert)},
        "evidence": dict(alert.evidence),
        "remade": remade,
        "source": source,
    }
