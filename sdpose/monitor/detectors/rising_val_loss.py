"""The validation loss rises, or never fell, while the training loss goes down."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from sdpose.monitor.detector import Detector
from sdpose.monitor.finding import Finding
from sdpose.monitor.patterns.overfitting import find_overfitting
from sdpose.monitor.record import Record

NUM_EVALUATIONS = 200


class RisingValLoss(Detector):
    """Finds `overfitting` in the validation loss, as a verdict on a log does; once, until a new best.

    For loops whose evaluations give a loss. Each is compared with the mean training loss since the one before.
    """

    def __init__(self, *, metric: str = "val_loss", loss: str = "loss") -> None:
        self.metric, self.loss = metric, loss
        self.reset()

    def reset(self) -> None:
        self._val: list[float] = []
        self._train: list[float] = []
        self._places: list[int] = []
        self._sum, self._count = 0.0, 0
        self._said = False

    def update(self, record: Record) -> Sequence[Finding]:
        if record.mode == "train":
            value = record.values.get(self.loss, math.nan)
            if math.isfinite(value):
                self._sum += value
                self._count += 1
            return ()
        value = record.values.get(self.metric, math.nan)
        if not math.isfinite(value) or not self._count:
            return ()
        self._val = [*self._val, value][-NUM_EVALUATIONS:]
        self._train = [*self._train, self._sum / self._count][-NUM_EVALUATIONS:]
        self._places = [*self._places, record.epoch][-NUM_EVALUATIONS:]
        self._sum, self._count = 0.0, 0
        if value <= min(self._val):
            self._said = False
        found = find_overfitting(np.array(self._train), np.array(self._val))
        if found is None or self._said:
            return ()
        self._said = True
        return (
            Finding.at(
                record,
                kind="overfitting",
                severity="warning",
                metric=self.metric,
                value=value,
                evidence={
                    "best": found.best,
                    "best_epoch": self._places[found.index],
                    "current": found.current,
                    "train_first": found.train_first,
                    "train_last": found.train_last,
                    "rise": found.rise,
                },
            ),
        )

    def state_dict(self) -> dict[str, Any]:
        return {
            "val": list(self._val),
            "train": list(self._train),
            "places": list(self._places),
            "sum": self._sum,
            "count": self._count,
            "said": self._said,
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self._val, self._train = list(state["val"]), list(state["train"])
        self._places, self._said = list(state["places"]), state["said"]
        self._sum, self._count = state["sum"], state["count"]
