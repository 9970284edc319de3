"""Memory use climbs steadily: something keeps what it should let go."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

from sdpose.monitor.detector import Detector
from sdpose.monitor.finding import Finding
from sdpose.monitor.parameters import number_between, whole_number
from sdpose.monitor.record import Record
from sdpose.monitor.robust import median

METRICS = ("host_memory", "memory")
FEWEST = 40
MOST = 96


class MemoryGrowth(Detector):
    """Watches the memory of the main process and of its device, in MiB, over the whole life of the process.

    Found is a growth of `memory_growth_threshold` and of `absolute_floor` MiB between the first and the last quarter
    of what was seen, to which every quarter added its part: caches that fill, a first evaluation, a larger batch
    are steps or flatten out. Told once, and again each time the memory has doubled. The first `num_skipped` values of a
    process do not count, and a resumed process is another one.
    """

    def __init__(
        self,
        *,
        memory_growth_threshold: float = 0.25,
        num_skipped: int = 5,
        absolute_floor: float = 512.0,
        total_iterations: int | None = None,
        start_iteration: int = 0,
        metrics: Sequence[str] = METRICS,
    ) -> None:
        name = "MemoryGrowth"
        self.memory_growth_threshold = number_between(
            name, "memory_growth_threshold", memory_growth_threshold, 0.0, math.inf
        )
        self.num_skipped = whole_number(name, "num_skipped", num_skipped, at_least=0)
        self.absolute_floor = number_between(name, "absolute_floor", absolute_floor, 0.0, math.inf)
        self.total_iterations = total_iterations
        self.start_iteration = whole_number(name, "start_iteration", start_iteration, at_least=0)
        self.metrics = tuple(metrics)
        self.reset()

    def reset(self) -> None:
        self._series = {metric: _Thinned() for metric in self.metrics}
        self._told: dict[str, float] = {}
        self._last = 0

    def update(self, record: Record) -> Sequence[Finding]:
        if record.mode != "train":
            return ()
        if self._last <= self.start_iteration < record.iteration:
            self.reset()
        self._last = record.iteration
        findings: list[Finding] = []
        for metric in self.metrics:
            value = record.values.get(metric)
            if (
                value is not None
                and math.isfinite(value)
                and self._series[metric].add(record.iteration, value)
            ):
                findings += self._check(record, metric)
        return findings

    def _check(self, record: Record, metric: str) -> Sequence[Finding]:
        series = self._series[metric]
        points = series.points[self.num_skipped if series.stride == 1 else 0 :]
        if len(points) < FEWEST:
            return ()
        quarters = [points[len(points) * part // 4 : len(points) * (part + 1) // 4] for part in range(4)]
        levels = [median([value for _, value in quarter]) for quarter in quarters]
        growth = levels[-1] - levels[0]
        steps = [after - before for before, after in pairwise(levels)]
        if growth < max(self.absolute_floor, self.memory_growth_threshold * levels[0]):
            return ()
        # A step has quarters that add nothing; what flattens out adds less and less.
        if min(steps) < growth / 12 or steps[-1] < 0.9 * steps[0]:
            return ()
        told = self._told.get(metric)
        if told is not None and levels[-1] < 2 * told:
            return ()
        self._told[metric] = levels[-1]
        middles = [median([iteration for iteration, _ in quarter]) for quarter in (quarters[0], quarters[-1])]
        rate = growth / (middles[1] - middles[0])
        current = points[-1][1]
        left = None if self.total_iterations is None else max(self.total_iterations - record.iteration, 0)
        return (
            Finding.at(
                record,
                kind="memory_growth",
                severity="warning",
                metric=metric,
                value=current,
                evidence={
                    "current": current,
                    "first": levels[0],
                    "growth": growth,
                    "per_1000_iterations": 1000 * rate,
                    "at_the_end": None if left is None else current + rate * left,
                    "first_iteration": points[0][0],
                },
            ),
        )

    def state_dict(self) -> dict[str, Any]:
        return {
            "series": {metric: series.state_dict() for metric, series in self._series.items()},
            "told": dict(self._told),
            "last": self._last,
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        for metric, series in self._series.items():
            if metric in state["series"]:
                series.load_state_dict(state["series"][metric])
        self._told, self._last = dict(state["told"]), state["last"]


class _Thinned:
    """An endless series in at most `MOST` points: when full, every other one goes and half as many come."""

    def __init__(self) -> None:
        self.points: list[tuple[int, float]] = []
        self.stride = 1
        self._num_passed = 0

    def add(self, iteration: int, value: float) -> bool:
        self._num_passed += 1
        if self._num_passed < self.stride:
            return False
        self._num_passed = 0
        self.points.append((iteration, value))
        if len(self.points) > MOST:
            self.points = self.points[1::2]
            self.stride *= 2
        return True

    def state_dict(self) -> dict[str, Any]:
        return {
            "points": [list(point) for point in self.points],
            "stride": self.stride,
            "num_passed": self._num_passed,
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.points = [(iteration, value) for iteration, value in state["points"]]
        self.stride, self._num_passed = state["stride"], state["num_passed"]
