"""An evaluation is clearly worse than the best one so far: by the guide's 0.05, or beyond its noise."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from sdpose.monitor.detector import Detector
from sdpose.monitor.finding import Finding
from sdpose.monitor.parameters import number_between
from sdpose.monitor.record import Record
from sdpose.monitor.watched import full_score

# 0.72 - 0.67 is 0.04999999999999993 and still a drop of 0.05.
ROUNDING = 1e-9


class PerformanceDrop(Detector):
    """Finds each evaluation whose metric lies `performance_drop_threshold` or more below the best before it.

    Where the record brings the interval of that drop (`AP_below_best_low`, `AP_below_best_high`: a paired bootstrap),
    a drop that may be chance is for information only, and a smaller one that is not chance is found too: for
    information at first, as a warning from the third in a row.

    The metric is a fraction, 0 to 1, or in percent, and higher is better. Evaluations without it, or where it is not
    finite, are passed over.
    """

    IN_A_ROW = 3

    def __init__(self, *, performance_drop_threshold: float = 0.05, metric: str = "AP") -> None:
        self.performance_drop_threshold = number_between(
            "PerformanceDrop", "performance_drop_threshold", performance_drop_threshold, 0.0, 1.0
        )
        self.metric = metric
        self.reset()

    def reset(self) -> None:
        self._best: float | None = None
        self._best_epoch: int | None = None
        self._real_in_a_row = 0

    def update(self, record: Record) -> Sequence[Finding]:
        if record.mode != "val":
            return ()
        current = record.values.get(self.metric, math.nan)
        if not math.isfinite(current):
            return ()
        if self._best is None or current > self._best:
            self._best, self._best_epoch = current, record.epoch
            self._real_in_a_row = 0
            return ()
        drop = self._best - current
        low = record.values.get(f"{self.metric}_below_best_low")
        high = record.values.get(f"{self.metric}_below_best_high")
        real = low is not None and low > 0.0
        self._real_in_a_row = self._real_in_a_row + 1 if real else 0
        threshold = self.performance_drop_threshold * full_score(self._best)
        large = drop >= threshold - ROUNDING
        if not large and not real:
            return ()
        loud = (large and (low is None or real)) or self._real_in_a_row == self.IN_A_ROW
        return (
            Finding(
                kind="performance_drop",
                severity="warning" if loud else "info",
                epoch=record.epoch,
                iteration=record.iteration,
                metric=self.metric,
                value=current,
                evidence={
                    "current": current,
                    "best": self._best,
                    "best_epoch": self._best_epoch,
                    "drop": drop,
                    "performance_drop_threshold": threshold,
                    "low": low,
                    "high": high,
                    "details": dict(record.details),
                },
                time=record.time,
            ),
        )

    def state_dict(self) -> dict[str, Any]:
        return {"best": self._best, "best_epoch": self._best_epoch, "real_in_a_row": self._real_in_a_row}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self._best, self._best_epoch = state["best"], state["best_epoch"]
        self._real_in_a_row = state["real_in_a_row"]
