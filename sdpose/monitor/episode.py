"""A fault that lasts is told once: what every detector needs between "this looks bad" and "say it"."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


class Episode:
    """Begins when `patience` checks in a row were bad; over, and ready for the next, when as many were good."""

    def __init__(self, patience: int = 1) -> None:
        self.patience = patience
        self.first_iteration = 0
        """Of the bad checks in a row, where the first began."""
        self._told = False
        self._num_bad = 0
        self._num_good = 0

    @property
    def lasts(self) -> bool:
        """It has begun and is not over."""
        return self._told

    def begins(self, bad: bool, first_iteration: int) -> bool:
        """Whether to speak now; `first_iteration` is where what this check looked at begins."""
        if not bad:
            self._num_bad = 0
            self._num_good += 1
            if self._num_good >= self.patience:
                self._told = False
            return False
        self._num_good = 0
        if self._num_bad == 0:
            self.first_iteration = first_iteration
        self._num_bad = min(self._num_bad + 1, self.patience)
        if self._told or self._num_bad < self.patience:
            return False
        self._told = True
        return True

    def begin_now(self, first_iteration: int) -> bool:
        """Begin without patience; False if it has begun already."""
        if self._told:
            return False
        if self._num_bad == 0:
            self.first_iteration = first_iteration
        self._told = True
        return True

    def state_dict(self) -> dict[str, Any]:
        return {
            "told": self._told,
            "num_bad": self._num_bad,
            "num_good": min(self._num_good, self.patience),
            "first_iteration": self.first_iteration,
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self._told, self.first_iteration = state["told"], state["first_iteration"]
        self._num_bad, self._num_good = state["num_bad"], state["num_good"]
