"""The gradients have all but gone while there is still something to learn."""

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
from sdpose.monitor.robust import median

# A loss that fell to less than this part of its level explains small gradients: the model fits.
FITTED = 0.1


class GradientVanishing(Detector):
    """Compares the median of `check_interval` gradient norms with the level just after the warm-up.

    Found is a norm below `gradient_vanishing_threshold` of that level, `patience` checks in a row, unless the loss
    has fallen too; and a norm of exactly 0, which needs nothing to compare with. The level is the median of the
    first `num_reference` checks: gradients of a healthy run shrink to a tenth or a hundredth, not a thousandth.
    """

    def __init__(
        self,
        *,
        check_interval: int = 50,
        gradient_vanishing_threshold: float = 1e-3,
        num_reference: int = 10,
        patience: int = 2,
        warmup_iterations: int = 0,
        metric: str = "grad_norm",
        loss_metric: str = "loss",
    ) -> None:
        name = "GradientVanishing"
        self.check_interval = whole_number(name, "check_interval", check_interval)
        self.gradient_vanishing_threshold = number_between(
            name, "gradient_vanishing_threshold", gradient_vanishing_threshold, 0.0, 1.0
        )
        self.num_reference = whole_number(name, "num_reference", num_reference)
        self.patience = whole_number(name, "patience", patience)
        self.warmup_iterations = whole_number(name, "warmup_iterations", warmup_iterations, at_least=0)
        self.metric = metric
        self.loss_metric = loss_metric
        self.reset()

    def reset(self) -> None:
        self._norms = BlockMedians(self.check_interval, self.num_reference)
        self._losses = BlockMedians(self.check_interval, self.num_reference)
        self._levels: dict[str, float] = {}
        self._episode = Episode(self.patience)

    def update(self, record: Record) -> Sequence[Finding]:
        norm = record.values.get(self.metric)
        if norm is None or record.mode != "train" or record.iteration <= self.warmup_iterations:
            return ()
        self._losses.add(record.iteration, record.values.get(self.loss_metric, math.nan))
        if not self._norms.add(record.iteration, norm):
            return ()
        current, level = self._norms.newest, self._level("norms", self._norms)
        loss_level = self._level("losses", self._losses)
        vanished = current == 0.0 or (
            level is not None
            and current < level * self.gradient_vanishing_threshold
            and not (loss_level is not None and self._losses.newest < FITTED * loss_level)
        )
        if not self._episode.begins(vanished, self._norms.first_iteration):
            return ()
        return (
            Finding.at(
                record,
                kind="gradient_vanishing",
                severity="warning",
                metric=self.metric,
                value=current,
                evidence={
                    "current": current,
                    "level": level,
                    "gradient_vanishing_threshold": self.gradient_vanishing_threshold,
                    "first_iteration": self._episode.first_iteration,
                },
            ),
        )

    def _level(self, name: str, series: BlockMedians) -> float | None:
        """The median of a series' first checks; None until there are enough of them."""
        if name not in self._levels:
            if len(series.medians) < self.num_reference:
                return None
            self._levels[name] = median(series.medians)
        return self._levels[name]

    def state_dict(self) -> dict[str, Any]:
        return {
            "norms": self._norms.state_dict(),
            "losses": self._losses.state_dict(),
            "levels": dict(self._levels),
            "episode": self._episode.state_dict(),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self._norms.load_state_dict(state["norms"])
        self._losses.load_state_dict(state["losses"])
        self._levels = dict(state["levels"])
        self._episode.load_state_dict(state["episode"])
