"""An evaluation is clearly worse than the best one so far."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from sdpose.monitor.detector import Detector
from sdpose.monitor.finding import Finding
from sdpose.monitor.parameters import number_between
from sdpose.monitor.record import Record

# 0.72 - 0.67 is 0.04999999999999993 and still a drop of 0.05.
ROUNDING = 1e-9


class PerformanceDrop(Detector):
    """Finds each evaluation whose metric lies `performance_drop_threshold` or more below the best before it.

    The metric is a fraction, 0 to 1, and higher is better. Evaluations without it, or where it is not finite,
    are passed over.
    """

    def __init__(self, *, performance_drop_threshold: float = 0.05, metric: str = "AP") -> None:
        self.performance_drop_threshold = number_between(
            "PerformanceDrop", "performance_drop_threshold", performance_drop_threshold, 0.0, 1.0
        )
        self.metric = metric
        self._best: float | None = None
        self._best_epoch: int | None = None

    def update(self, record: Record) -> Sequence[Finding]:
        if record.mode != "val":
            return ()
        current = record.values.get(self.metric, math.nan)
        if not math.isfinite(current):
            return ()
        if self._best is None or current > self._best:
            self._best, self._best_epoch = current, record.epoch
            return ()
        drop = self._best - current
        if drop < self.performance_drop_threshold - ROUNDING:
            return ()
        return (
            Finding(
                kind="performance_drop",
                severity="warning",
                epoch=record.epoch,
                iteration=record.iteration,
                metric=self.metric,
                value=current,
                evidence={
                    "current": current,
                    "best": self._best,
                    "best_epoch": self._best_epoch,
                    "drop": drop,
                    "performance_drop_threshold": self.performance_drop_threshold,
                },
                time=record.time,
            ),
        )

    def reset(self) -> None:
        self._best = None
        self._best_epoch = None

    def state_dict(self) -> dict[str, Any]:
        return {"best": self._best, "best_epoch": self._best_epoch}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self._best, self._best_epoch = state["best"], state["best_epoch"]
