"""The AP has stopped rising (the guide's tip for the middle of a run)."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from sdpose.monitor.detector import Detector
from sdpose.monitor.finding import Finding
from sdpose.monitor.parameters import whole_number
from sdpose.monitor.record import Record
from sdpose.monitor.robust import noise

NUM_EVALUATIONS = 60
# So much above the noise ends a plateau.
CLEAR_GAIN = 4.0


class Plateau(Detector):
    """Finds an AP whose best of the last `num_evaluations` is no better than the best before, beyond noise.

    For information: a run ends on a plateau, and a step of the learning rate often ends one. Counting begins anew with
    such a step. Found once a plateau.
    """

    def __init__(self, *, num_evaluations: int = 10, metric: str = "AP") -> None:
        self.num_evaluations = whole_number("Plateau", "num_evaluations", num_evaluations, at_least=3)
        self.metric = metric
        self.reset()

    def reset(self) -> None:
        self._scores: list[float] = []
        self._lr: float | None = None
        self._best_epoch = 0
        self._said = False

    def update(self, record: Record) -> Sequence[Finding]:
        score = record.values.get(self.metric, math.nan)
        if record.mode != "val" or not math.isfinite(score):
            return ()
        lr = record.values.get("lr")
        if lr is not None:
            if self._lr is not None and lr < 0.7 * self._lr:
                self._scores, self._said = [], False
            self._lr = lr
        self._scores = [*self._scores, score][-NUM_EVALUATIONS:]
        best = max(self._scores)
        if score == best:
            self._best_epoch = record.epoch
        if len(self._scores) <= 2 * self.num_evaluations or best < 1e-4:
            return ()
        before, now = self._scores[: -self.num_evaluations], self._scores[-self.num_evaluations :]
        gain, wobble = max(now) - max(before), noise(now)
        if gain > CLEAR_GAIN * wobble:
            self._said = False
        if gain > wobble or self._said:
            return ()
        self._said = True
        return (
            Finding(
                kind="plateau",
                severity="info",
                epoch=record.epoch,
                iteration=record.iteration,
                metric=self.metric,
                value=score,
                evidence={
                    "best": best,
                    "best_epoch": self._best_epoch,
                    "num_evaluations": self.num_evaluations,
                    "gain": gain,
                    "noise": wobble,
                },
                time=record.time,
            ),
        )

    def state_dict(self) -> dict[str, Any]:
        return {
            "scores": list(self._scores),
            "lr": self._lr,
            "best_epoch": self._best_epoch,
            "said": self._said,
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self._scores, self._lr = list(state["scores"]), state["lr"]
        self._best_epoch, self._said = state["best_epoch"], state["said"]
