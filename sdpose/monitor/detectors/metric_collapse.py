"""The AP is zero, or has fallen to almost nothing (the guide's case 2)."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from sdpose.monitor.detector import Detector
from sdpose.monitor.finding import Finding
from sdpose.monitor.parameters import number_between
from sdpose.monitor.patterns.collapse import find_collapse, is_zero
from sdpose.monitor.record import Record
from sdpose.monitor.watched import full_score

NUM_EVALUATIONS = 200
# An AP that had reached this and is a fifth of it now has not dipped by chance.
CLEAR_BEST, CLEAR_SHARE = 0.1, 0.2
ZERO_EVALUATIONS = 3
# Share of joints that a training batch finds (`acc_pose`): 0.1 on the way out of empty heatmaps, 0.7 when trained.
FOUND_SHARE = 0.35
# AP is about a third of that share or more, on every data set and at every stage that we have seen.
LOST_SHARE, LOST_EVALUATIONS = 0.1, 2
# Of one iteration in the running mean of `acc_pose`.
ACCURACY_WEIGHT = 0.1


class MetricCollapse(Detector):
    """Finds `metric_collapse`, at once where it is beyond doubt, else at the second low evaluation; and `metric_zero`.

    Where training batches find their joints (`acc_pose`), two evaluations with a tenth of that are enough: what the
    model can do is lost on the way to the metric (boxes, image ids, normalisation). Without, a metric that was 0.0000
    in its first three evaluations may be beginning still, and nothing is said before `patience_share` of the run.
    Each is found once an episode.
    """

    def __init__(
        self, *, metric: str = "AP", total_epochs: int | None = None, patience_share: float = 0.2
    ) -> None:
        self.metric = metric
        self.total_epochs = total_epochs
        self.patience_share = number_between("MetricCollapse", "patience_share", patience_share, 0.0, 1.0)
        self._scores: list[float] = []
        self._epochs: list[int] = []
        self._low = False
        self._accuracy: float | None = None

    def update(self, record: Record) -> Sequence[Finding]:
        if record.mode != "val":
            self._follow_accuracy(record.values.get("acc_pose", math.nan))
            return ()
        score = record.values.get(self.metric, math.nan)
        if not math.isfinite(score):
            return ()
        self._scores = [*self._scores, score][-NUM_EVALUATIONS:]
        self._epochs = [*self._epochs, record.epoch][-NUM_EVALUATIONS:]
        found = self._collapse() or self._zero(record.epoch)
        was_low, self._low = self._low, found is not None
        if found is None or was_low:
            return ()
        kind, evidence = found
        return (
            Finding(
                kind=kind,
                severity="critical",
                epoch=record.epoch,
                iteration=record.iteration,
                metric=self.metric,
                value=score,
                evidence={"current": score, **evidence, "details": dict(record.details)},
                time=record.time,
            ),
        )

    def _collapse(self) -> tuple[str, dict[str, Any]] | None:
        scores = np.array(self._scores)
        best_index = int(np.argmax(scores))
        best, current = float(scores[best_index]), float(scores[-1])
        clear = best >= CLEAR_BEST * full_score(best) and current < CLEAR_SHARE * best
        found = find_collapse(scores, at_least=2)
        if not clear and found is None:
            return None
        num_low = found.num_low if found else 1
        return "metric_collapse", {
            "best": best,
            "best_epoch": self._epochs[best_index],
            "num_evaluations": num_low,
            "first_epoch": self._epochs[-num_low],
        }

    def _zero(self, epoch: int) -> tuple[str, dict[str, Any]] | None:
        evidence = {"num_evaluations": len(self._scores), "first_epoch": self._epochs[0]}
        if self._accuracy is not None and self._accuracy > FOUND_SHARE:
            limit = LOST_SHARE * self._accuracy * full_score(max(self._scores))
            lost = len(self._scores) >= LOST_EVALUATIONS and max(self._scores[-LOST_EVALUATIONS:]) < limit
            return ("metric_zero", {**evidence, "acc_pose": self._accuracy}) if lost else None
        if not is_zero(np.array(self._scores), at_least=ZERO_EVALUATIONS):
            return None
        if self.total_epochs and epoch < self.patience_share * self.total_epochs:
            return None
        return "metric_zero", evidence

    def _follow_accuracy(self, value: float) -> None:
        if math.isfinite(value):
            before = value if self._accuracy is None else self._accuracy
            self._accuracy = before + ACCURACY_WEIGHT * (value - before)

    def reset(self) -> None:
        self._scores, self._epochs, self._low, self._accuracy = [], [], False, None

    def state_dict(self) -> dict[str, Any]:
        return {
            "scores": list(self._scores),
            "epochs": list(self._epochs),
            "low": self._low,
            "accuracy": self._accuracy,
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self._scores, self._epochs = list(state["scores"]), list(state["epochs"])
        self._low, self._accuracy = state["low"], state["accuracy"]
