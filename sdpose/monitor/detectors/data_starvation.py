"""The model waits for data (the guide's "training too slow")."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from sdpose.monitor.detector import Detector
from sdpose.monitor.episode import Episode
from sdpose.monitor.finding import Finding
from sdpose.monitor.parameters import number_between, whole_number
from sdpose.monitor.record import Record


class DataStarvation(Detector):
    """Watches which part of the time of `check_interval` iterations went into waiting for batches.

    Found is `data_starvation_threshold` or more, `patience` checks in a row, once an episode. Not counted are the
    first `num_skipped` iterations of an epoch and of a resumed process, when the workers start. Waits below
    `absolute_floor` seconds an iteration are not worth mending.
    """

    def __init__(
        self,
        *,
        check_interval: int = 100,
        data_starvation_threshold: float = 0.3,
        num_skipped: int = 10,
        patience: int = 2,
        absolute_floor: float = 2e-3,
        start_iteration: int = 0,
    ) -> None:
        name = "DataStarvation"
        self.check_interval = whole_number(name, "check_interval", check_interval)
        self.data_starvation_threshold = number_between(
            name, "data_starvation_threshold", data_starvation_threshold, 0.0, 1.0
        )
        self.num_skipped = whole_number(name, "num_skipped", num_skipped, at_least=0)
        self.patience = whole_number(name, "patience", patience)
        self.absolute_floor = number_between(name, "absolute_floor", absolute_floor, 0.0, math.inf)
        self.start_iteration = whole_number(name, "start_iteration", start_iteration, at_least=0)
        self.reset()

    def reset(self) -> None:
        self._elapsed_s, self._data_s, self._num, self._began = 0.0, 0.0, 0, 0
        self._episode = Episode(self.patience)

    def update(self, record: Record) -> Sequence[Finding]:
        if record.mode != "train":
            return ()
        elapsed_s, data_s = record.values.get("time"), record.values.get("data_time")
        if elapsed_s is None or data_s is None or not 0.0 <= data_s <= elapsed_s < math.inf or not elapsed_s:
            return ()
        if record.epoch_iteration <= self.num_skipped or self._just_resumed(record):
            return ()
        if self._num == 0:
            self._began = record.iteration
        self._elapsed_s += elapsed_s
        self._data_s += data_s
        self._num += 1
        return self._check(record) if self._num == self.check_interval else ()

    def _just_resumed(self, record: Record) -> bool:
        return 0 <= record.iteration - self.start_iteration - 1 < self.num_skipped

    def _check(self, record: Record) -> Sequence[Finding]:
        share, data_s, elapsed_s = self._data_s / self._elapsed_s, self._data_s, self._elapsed_s
        self._elapsed_s, self._data_s, self._num = 0.0, 0.0, 0
        starving = (
            share >= self.data_starvation_threshold and data_s >= self.absolute_floor * self.check_interval
        )
        if not self._episode.begins(starving, self._began):
            return ()
        return (
            Finding.at(
                record,
                kind="data_starvation",
                severity="info",
                metric="data_time",
                value=data_s / self.check_interval,
                evidence={
                    "share": share,
                    "data_time": data_s / self.check_interval,
                    "time": elapsed_s / self.check_interval,
                    "data_starvation_threshold": self.data_starvation_threshold,
                    "first_iteration": self._episode.first_iteration,
                },
            ),
        )

    def state_dict(self) -> dict[str, Any]:
        return {
            "elapsed_s": self._elapsed_s,
            "data_s": self._data_s,
            "num": self._num,
            "began": self._began,
            "episode": self._episode.state_dict(),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self._elapsed_s, self._data_s, self._num = state["elapsed_s"], state["data_s"], state["num"]
        self._num = min(self._num, self.check_interval - 1)
        self._began = state["began"]
        self._episode.load_state_dict(state["episode"])
