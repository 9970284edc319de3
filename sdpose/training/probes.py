"""Tensors become floats here: one small transfer per logging interval, nothing per iteration.

A training step leaves scalars (losses, accuracy, gradient norm) on the device. `ProbeWindow` keeps them there and
brings a whole interval over at once, so that looking at a run does not make the host wait for the device.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class IterationValues:
    """What one iteration showed, as floats.

    `values` holds device scalars by name (mean over ranks); `num_samples` is the batch size of this rank.
    """

    values: dict[str, float]
    num_samples: int
    lr: float
    elapsed_s: float
    data_s: float


class ProbeWindow:
    """Device scalars of the iterations since the last `drain`."""

    def __init__(self) -> None:
        self._names: list[tuple[str, ...]] = []
        self._rows: list[Tensor] = []
        self._host: list[tuple[int, float, float, float]] = []

    def __len__(self) -> int:
        return len(self._rows)

    def add(
        self, scalars: Mapping[str, Tensor], *, num_samples: int, lr: float, elapsed_s: float, data_s: float
    ) -> None:
        """Keep one iteration's scalars where they are. Does not wait for the device."""
        self._names.append(tuple(scalars))
        self._rows.append(torch.stack([value.detach().float().reshape(()) for value in scalars.values()]))
        self._host.append((num_samples, lr, elapsed_s, data_s))

    def drain(self, mean_over_ranks: Callable[[Tensor], Tensor] | None = None) -> list[IterationValues]:
        """All iterations kept so far, oldest first, and an empty window. This is the one wait for the device."""
        if not self._rows:
            return []
        flat = torch.cat(self._rows)
        if mean_over_ranks is not None:
            flat = mean_over_ranks(flat)
        numbers = iter(flat.double().cpu().tolist())
        drained = [
            IterationValues({name: next(numbers) for name in names}, *host)
            for names, host in zip(self._names, self._host, strict=True)
        ]
        self.clear()
        return drained

    def clear(self) -> None:
        """Forget what was kept."""
        self._names, self._rows, self._host = [], [], []

    def state_dict(self) -> dict[str, object]:
        """The undrained iterations, as plain data and CPU tensors (exact: float32 values are kept as they are)."""
        return {
            "names": [list(names) for names in self._names],
            "rows": [row.cpu() for row in self._rows],
            "host": [list(host) for host in self._host],
        }

    def load_state_dict(self, state: Mapping[str, object]) -> None:
        """Continue with the iterations of `state_dict`."""
        names, rows, host = state["names"], state["rows"], state["host"]
        assert isinstance(names, list) and isinstance(rows, list) and isinstance(host, list)
        self._names = [tuple(entry) for entry in names]
        self._rows = list(rows)
        self._host = [(int(entry[0]), float(entry[1]), float(entry[2]), float(entry[3])) for entry in host]


def weighted_means(iterations: list[IterationValues]) -> dict[str, float]:
    """Means over an interval as mmcv logs them: scalars weighted by batch size, times not.

    Returns every name seen, in order of first appearance; then `time` and `data_time` in seconds.
    """
    totals: dict[str, float] = {}
    weights: dict[str, int] = {}
    for entry in iterations:
        for name, value in entry.values.items():
            totals[name] = totals.get(name, 0.0) + value * entry.num_samples
            weights[name] = weights.get(name, 0) + entry.num_samples
    means = {name: totals[name] / weights[name] for name in totals}
    means["time"] = sum(entry.elapsed_s for entry in iterations) / len(iterations)
    means["data_time"] = sum(entry.data_s for entry in iterations) / len(iterations)
    return means
