"""One thing that a run measured: an iteration or an evaluation, as plain floats."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from numbers import Real
from typing import Any, Literal

Mode = Literal["train", "val"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """What the monitor sees of a run. It never sees tensors, models or frameworks.

    A loop may collect the records of several iterations and hand them over together; each still tells of one
    iteration (`mode` "train") or one evaluation (`mode` "val").
    """

    mode: Mode
    epoch: int
    """1-based. An evaluation belongs to the epoch that it follows."""
    iteration: int
    """Optimizer iterations finished since the very start of the run, this one included (so 1-based)."""
    epoch_iteration: int
    """The same, counted within the epoch."""
    epoch_length: int
    """Iterations an epoch has."""
    values: Mapping[str, float]
    """Name -> value in the order of the run's log: `heatmap_loss`, `loss`, `lr`, `grad_norm`, `AP` ..."""
    time: float
    """When it was measured, unix seconds; 0.0 where nobody knows (a log without times)."""
    details: Mapping[str, Any] = field(default_factory=dict)
    """What a single float cannot hold and an alert may cite: AP changes per joint, loss per rank. Plain data."""

    def __post_init__(self) -> None:
        if self.mode not in ("train", "val"):
            raise ValueError(f"record mode is {self.mode!r}; expected 'train' or 'val'")
        for name in ("epoch", "iteration", "epoch_iteration", "epoch_length"):
            if getattr(self, name) < 0:
                raise ValueError(f"record {name} is {getattr(self, name)}; expected 0 or more")
        object.__setattr__(self, "values", {name: _plain(name, v) for name, v in self.values.items()})


def _plain(name: str, value: object) -> float:
    if type(value) is float:
        return value
    # float(tensor) would work and wait for the device without anybody seeing it.
    if not isinstance(value, Real):
        raise ValueError(
            f"record value '{name}' is a {type(value).__name__}; expected a plain number (a tensor's .item())"
        )
    return float(value)
