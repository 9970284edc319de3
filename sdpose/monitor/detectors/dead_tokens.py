"""The tokens are the same whatever the picture shows."""

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

METRICS = ("kpt_token_std", "vis_token_std")
# Checks that make a level; a wrong weight decay has killed all tokens within 200 iterations.
FEWEST = 3


class DeadTokens(Detector):
    """Watches how much tokens differ between the pictures of a batch: `metrics`, each against its own past.

    Found is a spread of less than `dead_tokens_threshold` of its level (the median of the last `num_reference`
    checks) or of exactly 0, `patience` checks in a row. Once an episode: tokens of one kind take the others along.
    Differences that are small from the start are not found: an untrained keypoint token hardly looks at the picture
    (docs/plateau.md).
    """

    def __init__(
        self,
        *,
        check_interval: int = 50,
        dead_tokens_threshold: float = 0.01,
        num_reference: int = 20,
        patience: int = 2,
        metrics: Sequence[str] = METRICS,
    ) -> None:
        name = "DeadTokens"
        self.check_interval = whole_number(name, "check_interval", check_interval)
        self.dead_tokens_threshold = number_between(
            name, "dead_tokens_threshold", dead_tokens_threshold, 0.0, 1.0
        )
        self.num_reference = whole_number(name, "num_reference", num_reference, at_least=FEWEST)
        self.patience = whole_number(name, "patience", patience)
        self.metrics = tuple(metrics)
        self.reset()

    def reset(self) -> None:
        self._spreads = {
            metric: BlockMedians(self.check_interval, self.num_reference + 1) for metric in self.metrics
        }
        self._episodes = {metric: Episode(self.patience) for metric in self.metrics}
        self._weight_norms: list[float] = []  # first and last

    def update(self, record: Record) -> Sequence[Finding]:
        if record.mode != "train":
            return ()
        norm = record.values.get("weight_norm")
        if norm is not None and math.isfinite(norm):
            self._weight_norms = [*self._weight_norms[:1], norm]
        findings: list[Finding] = []
        for metric in self.metrics:
            value = record.values.get(metric)
            if value is not None and self._spreads[metric].add(record.iteration, value):
                findings += self._check(record, metric)
        return findings

    def _check(self, record: Record, metric: str) -> Sequence[Finding]:
        spreads, episode = self._spreads[metric], self._episodes[metric]
        current = spreads.newest
        level = spreads.level if len(spreads.earlier) >= FEWEST else None
        dead = current == 0.0 or (level is not None and current < level * self.dead_tokens_threshold)
        known = any(other.lasts for other in self._episodes.values())
        if not episode.begins(dead, spreads.first_iteration) or known:
            return ()
        return (
            Finding.at(
                record,
                kind="dead_tokens",
                severity="warning",
                metric=metric,
                value=current,
                evidence={
                    "current": current,
                    "level": level,
                    "dead_tokens_threshold": self.dead_tokens_threshold,
                    "first_iteration": episode.first_iteration,
                    # Shrinking weights are what a weight decay that is too strong looks like.
                    "weight_norms": list(self._weight_norms),
                },
            ),
        )

    def state_dict(self) -> dict[str, Any]:
        return {
            "spreads": {metric: spreads.state_dict() for metric, spreads in self._spreads.items()},
            "episodes": {metric: episode.state_dict() for metric, episode in self._episodes.items()},
            "weight_norms": list(self._weight_norms),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        for metric in self.metrics:
            if metric in state["spreads"]:
                self._spreads[metric].load_state_dict(state["spreads"][metric])
                self._episodes[metric].load_state_dict(state["episodes"][metric])
        self._weight_norms = [float(norm) for norm in state["weight_norms"]]
