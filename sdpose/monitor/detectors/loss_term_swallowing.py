"""One loss term swallows the rest: the optimizer works for it alone."""

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


class LossTermSwallowing(Detector):
    """Watches the part that the main term has of all loss terms together, by the median of `check_interval`.

    Found is a part below 1 - `loss_term_swallowing_threshold`, `patience` checks in a row, once an episode. Sizes
    count, not signs. A run without the main term `metric` is not judged: which of its terms should be large,
    nobody knows.
    """

    def __init__(
        self,
        *,
        check_interval: int = 50,
        loss_term_swallowing_threshold: float = 0.9,
        patience: int = 2,
        metric: str = "heatmap_loss",
    ) -> None:
        name = "LossTermSwallowing"
        self.check_interval = whole_number(name, "check_interval", check_interval)
        self.loss_term_swallowing_threshold = number_between(
            name, "loss_term_swallowing_threshold", loss_term_swallowing_threshold, 0.5, 1.0
        )
        self.patience = whole_number(name, "patience", patience)
        self.metric = metric
        self.reset()

    def reset(self) -> None:
        self._parts = BlockMedians(self.check_interval, 1)
        self._episode = Episode(self.patience)
        self._sums: dict[str, float] = {}

    def update(self, record: Record) -> Sequence[Finding]:
        if record.mode != "train":
            return ()
        terms = {
            name: abs(value) for name, value in record.values.items() if "loss" in name and name != "loss"
        }
        total = sum(terms.values())
        if self.metric not in terms or len(terms) < 2 or not 0.0 < total < math.inf:
            return ()
        for name, value in terms.items():
            self._sums[name] = self._sums.get(name, 0.0) + value / total
        if not self._parts.add(record.iteration, terms[self.metric] / total):
            return ()
        sums, self._sums = self._sums, {}
        largest = max(sums, key=lambda name: sums[name])
        swallowed = self._parts.newest < 1.0 - self.loss_term_swallowing_threshold
        if not self._episode.begins(swallowed, self._parts.first_iteration):
            return ()
        return (
            Finding.at(
                record,
                kind="loss_term_swallowing",
                severity="warning",
                metric=largest,
                value=record.values.get(largest),
                evidence={
                    "share": sums[largest] / self.check_interval,
                    "main": self.metric,
                    "main_share": self._parts.newest,
                    "terms": {name: record.values[name] for name in terms},
                    "first_iteration": self._episode.first_iteration,
                },
            ),
        )

    def state_dict(self) -> dict[str, Any]:
        return {
            "parts": self._parts.state_dict(),
            "episode": self._episode.state_dict(),
            "sums": dict(self._sums),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self._parts.load_state_dict(state["parts"])
        self._episode.load_state_dict(state["episode"])
        self._sums = dict(state["sums"])
