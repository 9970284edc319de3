"""The states a run can go back to without a file: the start of the logging interval, and some from before."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sdpose.training.state import StateCopy, TrainingState

NUM_ANCHORS = 2


class GoodStates:
    """Keeps copies of the training state; the same on every process.

    num_recent: copies of the newest starts of an interval, on the model's device. anchor_iterations: distance of two
    further copies on the host, from the start of the process on, for faults that are noticed late; None for none.
    """

    def __init__(
        self, state: TrainingState, *, num_recent: int = 1, anchor_iterations: int | None = None
    ) -> None:
        self._state = state
        self._num_recent = num_recent
        self._anchor_iterations = anchor_iterations
        self._recent: list[StateCopy] = []
        self._anchors: list[StateCopy] = []

    @property
    def iterations(self) -> list[int]:
        """Finished iterations of the states that are there, ascending."""
        return sorted({kept.iteration for kept in (*self._recent, *self._anchors)})

    def keep(self, monitor: Mapping[str, Any], *, quiet: bool = True) -> None:
        """Copy the state as it is. `quiet`: nothing was wrong lately, so that it may serve for long."""
        self._recent = _taken(self._recent, self._num_recent, StateCopy(self._state), monitor)
        if self._anchor_iterations is None:
            return
        newest = max((anchor.iteration for anchor in self._anchors), default=None)
        now = self._state.progress.iteration
        if newest is None or (quiet and now >= newest + self._anchor_iterations):
            spare = StateCopy(self._state, on_host=True)
            self._anchors = _taken(self._anchors, NUM_ANCHORS, spare, monitor)

    def at(self, iteration: int) -> StateCopy | None:
        """The state after so many iterations, if it is there."""
        kept = (*reversed(self._recent), *self._anchors)
        return next((entry for entry in kept if entry.iteration == iteration), None)

    def newest(self) -> StateCopy | None:
        """The latest state, if there is any."""
        return self.at(self.iterations[-1]) if self.iterations else None

    def drop_after(self, iteration: int) -> None:
        """Forget the states after it: the run went back and will not come there again."""
        self._recent = [kept for kept in self._recent if kept.iteration <= iteration]
        self._anchors = [kept for kept in self._anchors if kept.iteration <= iteration]


def _taken(
    kept: list[StateCopy], limit: int, spare: StateCopy, monitor: Mapping[str, Any]
) -> list[StateCopy]:
    """The list with the state of now at its end, in the memory of the oldest where the list is full."""
    chosen, rest = (kept[0], kept[1:]) if len(kept) >= limit else (spare, kept)
    chosen.take(monitor)
    return [*rest, chosen]
