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


class RanksDisagree(Detector):
    """Compares the mean loss of each rank over a logging interval (`details["loss_per_rank"]`) with the others'.

    Every rank sees random samples of one set, so a rank's deviation is noise around 0. Found is a rank whose last
    `num_recent` deviations have a mean of `ranks_disagree_threshold` or more, `num_spreads` standard errors away
    from 0; once an episode and rank.
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
        self.num_recent = whole_number(name, "num_recent", num_recent, at_least=3)
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
        if len(losses) < 2 or not all(map(math.isfinite, losses)):
            return ()
        if self._deviations and len(self._deviations[0]) != len(losses):
            self.reset()  # resumed with another number of processes
        self._deviations.append(_deviations(losses))
        self._iterations.append(record.iteration)
        del self._deviations[: -self.num_recent], self._iterations[: -self.num_recent]
        if len(self._deviations) < self.num_recent:
            return ()
        rank, mean = self._worst()
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
                    "deviation": mean,
                    "loss_per_rank": losses,
                    "num_intervals": self.num_recent,
                    "ranks_disagree_threshold": self.ranks_disagree_threshold,
                    "first_iteration": self._iterations[0],
                },
            ),
        )

    def _worst(self) -> tuple[int | None, float]:
        """The rank that deviates most among those that do so for certain, and by how much on average."""
        worst: tuple[int | None, float] = (None, 0.0)
        size = len(self._deviations)
        for rank in range(len(self._deviations[0])):
            own = [deviations[rank] for deviations in self._deviations]
            mean = sum(own) / size
            spread = math.sqrt(sum((deviation - mean) ** 2 for deviation in own) / (size - 1))
            error = max(spread, STEADY) / math.sqrt(size)
            certain = abs(mean) >= max(self.ranks_disagree_threshold, self.num_spreads * error)
            if certain and abs(mean) > abs(worst[1]):
                worst = rank, mean
        return worst

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
    """Of each rank from the mean of the others, as a fraction of that mean's size."""
    total = sum(losses)
    others = [(total - loss) / (len(losses) - 1) for loss in losses]
    return [
        (loss - other) / abs(other) if other != 0.0 else 0.0
        for loss, other in zip(losses, others, strict=True)
    ]
