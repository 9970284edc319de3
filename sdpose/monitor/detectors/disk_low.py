"""The disk will not hold the next checkpoint."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

from sdpose.monitor.detector import Detector
from sdpose.monitor.episode import Episode
from sdpose.monitor.finding import Finding
from sdpose.monitor.parameters import number_between, whole_number
from sdpose.monitor.record import Record
from sdpose.monitor.robust import median

# A checkpoint stands beside its predecessor until it is whole, and the logs go on.
MARGIN = 1.1
NUM_VALUES = 20
FEWEST = 10


class DiskLow(Detector):
    """Compares the free space where checkpoints go, in MiB, with what one of them needs.

    Found is a disk with less than that now, or one that is being filled so steadily that it will have less when the
    next checkpoint is due: the median change of the last intervals, looked ahead no further than five times as far as
    was looked back. Where the size of a checkpoint is unknown, `absolute_floor` MiB stand for it.
    """

    def __init__(
        self,
        *,
        checkpoint_mib: float | None = None,
        checkpoint_iterations: int | None = None,
        absolute_floor: float = 200.0,
        metric: str = "disk_free_mib",
    ) -> None:
        name = "DiskLow"
        self.absolute_floor = number_between(name, "absolute_floor", absolute_floor, 0.0, math.inf)
        self.checkpoint_mib = checkpoint_mib
        self.checkpoint_iterations = (
            None
            if checkpoint_iterations is None
            else whole_number(name, "checkpoint_iterations", checkpoint_iterations)
        )
        self.metric = metric
        self.reset()

    def reset(self) -> None:
        self._values: list[list[float]] = []
        self._episode = Episode()

    def update(self, record: Record) -> Sequence[Finding]:
        free = record.values.get(self.metric)
        if free is None or record.mode != "train" or not math.isfinite(free):
            return ()
        self._values.append([record.iteration, free])
        del self._values[:-NUM_VALUES]
        needed = max(self.absolute_floor, MARGIN * (self.checkpoint_mib or 0.0))
        per_iteration = self._filling()
        left = self._iterations_left(record.iteration)
        looked_back = record.iteration - self._values[0][0]
        runs_out = (
            per_iteration > 0.0
            and left is not None
            and left <= 5 * looked_back
            and free - per_iteration * left < needed
        )
        if not self._episode.begins(free < needed or runs_out, record.iteration):
            return ()
        return (
            Finding.at(
                record,
                kind="disk_low",
                severity="critical",
                metric=self.metric,
                value=free,
                evidence={
                    "free": free,
                    "needed": needed,
                    "filling_per_1000_iterations": 1000 * per_iteration,
                    "iterations_left": left,
                    "already": free < needed,
                },
            ),
        )

    def _filling(self) -> float:
        """MiB an iteration that go, if they go steadily; checkpoints and their removal are single steps."""
        if len(self._values) < FEWEST:
            return 0.0
        rates = [
            (before[1] - after[1]) / max(after[0] - before[0], 1) for before, after in pairwise(self._values)
        ]
        return max(median(rates), 0.0)

    def _iterations_left(self, iteration: int) -> int | None:
        """Until the next checkpoint is due."""
        if self.checkpoint_iterations is None:
            return None
        return -iteration % self.checkpoint_iterations

    def state_dict(self) -> dict[str, Any]:
        return {"values": [list(value) for value in self._values], "episode": self._episode.state_dict()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self._values = [[int(iteration), float(free)] for iteration, free in state["values"]]
        self._episode.load_state_dict(state["episode"])
