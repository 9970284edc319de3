"""The heatmaps are flat: the model sees no joint anywhere."""

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

# A model sees with fewer flat maps than this, and so many joints in their places. Random outputs have peaks too, and
# unlearn them: on narrow targets all maps of a healthy model are flat after 100 iterations.
ALIVE, SEEING = 0.5, 0.25


class DeadHeatmaps(Detector):
    """Watches the share of heatmaps without a peak (`heatmap_flat`, 0 to 1), by the median of `check_interval`.

    Heatmaps of a model that had found joints (`score`) and lost their peaks, `dead_heatmaps_threshold` of them and
    `patience` checks in a row, are critical. Of one that has never found any nothing is said for `grace_iterations`,
    because every SDPose begins so (docs/plateau.md); after that it is a warning.
    """

    def __init__(
        self,
        *,
        check_interval: int = 50,
        dead_heatmaps_threshold: float = 0.95,
        grace_iterations: int = 3000,
        patience: int = 2,
        metric: str = "heatmap_flat",
        score: str = "acc_pose",
    ) -> None:
        name = "DeadHeatmaps"
        self.check_interval = whole_number(name, "check_interval", check_interval)
        self.dead_heatmaps_threshold = number_between(
            name, "dead_heatmaps_threshold", dead_heatmaps_threshold, ALIVE, 1.0
        )
        self.grace_iterations = whole_number(name, "grace_iterations", grace_iterations, at_least=0)
        self.patience = whole_number(name, "patience", patience)
        self.metric = metric
        self.score = score
        self.reset()

    def reset(self) -> None:
        self._shares = BlockMedians(self.check_interval, 1)
        self._scores = BlockMedians(self.check_interval, 1)
        self._episode = Episode(self.patience)
        self._alive_until: int | None = None

    def update(self, record: Record) -> Sequence[Finding]:
        share = record.values.get(self.metric)
        if share is None or record.mode != "train":
            return ()
        self._scores.add(record.iteration, record.values.get(self.score, math.nan))
        if not self._shares.add(record.iteration, share):
            return ()
        current = self._shares.newest
        if current < ALIVE and self._scores.medians and self._scores.newest >= SEEING:
            self._alive_until = record.iteration
        dead = current >= self.dead_heatmaps_threshold
        has_lived = self._alive_until is not None
        waiting = not has_lived and record.iteration <= self.grace_iterations
        if not self._episode.begins(dead and not waiting, self._shares.first_iteration):
            return ()
        return (
            Finding.at(
                record,
                kind="dead_heatmaps",
                severity="critical" if has_lived else "warning",
                metric=self.metric,
                value=current,
                evidence={
                    "share": current,
                    "alive_until": self._alive_until,
                    "heatmap_peak": record.values.get("heatmap_peak"),
                    "first_iteration": self._episode.first_iteration if has_lived else 1,
                },
            ),
        )

    def state_dict(self) -> dict[str, Any]:
        return {
            "shares": self._shares.state_dict(),
            "scores": self._scores.state_dict(),
            "episode": self._episode.state_dict(),
            "alive_until": self._alive_until,
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self._shares.load_state_dict(state["shares"])
        self._scores.load_state_dict(state["scores"])
        self._episode.load_state_dict(state["episode"])
        self._alive_until = state["alive_until"]
