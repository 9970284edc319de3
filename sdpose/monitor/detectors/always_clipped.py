"""Nearly every gradient is clipped: the norm decides nothing any more, only the direction does."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from sdpose.monitor.detector import Detector
from sdpose.monitor.finding import Finding
from sdpose.monitor.parameters import number_between, whole_number
from sdpose.monitor.record import Record

# Gradients this many times `max_norm`, typically, are no matter of taste.
FAR_ABOVE = 10.0


class AlwaysClipped(Detector):
    """Counts, over every `check_interval` steps after the warm-up, how many gradients were longer than `max_norm`.

    `always_clipped_threshold` of them is worth a note, once: many recipes clip on purpose. It becomes a warning
    when `patience` checks in a row were like that with gradients typically ten times too long.
    """

    def __init__(
        self,
        *,
        max_norm: float,
        check_interval: int = 1000,
        always_clipped_threshold: float = 0.95,
        patience: int = 5,
        warmup_iterations: int = 0,
        metric: str = "grad_norm",
    ) -> None:
        name = "AlwaysClipped"
        self.max_norm = number_between(name, "max_norm", max_norm, 0.0, math.inf)
        self.check_interval = whole_number(name, "check_interval", check_interval)
        self.always_clipped_threshold = number_between(
            name, "always_clipped_threshold", always_clipped_threshold, 0.0, 1.0
        )
        self.patience = whole_number(name, "patience", patience)
        self.warmup_iterations = whole_number(name, "warmup_iterations", warmup_iterations, at_least=0)
        self.metric = metric
        self.reset()

    def reset(self) -> None:
        self._num_steps = 0
        self._num_clipped = 0
        self._sum_of_logarithms = 0.0
        self._num_bad = 0
        self._told = ""

    def update(self, record: Record) -> Sequence[Finding]:
        norm = record.values.get(self.metric)
        if norm is None or record.mode != "train" or record.iteration <= self.warmup_iterations:
            return ()
        if not math.isfinite(norm):
            return ()
        self._num_steps += 1
        if norm > self.max_norm:
            self._num_clipped += 1
            self._sum_of_logarithms += math.log(norm / self.max_norm)
        if self._num_steps < self.check_interval:
            return ()
        return self._check(record)

    def _check(self, record: Record) -> Sequence[Finding]:
        share = self._num_clipped / self._num_steps
        excess = math.exp(self._sum_of_logarithms / max(self._num_clipped, 1))
        self._num_steps, self._num_clipped, self._sum_of_logarithms = 0, 0, 0.0
        if share < self.always_clipped_threshold:
            self._num_bad = 0
            return ()
        self._num_bad = min(self._num_bad + 1, self.patience) if excess >= FAR_ABOVE else 0
        serious = self._num_bad == self.patience
        if self._told == ("warning" if serious else "info") or self._told == "warning":
            return ()
        self._told = "warning" if serious else "info"
        return (
            Finding.at(
                record,
                kind="always_clipped",
                severity="warning" if serious else "info",
                metric=self.metric,
                value=excess * self.max_norm,
                evidence={
                    "share": share,
                    "max_norm": self.max_norm,
                    "typical": excess * self.max_norm,
                    "ratio": excess,
                    "num_steps": self.check_interval * max(self._num_bad, 1),
                    "first_iteration": record.iteration - self.check_interval * max(self._num_bad, 1) + 1,
                },
            ),
        )

    def state_dict(self) -> dict[str, Any]:
        return {
            "num_steps": self._num_steps,
            "num_clipped": self._num_clipped,
            "sum_of_logarithms": self._sum_of_logarithms,
            "num_bad": self._num_bad,
            "told": self._told,
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self._num_steps, self._num_clipped = state["num_steps"], state["num_clipped"]
        self._sum_of_logarithms = state["sum_of_logarithms"]
        self._num_bad, self._told = state["num_bad"], state["told"]
