"""The optimizer used another learning rate than the config says."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from sdpose.monitor.detector import Detector
from sdpose.monitor.episode import Episode
from sdpose.monitor.finding import Finding
from sdpose.monitor.parameters import number_between, whole_number
from sdpose.monitor.record import Record


class LrUnexpected(Detector):
    """Compares `lr` with `lr_expected`, what the config's schedule gives for the same iteration.

    Found is a difference of more than `lr_unexpected_threshold` of the larger of the two, `patience` iterations in a
    row; once an episode.
    """

    def __init__(self, *, lr_unexpected_threshold: float = 0.01, patience: int = 2) -> None:
        self.lr_unexpected_threshold = number_between(
            "LrUnexpected", "lr_unexpected_threshold", lr_unexpected_threshold, 0.0, 1.0
        )
        self.patience = whole_number("LrUnexpected", "patience", patience)
        self.reset()

    def reset(self) -> None:
        self._episode = Episode(self.patience)

    def update(self, record: Record) -> Sequence[Finding]:
        current, expected = record.values.get("lr"), record.values.get("lr_expected")
        if current is None or expected is None or record.mode != "train":
            return ()
        if not (math.isfinite(current) and math.isfinite(expected)):
            return ()
        differs = abs(current - expected) > self.lr_unexpected_threshold * max(abs(current), abs(expected))
        if not self._episode.begins(differs, record.iteration):
            return ()
        return (
            Finding.at(
                record,
                kind="lr_unexpected",
                severity="warning",
                metric="lr",
                value=current,
                evidence={
                    "current": current,
                    "expected": expected,
                    "ratio": current / expected if expected else None,
                    "first_iteration": self._episode.first_iteration,
                },
            ),
        )

    def state_dict(self) -> dict[str, Any]:
        return {"episode": self._episode.state_dict()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self._episode.load_state_dict(state["episode"])
