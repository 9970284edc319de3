"""The guide's DetailedLossLogHook: every loss term with enough digits to be seen."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sdpose.monitor import guide_text
from sdpose.monitor.hooks import Hook
from sdpose.monitor.parameters import whole_number
from sdpose.monitor.record import Record


class DetailedLossLogHook(Hook):
    """Logs `Iter [50] loss: 2.345678, heatmap_loss: 2.100000, ...` at every `log_interval`-th iteration.

    The iteration is counted from the very start of the run. Each value is the mean over the iterations since
    the line before, as in the run's own log line; a term is what has "loss" in its name.
    """

    def __init__(self, *, log_interval: int = 50) -> None:
        self.log_interval = whole_number("DetailedLossLogHook", "log_interval", log_interval)
        self._sums: dict[str, float] = {}
        self._counts: dict[str, int] = {}

    def on_iterations(self, records: Sequence[Record]) -> None:
        for record in records:
            for name, value in record.values.items():
                if "loss" in name:
                    self._sums[name] = self._sums.get(name, 0.0) + value
                    self._counts[name] = self._counts.get(name, 0) + 1
            if record.iteration % self.log_interval == 0 and self._sums:
                means = {name: total / self._counts[name] for name, total in self._sums.items()}
                self._sums, self._counts = {}, {}
                self.log(guide_text.iteration_line(record.iteration, means))

    def state_dict(self) -> dict[str, Any]:
        return {"sums": dict(self._sums), "counts": dict(self._counts)}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self._sums, self._counts = dict(state["sums"]), dict(state["counts"])
