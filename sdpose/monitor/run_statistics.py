"""The numbers of `training_stats.txt`: running moments of the loss, and the best AP."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any


@dataclass(slots=True, kw_only=True)
class RunStatistics:
    """Moments of all losses in constant memory (Welford 1962); two halves merge (Chan et al. 1979).

    Losses that are not finite would blank every number, so they only show in `final_loss`.
    """

    num_losses: int = 0
    """Finite ones."""
    mean: float = 0.0
    sum_squared_deviations: float = 0.0
    minimum: float = math.inf
    maximum: float = -math.inf
    final_loss: float | None = None
    """The last one, whatever it was."""
    best_ap: float | None = None
    energy_j: float | None = None
    """Of the whole run so far; None where nothing was measured."""
    energy_images: float = 0.0
    """Trained on while it was measured."""
    energy_partial: bool = False
    """Some of the run was not measured."""

    @property
    def std(self) -> float:
        """Of the population, as numpy's default; 0.0 before the first loss."""
        return math.sqrt(self.sum_squared_deviations / self.num_losses) if self.num_losses else 0.0

    def add_loss(self, loss: float) -> None:
        """Take in one iteration's loss."""
        self.final_loss = loss
        if not math.isfinite(loss):
            return
        self.num_losses += 1
        deviation = loss - self.mean
        self.mean += deviation / self.num_losses
        self.sum_squared_deviations += deviation * (loss - self.mean)
        self.minimum = min(self.minimum, loss)
        self.maximum = max(self.maximum, loss)

    def add_ap(self, ap: float) -> None:
        """Take in one evaluation's AP; one that is not finite is never the best."""
        if math.isfinite(ap) and (self.best_ap is None or ap > self.best_ap):
            self.best_ap = ap

    def add_energy(self, values: Mapping[str, float]) -> None:
        """Take in what a record tells of it: totals since the start of the run."""
        if "energy_j" in values:
            self.energy_j, self.energy_images = values["energy_j"], values.get("energy_images", 0.0)
            self.energy_partial = bool(values.get("energy_partial", 0.0))

    def merge(self, later: RunStatistics) -> None:
        """Take in what another one saw after this one."""
        total = self.num_losses + later.num_losses
        if total:
            difference = later.mean - self.mean
            self.sum_squared_deviations += (
                later.sum_squared_deviations
                + difference * difference * self.num_losses * later.num_losses / total
            )
            self.mean += difference * later.num_losses / total
        self.num_losses = total
        self.minimum = min(self.minimum, later.minimum)
        self.maximum = max(self.maximum, later.maximum)
        self.final_loss = self.final_loss if later.final_loss is None else later.final_loss
        if later.best_ap is not None:
            self.add_ap(later.best_ap)
        if later.energy_j is not None:
            self.energy_j, self.energy_images = later.energy_j, later.energy_images
            self.energy_partial = later.energy_partial

    def state_dict(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_state_dict(cls, state: Mapping[str, Any]) -> RunStatistics:
        """The statistics that `state_dict` gave."""
        return cls(**state)
