"""The curve of a run so far, in bounded memory: means over checks of so many iterations."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from sdpose.monitor.robust import Floats

MAX_POINTS = 256


class CheckHistory:
    """Means of a value over `check_interval` iterations, at iterations divisible by it, oldest first.

    A loop that tells of every tenth iteration only may step over those: then the next one that it tells of counts.

    Past `MAX_POINTS` neighbours are merged and a point covers twice as many iterations from then on: the whole run
    stays in view, days of it as well. Values that are not finite take no part.
    """

    def __init__(self, check_interval: int) -> None:
        self.check_interval = check_interval
        self._window: list[float] = []
        self._means: list[float] = []
        self._iterations: list[int] = []
        self._checks_a_point = 1
        self._pending: list[float] = []
        self._last: int | None = None

    def __len__(self) -> int:
        return len(self._means)

    def add(self, iteration: int, value: float) -> bool:
        """Take in one iteration's value; True when that completed a point."""
        if math.isfinite(value):
            self._window.append(value)
        due = is_due(iteration, self._last, self.check_interval)
        self._last = iteration
        if not due or not self._window:
            return False
        self._pending.append(sum(value / len(self._window) for value in self._window))
        self._window.clear()
        if len(self._pending) < self._checks_a_point:
            return False
        self._means.append(sum(self._pending) / len(self._pending))
        self._iterations.append(iteration)
        self._pending.clear()
        if len(self._means) >= MAX_POINTS:
            self._merge()
        return True

    @property
    def means(self) -> Floats:
        """(n,)"""
        return np.array(self._means)

    def iteration_at(self, index: int) -> int:
        """The first iteration that a point covers."""
        return max(1, self._iterations[index] - self.check_interval * self._checks_a_point + 1)

    def index_after(self, iteration: int) -> int:
        """Of the first point that lies wholly after an iteration."""
        return next((index for index in range(len(self)) if self.iteration_at(index) > iteration), len(self))

    def _merge(self) -> None:
        self._means = [
            (left + right) / 2 for left, right in zip(self._means[::2], self._means[1::2], strict=True)
        ]
        self._iterations = self._iterations[1::2]
        self._checks_a_point *= 2

    def clear(self) -> None:
        """Forget everything."""
        self._window, self._means, self._iterations, self._pending = [], [], [], []
        self._checks_a_point, self._last = 1, None

    def state_dict(self) -> dict[str, Any]:
        """Plain data."""
        return {
            "window": list(self._window),
            "means": list(self._means),
            "iterations": list(self._iterations),
            "checks_a_point": self._checks_a_point,
            "pending": list(self._pending),
            "last": self._last,
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from what `state_dict` gave."""
        self._window, self._means = list(state["window"]), list(state["means"])
        self._iterations, self._pending = list(state["iterations"]), list(state["pending"])
        self._checks_a_point, self._last = state["checks_a_point"], state.get("last")


def is_due(iteration: int, last: int | None, interval: int) -> bool:
    """Whether an iteration divisible by `interval` has come since the record before (`last`, None: no such)."""
    before = iteration - 1 if last is None else last
    return iteration // interval > before // interval
