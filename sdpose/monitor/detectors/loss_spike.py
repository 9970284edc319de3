"""The loss has jumped: the guide's rule, at least twice the mean of the last five checks."""

from __future__ import annotations

import math
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from sdpose.monitor.detector import Detector
from sdpose.monitor.finding import Finding
from sdpose.monitor.parameters import number_between, whole_number
from sdpose.monitor.record import Record

NUM_CHECKS = 5


class LossSpike(Detector):
    """Compares the mean loss of the last `check_interval` iterations with the mean of the five checks before.

    A check is made at every iteration divisible by `check_interval`. Nothing is found before five checks have
    been made, so the first comparison is at iteration 6 * check_interval. The check that spiked becomes
    history like any other; a loss that stays high is found until the average has followed it.
    Losses that are not finite take no part: they are `NonFinite`'s business.
    """

    def __init__(
        self,
        *,
        check_interval: int = 50,
        loss_spike_threshold: float = 2.0,
        metric: str = "loss",
        absolute_floor: float = 1e-12,
    ) -> None:
        """`absolute_floor`: an average at or below it is rounding noise and has no ratio."""
        self.check_interval = whole_number("LossSpike", "check_interval", check_interval)
        self.loss_spike_threshold = number_between(
            "LossSpike", "loss_spike_threshold", loss_spike_threshold, 1.0, math.inf
        )
        self.absolute_floor = number_between("LossSpike", "absolute_floor", absolute_floor, 0.0, math.inf)
        self.metric = metric
        self._window: list[float] = []
        self._checks: list[float] = []

    def update(self, record: Record) -> Sequence[Finding]:
        if record.mode != "train":
            return ()
        loss = record.values.get(self.metric, math.nan)
        if math.isfinite(loss):
            self._window.append(loss)
        if record.iteration % self.check_interval != 0 or not self._window:
            return ()
        current = _mean(self._window)
        self._window.clear()
        previous, self._checks = self._checks, [*self._checks, current][-NUM_CHECKS:]
        if len(previous) < NUM_CHECKS:
            return ()
        recent_average = _mean(previous)
        if recent_average <= self.absolute_floor:
            return ()
        ratio = min(current / recent_average, sys.float_info.max)
        if ratio < self.loss_spike_threshold:
            return ()
        return (
            Finding(
                kind="loss_spike",
                severity="warning",
                epoch=record.epoch,
                iteration=record.iteration,
                metric=self.metric,
                value=current,
                evidence={
                    "current": current,
                    "recent_average": recent_average,
                    "ratio": ratio,
                    "loss_spike_threshold": self.loss_spike_threshold,
                    "first_iteration": record.iteration - self.check_interval + 1,
                },
                time=record.time,
            ),
        )

    def reset(self) -> None:
        self._window = []
        self._checks = []

    def state_dict(self) -> dict[str, Any]:
        return {"window": list(self._window), "checks": list(self._checks)}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self._window = [float(loss) for loss in state["window"]]
        self._checks = [float(check) for check in state["checks"]][-NUM_CHECKS:]


def _mean(values: Sequence[float]) -> float:
    try:
        return math.fsum(values) / len(values)
    except OverflowError:  # the sum of a diverging loss; its mean is still a float
        return sum(value / len(values) for value in values)
