"""One process of a distributed run has another loss than the rest, time and again."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from sdpose.monitor.detector import Detector
from sdpose.monitor.finding import Finding
from sdpose.monitor.parameters import number_between, whole_number
from sdpose.monitor.record import Record

# Deviations that agree better than this are taken as agreeing just so well.
STEADY = 0.02
# A rank whose loss is twice, or half, that of the others is certain after half as many intervals.
LARGE = math.log(2.0)


class RanksDisagree(Detector):
    """Compares the mean loss of each rank over a logging interval (`details["loss_per_rank"]`) with the others'.

    Every rank sees random samples of one set, so a rank's deviation (the logarithm of the ratio) is noise around 0.
    Found is a rank whose last `num_recent` deviations have a mean of `ranks_disagree_threshold` or more, `num_spreads`
    standard errors away from 0, or whose last half of them have a mean of log 2; once an episode and rank. Losses
    that are not positive have no ratio.
    """

    def __init__(
        self,
        *,
        ranks_disagree_threshold: float = 0.2,
        num_recent: int = 8,
        num_spreads: float = 10.0,
        metric: str = "rank_spread",
    ) -> None:
        name = "RanksDisagree"
        self.ranks_disagree_threshold = number_between(
            name, "ranks_disagree_threshold", ranks_disagree_threshold, 0.0, math.inf
        )
        self.num_recent = whole_number(name, "num_recent", num_recent, at_least=6)
        self.num_spreads = number_between(name, "num_spreads", num_spreads, 0.0, math.inf)
        self.metric = metric
        self.reset()

    def reset(self) -> None:
        self._deviations: list[list[float]] = []
        self._iterations: list[int] = []
        self._told: int | None = None

    def update(self, record: Record) -> Sequence[Finding]:
        if record.mode != "train" or self.metric not in record.values:
            return ()
        losses = [float(loss) for loss in record.details.get("loss_per_rank", ())]
        if len(losses) < 2 or not all(0.0 < loss < math.inf for loss in losses):
            return ()
        if self._deviations and len(self._deviations[0]) != len(losses):
            self.reset()  # resumed with another number of processes
        self._deviations.append(_deviations(losses))
        self._iterations.append(record.iteration)
        del self._deviations[: -self.num_recent], self._iterations[: -self.num_recent]
        rank, mean, size = self._worst(self.num_recent // 2, LARGE)
        if rank is None:
            rank, mean, size = self._worst(self.num_recent, self.ranks_disagree_threshold)
        if rank is None:
            self._told = None
            return ()
        if rank == self._told:
            return ()
        self._told = rank
        return (
            Finding.at(
                record,
                kind="ranks_disagree",
                severity="critical",
                metric=self.metric,
                value=record.values[self.metric],
                evidence={
                    "rank": rank,
                    "deviation": math.exp(mean) - 1.0,
                    "loss_per_rank": losses,
                    "num_intervals": size,
                    "ranks_disagree_threshold": self.ranks_disagree_threshold,
                    "first_iteration": self._iterations[-size],
                },
            ),
        )

    def _worst(self, size: int, threshold: float) -> tuple[int | None, float, int]:
        """The rank that deviates most among those that do so for certain in the last `size` intervals, and its mean."""
        if len(self._deviations) < size:
            return None, 0.0, size
        certain: list[tuple[int, float]] = []
        for rank, own in enumerate(zip(*self._deviations[-size:], strict=True)):
            mean = sum(own) / size
            spread = math.sqrt(sum((deviation - mean) ** 2 for deviation in own) / (size - 1))
            if abs(mean) >= max(threshold, self.num_spreads * max(spread, STEADY) / math.sqrt(size)):
                certain.append((rank, mean))
        if not certain:
            return None, 0.0, size
        # Of two that deviate from each other, the one with the higher loss.
        rank, mean = max(certain, key=lambda known: (round(abs(known[1]), 2), known[1]))
        return rank, mean, size

    def state_dict(self) -> dict[str, Any]:
        return {
            "deviations": [list(deviations) for deviations in self._deviations],
            "iterations": list(self._iterations),
            "told": self._told,
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self._deviations = [list(deviations) for deviations in state["deviations"]][-self.num_recent :]
        self._iterations = list(state["iterations"])[-self.num_recent :]
        self._told = state["told"]


def _deviations(losses: Sequence[float]) -> list[float]:
    """Of each rank from the mean of the others, as the logarithm of the ratio."""
    total = sum(losses)
    return [math.log(loss * (len(losses) - 1) / (total - loss)) for loss in losses]
