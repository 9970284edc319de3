"""The same training has become slower than it was."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from sdpose.monitor.detector import Detector
from sdpose.monitor.episode import Episode
from sdpose.monitor.finding import Finding
from sdpose.monitor.parameters import number_between, whole_number
from sdpose.monitor.record import Record
from sdpose.monitor.robust import median, robust_spread

# A time that changes by less than this factor from check to check counts as steady.
STEADY = math.log(1.1)
FEWEST = 5


class ThroughputDrop(Detector):
    """Compares the mean time of `check_interval` iterations with the median of up to `num_reference` checks before.

    Found is a time `throughput_drop_threshold` times as long and `num_spreads` robust spreads away, `patience`
    checks in a row. Other people's work on the machine does that too, so it is a note, once an episode; it becomes
    a warning when the run has lost `lost_s` seconds by it. The first `num_skipped` iterations of an epoch and of
    a process do not count, evaluations are not part of the time, and a resumed process begins its own comparison.
    """

    def __init__(
        self,
        *,
        check_interval: int = 50,
        throughput_drop_threshold: float = 1.5,
        num_reference: int = 40,
        num_spreads: float = 6.0,
        num_skipped: int = 10,
        patience: int = 4,
        lost_s: float = 1800.0,
        start_iteration: int = 0,
        metric: str = "time",
    ) -> None:
        name = "ThroughputDrop"
        self.check_interval = whole_number(name, "check_interval", check_interval)
        self.throughput_drop_threshold = number_between(
            name, "throughput_drop_threshold", throughput_drop_threshold, 1.0, math.inf
        )
        self.num_reference = whole_number(name, "num_reference", num_reference, at_least=FEWEST)
        self.num_spreads = number_between(name, "num_spreads", num_spreads, 0.0, math.inf)
        self.num_skipped = whole_number(name, "num_skipped", num_skipped, at_least=0)
        self.patience = whole_number(name, "patience", patience)
        self.lost_s = number_between(name, "lost_s", lost_s, 0.0, math.inf)
        self.start_iteration = whole_number(name, "start_iteration", start_iteration, at_least=0)
        self.metric = metric
        self.reset()

    def reset(self) -> None:
        self._times: list[float] = []
        self._means: list[float] = []
        self._episode = Episode(self.patience)
        self._began = 0
        self._lost_s = 0.0
        self._warned = False
        self._last = 0

    def update(self, record: Record) -> Sequence[Finding]:
        if record.mode != "train":
            return ()
        if self._last <= self.start_iteration < record.iteration:
            self.reset()  # another process, perhaps another machine
        self._last = record.iteration
        elapsed_s = record.values.get(self.metric)
        if elapsed_s is None or not 0.0 < elapsed_s < math.inf:
            return ()
        if record.epoch_iteration <= self.num_skipped:
            return ()
        if not self._times:
            self._began = record.iteration
        self._times.append(elapsed_s)
        if len(self._times) < self.check_interval:
            return ()
        current = sum(self._times) / len(self._times)
        self._times.clear()
        if len(self._means) < FEWEST:
            self._means.append(current)
            return ()
        return self._check(record, current, median(self._means))

    def _check(self, record: Record, current: float, level: float) -> Sequence[Finding]:
        spread = robust_spread([math.log(mean) for mean in self._means], STEADY)
        slow = math.log(current / level) >= max(
            math.log(self.throughput_drop_threshold), self.num_spreads * spread
        )
        begins = self._episode.begins(slow, self._began)
        if not slow:
            # What is slow does not become the measure: a slowness that stays is counted until it ends.
            self._means.append(current)
            del self._means[: -self.num_reference]
            if not self._episode.lasts:
                self._lost_s, self._warned = 0.0, False
            return ()
        self._lost_s += (current - level) * self.check_interval
        warns = self._episode.lasts and not self._warned and self._lost_s >= self.lost_s
        if not begins and not warns:
            return ()
        self._warned = self._warned or warns
        return (
            Finding.at(
                record,
                kind="throughput_drop",
                severity="warning" if warns else "info",
                metric=self.metric,
                value=current,
                evidence={
                    "current": current,
                    "level": level,
                    "ratio": current / level,
                    "lost_s": self._lost_s,
                    "throughput_drop_threshold": self.throughput_drop_threshold,
                    "first_iteration": self._episode.first_iteration,
                },
            ),
        )

    def state_dict(self) -> dict[str, Any]:
        return {
            "times": list(self._times),
            "means": list(self._means),
            "episode": self._episode.state_dict(),
            "began": self._began,
            "lost_s": self._lost_s,
            "warned": self._warned,
            "last": self._last,
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self._times = [float(value) for value in state["times"]][: self.check_interval - 1]
        self._means = [float(value) for value in state["means"]][-self.num_reference :]
        self._episode.load_state_dict(state["episode"])
        self._began, self._lost_s = state["began"], state["lost_s"]
        self._warned, self._last = state["warned"], state["last"]
