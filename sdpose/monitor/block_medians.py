"""A series seen through the medians of equal blocks: single wild values vanish, a change that stays does not."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any


class BlockMedians:
    """The median of every `size` finite values in a row; the last `num_blocks` of them are kept, oldest first."""

    def __init__(self, size: int, num_blocks: int) -> None:
        self.size = size
        self.num_blocks = num_blocks
        self.medians: list[float] = []
        self.first_iteration = 0
        """Of the newest block."""
        self._values: list[float] = []
        self._began = 0

    def add(self, iteration: int, value: float) -> bool:
        """Take in one iteration's value; True when that completed a block."""
        if not math.isfinite(value):
            return False
        if not self._values:
            self._began = iteration
        self._values.append(value)
        if len(self._values) < self.size:
            return False
        self.medians.append(_median(self._values))
        del self.medians[: -self.num_blocks]
        self._values.clear()
        self.first_iteration = self._began
        return True

    @property
    def newest(self) -> float:
        """Median of the newest block."""
        return self.medians[-1]

    @property
    def earlier(self) -> list[float]:
        """Medians of the blocks before the newest."""
        return self.medians[:-1]

    @property
    def level(self) -> float:
        """Median of the blocks before the newest; NaN without any."""
        return _median(self.earlier)

    def clear(self) -> None:
        """Forget everything seen."""
        self.medians, self._values = [], []
        self.first_iteration = self._began = 0

    def state_dict(self) -> dict[str, Any]:
        return {
            "medians": list(self.medians),
            "values": list(self._values),
            "first_iteration": self.first_iteration,
            "began": self._began,
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.medians = [float(value) for value in state["medians"]][-self.num_blocks :]
        self._values = [float(value) for value in state["values"]][: self.size - 1]
        self.first_iteration, self._began = state["first_iteration"], state["began"]


def _median(values: Sequence[float]) -> float:
    # For the ten to fifty values of a block ten times as fast as numpy, and this runs in every iteration's shadow.
    ordered = sorted(values)
    middle = len(ordered) // 2
    if not ordered:
        return math.nan
    return ordered[middle] if len(ordered) % 2 else (ordered[middle - 1] + ordered[middle]) / 2
