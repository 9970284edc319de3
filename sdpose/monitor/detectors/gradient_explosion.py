"""The gradients have grown far beyond what they were, and the loss does not fall with it."""

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
from sdpose.monitor.robust import noise

# A gradient norm that changes by less than this factor from block to block counts as steady.
STEADY = math.log(1.25)
# Between two iterations: a warm-up's first steps, a milestone, a restart, another rate after a resume.
LR_JUMP = 1.5
# Checks that make a level: an explosion at the end of a short warm-up has few before it.
FEWEST = 8


class GradientExplosion(Detector):
    """Compares the median of `check_interval` gradient norms with up to `num_reference` checks before it.

    Found is a norm `gradient_explosion_threshold` times that level and `num_spreads` of its usual steps away
    (both on a logarithmic scale), `patience` checks in a row, while the loss is no lower than it was: a model that
    leaves a plateau has growing gradients too, and a falling loss. A jump of the learning rate starts the
    comparison anew. Norms that are not finite are `NonFinite`'s business.
    """

    def __init__(
        self,
        *,
        check_interval: int = 10,
        gradient_explosion_threshold: float = 10.0,
        num_reference: int = 20,
        num_spreads: float = 6.0,
        patience: int = 2,
        metric: str = "grad_norm",
        loss_metric: str = "loss",
    ) -> None:
        name = "GradientExplosion"
        self.check_interval = whole_number(name, "check_interval", check_interval)
        self.gradient_explosion_threshold = number_between(
            name, "gradient_explosion_threshold", gradient_explosion_threshold, 1.0, math.inf
        )
        self.num_reference = whole_number(name, "num_reference", num_reference, at_least=FEWEST)
        self.num_spreads = number_between(name, "num_spreads", num_spreads, 0.0, math.inf)
        self.patience = whole_number(name, "patience", patience)
        self.metric = metric
        self.loss_metric = loss_metric
        self.reset()

    def reset(self) -> None:
        self._norms = BlockMedians(self.check_interval, self.num_reference + 1)
        self._losses = BlockMedians(self.check_interval, self.num_reference + 1)
        self._episode = Episode(self.patience)
        self._lr: float | None = None

    def update(self, record: Record) -> Sequence[Finding]:
        norm = record.values.get(self.metric)
        if norm is None or record.mode != "train":
            return ()
        self._follow_lr(record.values.get("lr"))
        self._losses.add(record.iteration, record.values.get(self.loss_metric, math.nan))
        if not self._norms.add(record.iteration, norm) or len(self._norms.earlier) < FEWEST:
            return ()
        level, current = self._norms.level, self._norms.newest
        if not self._episode.begins(self._is_explosion(level, current), self._norms.first_iteration):
            return ()
        return (
            Finding.at(
                record,
                kind="gradient_explosion",
                severity="warning",
                metric=self.metric,
                value=current,
                evidence={
                    "current": current,
                    "level": level,
                    "ratio": current / level,
                    "gradient_explosion_threshold": self.gradient_explosion_threshold,
                    "first_iteration": self._episode.first_iteration,
                },
            ),
        )

    def _is_explosion(self, level: float, current: float) -> bool:
        if level <= 0.0 or current < level * self.gradient_explosion_threshold:
            return False
        logarithms = [math.log(norm) for norm in self._norms.earlier if norm > 0.0]
        if math.log(current / level) < self.num_spreads * noise(logarithms, STEADY):
            return False
        return not self._losses.earlier or self._losses.newest >= self._losses.level

    def _follow_lr(self, lr: float | None) -> None:
        if lr is None or not 0.0 < lr < math.inf:
            return
        if self._lr is not None and not 1 / LR_JUMP <= lr / self._lr <= LR_JUMP:
            self._norms.clear()
            self._losses.clear()
        self._lr = lr

    def state_dict(self) -> dict[str, Any]:
        return {
            "norms": self._norms.state_dict(),
            "losses": self._losses.state_dict(),
            "episode": self._episode.state_dict(),
            "lr": self._lr,
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self._norms.load_state_dict(state["norms"])
        self._losses.load_state_dict(state["losses"])
        self._episode.load_state_dict(state["episode"])
        self._lr = state["lr"]
