"""The AP is behind the guide's table of expected performance."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from typing import Any

from sdpose.monitor.detector import Detector
from sdpose.monitor.episode import Episode
from sdpose.monitor.finding import Finding
from sdpose.monitor.parameters import whole_number
from sdpose.monitor.record import Record

# The guide, "Epoch별 예상 성능": AP of SDPose-S-V1 on COCO after so many of 300 epochs. Its losses (3.0 to 0.38)
# are not this model's, whose heatmap losses are 1e-3 to 1e-2, and are not used.
GUIDE_EPOCHS = (1, 10, 50, 150, 250, 300)
GUIDE_AP = (0.1, 0.3, 0.55, 0.68, 0.72, 0.73)
# The guide, tip 1: "AP가 0.5 이상 도달해야 함" by epoch 50, where its own table says 0.55.
GUIDE_MILESTONE, GUIDE_LEAST = 50, 0.5
TOLERATED = GUIDE_LEAST / 0.55


class BehindSchedule(Detector):
    """Compares each AP with the guide's table, scaled to `total_epochs`.

    Found is an AP below 10/11 of the table `patience` evaluations in a row: by that factor the guide's own two numbers
    for epoch 50 differ, and by less SDPose-T (0.697) ends below the table's 0.73. At the first evaluation from epoch 50
    of 300 on, one AP below 0.5 is enough. Once an episode. The first 10 of 300 epochs are not judged: some healthy
    runs have no AP at all yet.

    It knows COCO, and runs that are long enough to be compared; `live_detectors` builds it for no others.
    """

    def __init__(self, *, total_epochs: int, patience: int = 2, metric: str = "AP") -> None:
        self.total_epochs = whole_number("BehindSchedule", "total_epochs", total_epochs)
        self.patience = whole_number("BehindSchedule", "patience", patience)
        self.metric = metric
        self.reset()

    def reset(self) -> None:
        self._passed_milestone = False
        self._episode = Episode(self.patience)

    def update(self, record: Record) -> Sequence[Finding]:
        current = record.values.get(self.metric)
        if current is None or record.mode != "val" or not math.isfinite(current):
            return ()
        guide_epoch = record.epoch * 300 / self.total_epochs
        if guide_epoch < GUIDE_EPOCHS[1]:
            return ()
        expected = expected_ap(guide_epoch)
        first_milestone = guide_epoch >= GUIDE_MILESTONE and not self._passed_milestone
        self._passed_milestone = guide_epoch >= GUIDE_MILESTONE
        missed = first_milestone and current < GUIDE_LEAST
        began = self._episode.begins(current < TOLERATED * expected, record.epoch)
        if not began and not (missed and self._episode.begin_now(record.epoch)):
            return ()
        return (
            Finding.at(
                record,
                kind="behind_schedule",
                severity="warning",
                metric=self.metric,
                value=current,
                evidence={
                    "current": current,
                    "expected": expected,
                    "least": GUIDE_LEAST if missed else TOLERATED * expected,
                    "total_epochs": self.total_epochs,
                    "guide_epoch": guide_epoch,
                    "missed_milestone": missed,
                    "first_epoch": self._episode.first_iteration,
                },
            ),
        )

    def state_dict(self) -> dict[str, Any]:
        return {"passed_milestone": self._passed_milestone, "episode": self._episode.state_dict()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self._passed_milestone = state["passed_milestone"]
        self._episode.load_state_dict(state["episode"])


def expected_ap(guide_epoch: float) -> float:
    """The guide's AP after so many of 300 epochs, straight lines between its rows; the last AP beyond them."""
    if guide_epoch >= GUIDE_EPOCHS[-1]:
        return GUIDE_AP[-1]
    if guide_epoch <= GUIDE_EPOCHS[0]:
        return GUIDE_AP[0]
    row = bisect_right(GUIDE_EPOCHS, guide_epoch) - 1
    part = (guide_epoch - GUIDE_EPOCHS[row]) / (GUIDE_EPOCHS[row + 1] - GUIDE_EPOCHS[row])
    return GUIDE_AP[row] + part * (GUIDE_AP[row + 1] - GUIDE_AP[row])
