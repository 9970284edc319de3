"""The loss has jumped: the guide's rule, at least twice the mean of the last five checks, and beyond its noise."""

from __future__ import annotations

import math
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from sdpose.monitor.detector import Detector
from sdpose.monitor.finding import Finding
from sdpose.monitor.history import is_due
from sdpose.monitor.parameters import number_between, whole_number
from sdpose.monitor.patterns.spike import NOISE_WINDOW
from sdpose.monitor.record import Record
from sdpose.monitor.robust import noise

NUM_CHECKS = 5
# Usual steps from one check to the next, on a log scale: healthy runs with batches of 8 reach 4.4 of them.
NUM_STEPS = 5.0
# A learning rate that has just been raised lifts the loss: then only what nobody could take for that is a spike.
RAISED_LR = 1.02
RATIO_AFTER_RAISED_LR = 10.0


class LossSpike(Detector):
    """Compares the mean loss of the last `check_interval` iterations with the mean of the five checks before.

    A check is made at every iteration divisible by `check_interval`, or the first that the loop tells of after it.
    Nothing is found before five checks have been made, so the first comparison is at iteration 6 * check_interval.
    The guide's ratio alone calls noisy curves spiked; so the jump must also be far larger than the usual step between
    two of the last fifty checks.

    While the learning rate rises (warm-up, a restart of its schedule) it takes ten times the average.
    The check that spiked becomes history like any other; a loss that stays high is found until the average has
    followed it. Losses that are not finite take no part: they are `NonFinite`'s business.
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
        self.reset()

    def reset(self) -> None:
        self._window: list[float] = []
        self._checks: list[float] = []
        self._lr: float | None = None
        self._last: int | None = None

    def update(self, record: Record) -> Sequence[Finding]:
        if record.mode != "train":
            return ()
        loss = record.values.get(self.metric, math.nan)
        if math.isfinite(loss):
            self._window.append(loss)
        due = is_due(record.iteration, self._last, self.check_interval)
        began = record.iteration if self._last is None else self._last + 1
        self._last = record.iteration
        if not due or not self._window:
            return ()
        current = _mean(self._window)
        self._window.clear()
        previous, self._checks = self._checks, [*self._checks, current][-NOISE_WINDOW:]
        lr, previous_lr = record.values.get("lr"), self._lr
        self._lr = lr
        if len(previous) < NUM_CHECKS:
            return ()
        recent_average = _mean(previous[-NUM_CHECKS:])
        if recent_average <= self.absolute_floor:
            return ()
        ratio = min(current / recent_average, sys.float_info.max)
        raised = lr is not None and previous_lr is not None and lr > RAISED_LR * previous_lr
        threshold = max(self.loss_spike_threshold, RATIO_AFTER_RAISED_LR if raised else 0.0)
        if ratio < threshold or not self._beyond_noise(ratio, previous):
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
                    "first_iteration": min(began, record.iteration - self.check_interval + 1),
                },
                time=record.time,
            ),
        )

    def _beyond_noise(self, ratio: float, previous: Sequence[float]) -> bool:
        logs = [math.log(max(check, self.absolute_floor)) for check in previous]
        return math.log(ratio) > NUM_STEPS * noise(logs)

    def state_dict(self) -> dict[str, Any]:
        return {
            "window": list(self._window),
            "checks": list(self._checks),
            "lr": self._lr,
            "last": self._last,
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self._window = [float(loss) for loss in state["window"]]
        self._checks = [float(check) for check in state["checks"]][-NOISE_WINDOW:]
        self._lr, self._last = state["lr"], state.get("last")


def _mean(values: Sequence[float]) -> float:
    try:
        return math.fsum(values) / len(values)
    except OverflowError:  # the sum of a diverging loss; its mean is still a float
        return sum(value / len(values) for value in values)
