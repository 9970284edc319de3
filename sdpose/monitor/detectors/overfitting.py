"""Evaluations get worse while the training loss goes on falling."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from sdpose.monitor.detector import Detector
from sdpose.monitor.finding import Finding
from sdpose.monitor.parameters import whole_number
from sdpose.monitor.record import Record
from sdpose.monitor.robust import noise, trend
from sdpose.monitor.watched import full_score

NUM_EVALUATIONS = 60


class Overfitting(Detector):
    """Finds an AP that sinks from its best over `num_evaluations` evaluations or more, while the loss falls.

    Sinking is a trend, and a distance from the best beyond the noise of the evaluations (their paired interval, where
    the record brings one). Found once, until a new best.
    """

    def __init__(self, *, num_evaluations: int = 4, metric: str = "AP", loss: str = "loss") -> None:
        self.num_evaluations = whole_number("Overfitting", "num_evaluations", num_evaluations, at_least=3)
        self.metric, self.loss = metric, loss
        self.reset()

    def reset(self) -> None:
        self._scores: list[float] = []
        self._losses: list[float] = []
        self._sum, self._count = 0.0, 0
        self._best_epoch = 0
        self._said = False

    def update(self, record: Record) -> Sequence[Finding]:
        if record.mode == "train":
            value = record.values.get(self.loss, math.nan)
            if math.isfinite(value):
                self._sum += value
                self._count += 1
            return ()
        score = record.values.get(self.metric, math.nan)
        if not math.isfinite(score) or not self._count:
            return ()
        self._scores = [*self._scores, score][-NUM_EVALUATIONS:]
        self._losses = [*self._losses, self._sum / self._count][-NUM_EVALUATIONS:]
        self._sum, self._count = 0.0, 0
        best = max(range(len(self._scores)), key=self._scores.__getitem__)
        if best == len(self._scores) - 1:
            self._best_epoch, self._said = record.epoch, False
        since = self._scores[best:]
        if self._said or len(since) <= self.num_evaluations or trend(since) > -1.9:
            return ()
        drop = since[0] - since[-1]
        low = record.values.get(f"{self.metric}_below_best_low")
        beyond_noise = low > 0 if low is not None else drop > 3.0 * self._noise()
        falling = self._losses[-1] < 0.99 * self._losses[best]
        if not beyond_noise or not falling:
            return ()
        self._said = True
        return (
            Finding(
                kind="overfitting",
                severity="warning",
                epoch=record.epoch,
                iteration=record.iteration,
                metric=self.metric,
                value=score,
                evidence={
                    "best": since[0],
                    "best_epoch": self._best_epoch,
                    "current": score,
                    "train_first": self._losses[best],
                    "train_last": self._losses[-1],
                    "rise": None,
                    "num_evaluations": len(since) - 1,
                },
                time=record.time,
            ),
        )

    def _noise(self) -> float:
        return noise(self._scores, floor=1e-3 * full_score(max(self._scores)))

    def state_dict(self) -> dict[str, Any]:
        return {
            "scores": list(self._scores),
            "losses": list(self._losses),
            "sum": self._sum,
            "count": self._count,
            "best_epoch": self._best_epoch,
            "said": self._said,
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self._scores, self._losses = list(state["scores"]), list(state["losses"])
        self._sum, self._count = state["sum"], state["count"]
        self._best_epoch, self._said = state["best_epoch"], state["said"]
