"""A loss, one of its terms, a gradient norm, an output, a weight or the AP is NaN or infinite."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from sdpose.monitor.detector import Detector
from sdpose.monitor.finding import Finding
from sdpose.monitor.parameters import whole_number
from sdpose.monitor.record import Record

# How many of the weights' tensors hold a value that is not finite.
BROKEN_WEIGHTS = "weights_broken"


class NonFinite(Detector):
    """Finds the first record of an episode in which a value is NaN or infinite, and names the values.

    Once weights are poisoned every iteration would alarm. So a value that was named is not named again until
    `num_quiet_iterations` iterations in a row were finite; another value that joins it is.

    Of an evaluation only losses and `metric` count: COCO areas without people have no AP of their own.
    """

    def __init__(self, *, num_quiet_iterations: int = 50, metric: str = "AP") -> None:
        self.num_quiet_iterations = whole_number("NonFinite", "num_quiet_iterations", num_quiet_iterations)
        self.metric = metric
        self._named: list[str] = []
        self._num_quiet = 0

    def update(self, record: Record) -> Sequence[Finding]:
        bad = {
            name: value
            for name, value in record.values.items()
            if not math.isfinite(value) and (record.mode == "train" or name == self.metric or "loss" in name)
        }
        if record.values.get(BROKEN_WEIGHTS, 0.0) > 0:
            bad[BROKEN_WEIGHTS] = record.values[BROKEN_WEIGHTS]
        if not bad:
            if record.mode == "train" and self._named:
                self._num_quiet += 1
                if self._num_quiet >= self.num_quiet_iterations:
                    self.reset()
            return ()
        self._num_quiet = 0
        fresh = {name: value for name, value in bad.items() if name not in self._named}
        self._named += fresh
        if not fresh:
            return ()
        # The sum is never the culprit when one of its terms is there to be named.
        first = next((name for name in fresh if name != "loss"), "loss")
        return (
            Finding(
                kind="non_finite",
                severity="critical",
                epoch=record.epoch,
                iteration=record.iteration,
                metric=first,
                value=fresh[first],
                evidence={
                    "mode": record.mode,
                    "values": fresh,
                    "finite": sorted(record.values.keys() - bad.keys()),
                },
                time=record.time,
            ),
        )

    def reset(self) -> None:
        self._named = []
        self._num_quiet = 0

    def state_dict(self) -> dict[str, Any]:
        return {"named": list(self._named), "num_quiet": self._num_quiet}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self._named, self._num_quiet = list(state["named"]), state["num_quiet"]
