"""mmcv 1.x's log lines: one train or val entry as text and as JSON.

Two things differ on purpose. Numbers keep at least four significant digits in text and six in JSON, where
mmcv keeps four and five decimals: token losses are near 6e-7 and would read 0.0000, a learning rate of 1e-6
would be stored as 0.0. The keys, their order and the punctuation are mmcv's, so tools that plot its logs
work.
"""

from __future__ import annotations

import datetime
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class TrainEntry:
    """Means over one logging interval."""

    epoch: int
    """1-based."""
    iteration: int
    """Within the epoch, 1-based."""
    epoch_length: int
    lr: float
    eta_s: float
    """Estimated seconds until the run is done."""
    time_s: float
    """Per iteration, loading included."""
    data_time_s: float
    """Of it, waiting for data."""
    values: Mapping[str, float]
    """Loss terms, accuracy, loss, grad_norm ... in the order to show."""
    memory_mib: int | None = None
    """Largest GPU memory so far; None on CPU."""
    signs: Mapping[str, float] = field(default_factory=dict)
    """Of heatmaps and tokens: for the JSON log only, behind mmcv's keys; the text line is mmpose's."""

    def text(self) -> str:
        parts = [f"lr: {self.lr:.3e}", f"eta: {shown_duration(self.eta_s)}"]
        parts += [f"time: {self.time_s:.3f}", f"data_time: {self.data_time_s:.3f}"]
        if self.memory_mib is not None:
            parts.append(f"memory: {self.memory_mib}")
        parts += [f"{name}: {shown_number(value)}" for name, value in self.values.items()]
        return f"Epoch [{self.epoch}][{self.iteration}/{self.epoch_length}]\t{', '.join(parts)}"

    def json(self) -> str:
        entry: dict[str, Any] = {"mode": "train", "epoch": self.epoch, "iter": self.iteration, "lr": self.lr}
        if self.memory_mib is not None:
            entry["memory"] = self.memory_mib
        entry |= {"data_time": self.data_time_s, **self.values, "time": self.time_s}
        return json_line({**entry, **self.signs})


@dataclass(frozen=True)
class ValEntry:
    """One evaluation."""

    epoch: int
    """Finished epochs."""
    num_batches: int
    lr: float
    values: Mapping[str, float]
    """AP, AP .5 ... in the order to show."""
    signs: Mapping[str, float] = field(default_factory=dict)
    """Intervals of AP and of its change, energy: for the JSON log only, the text line is mmpose's."""

    def text(self) -> str:
        shown = ", ".join(f"{name}: {shown_number(value)}" for name, value in self.values.items())
        return f"Epoch(val) [{self.epoch}][{self.num_batches}]\t{shown}"

    def json(self) -> str:
        entry = {"mode": "val", "epoch": self.epoch, "iter": self.num_batches, "lr": self.lr}
        return json_line({**entry, **self.values, **self.signs})


def shown_number(value: float) -> str:
    """Four decimals, more where fewer than four digits would be left: 0.5, 0.01724, 6.123e-07 -> `0.5000`
    ... From a million up with an exponent."""
    if isinstance(value, int):
        return str(value)
    size = abs(value)
    if 1e6 <= size < math.inf:
        return f"{value:.3e}"
    if size == 0 or size >= 0.1 or not math.isfinite(value):
        return f"{value:.4f}"
    if size < 1e-4:
        return f"{value:.3e}"
    return f"{value:.{3 - math.floor(math.log10(size))}f}"


def shown_duration(seconds: float) -> str:
    """`1 day, 2:03:04`, as mmcv shows a remaining time. Nonsense estimates are shown as none left."""
    return str(datetime.timedelta(seconds=int(seconds) if math.isfinite(seconds) and seconds > 0 else 0))


def json_line(entry: Mapping[str, Any]) -> str:
    """One object on one line, floats with six significant digits. NaN is written bare, as mmcv does."""
    return json.dumps({name: _rounded(value) for name, value in entry.items()})


def _rounded(value: Any) -> Any:
    return float(f"{value:.6g}") if isinstance(value, float) else value
