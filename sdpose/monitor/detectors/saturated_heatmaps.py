"""The heatmaps have grown far above the 1 that a target's peak has."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from sdpose.monitor.block_medians import BlockMedians
from sdpose.monitor.detector import Detector
from sdpose.monitor.episode import Episode
from sdpose.monitor.finding import Finding
from sdpose.monitor.parameters import number_between, whole_number
from sdpose.monitor.record import Record


class SaturatedHeatmaps(Detector):
    """Watches the largest value of the heatmaps by the median of `check_interval` iterations.

    A target's peak is 1, so `saturated_heatmaps_threshold` is a plain number. SDPose-S-V1 starts with 1.8 and comes
    down within a few dozen iterations; nothing is found during the first `grace_iterations`.
    """

    def __init__(
        self,
        *,
        check_interval: int = 50,
        saturated_heatmaps_threshold: float = 3.0,
        grace_iterations: int = 200,
        patience: int = 2,
        metric: str = "heatmap_max",
    ) -> None:
        name = "SaturatedHeatmaps"
        self.check_interval = whole_number(name, "check_interval", check_interval)
        self.saturated_heatmaps_threshold = number_between(
            name, "saturated_heatmaps_threshold", saturated_heatmaps_threshold, 1.0, math.inf
        )
        self.grace_iterations = whole_number(name, "grace_iterations", grace_iterations, at_least=0)
        self.patience = whole_number(name, "patience", patience)
        self.metric = metric
        self.reset()

    def reset(self) -> None:
        self._peaks = BlockMedians(self.check_interval, 1)
        self._episode = Episode(self.patience)

    def update(self, record: Record) -> Sequence[Finding]:
        value = record.values.get(self.metric)
        if value is None or record.mode != "train" or record.iteration <= self.grace_iterations:
            return ()
        if not self._peaks.add(record.iteration, value):
            return ()
        current = self._peaks.newest
        saturated = current >= self.saturated_heatmaps_threshold
        if not self._episode.begins(saturated, self._peaks.first_iteration):
            return ()
        return (
            Finding.at(
                record,
                kind="saturated_heatmaps",
                severity="warning",
                metric=self.metric,
                value=current,
                evidence={
                    "current": current,
                    "saturated_heatmaps_threshold": self.saturated_heatmaps_threshold,
                    "heatmap_peak": record.values.get("heatmap_peak"),
                    "first_iteration": self._episode.first_iteration,
                },
            ),
        )

    def state_dict(self) -> dict[str, Any]:
        return {"peaks": self._peaks.state_dict(), "episode": self._episode.state_dict()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self._peaks.load_state_dict(state["peaks"])
        self._episode.load_state_dict(state["episode"])
