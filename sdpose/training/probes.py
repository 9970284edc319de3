"""Tensors become floats here: one small transfer per logging interval, nothing per iteration.

A training step leaves scalars (losses, accuracy, gradient norm, probes) on the device. `ProbeWindow` keeps them there
and brings a whole interval over at once, so that looking at a run does not make the host wait for the device.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any

import torch
from torch import Tensor

from sdpose.training.distributed import World


@dataclass(frozen=True, kw_only=True)
class HostValues:
    """What the host knows of an iteration without asking the device."""

    iteration: int
    """Since the very start of the run, this one included."""
    batch: int
    """The same within the epoch."""
    num_samples: int
    """Batch size of this process."""
    num_unusable: int = 0
    """Of them, images that could not be read."""
    lr: float
    """What the optimizer used."""
    lr_expected: float
    """What the schedule says."""
    elapsed_s: float
    data_s: float


@dataclass(frozen=True, kw_only=True)
class IterationValues:
    """What one iteration showed, as floats; device scalars are means over the processes."""

    host: HostValues
    logged: dict[str, float]
    """Loss terms, accuracy, loss, gradient norm: what the log lines show."""
    probed: dict[str, float]
    """Vital signs: for the monitor and the JSON log, not for the text lines."""


@dataclass(frozen=True, kw_only=True)
class Interval:
    """The iterations of a logging interval, oldest first, and what was measured once at its end."""

    iterations: list[IterationValues]
    at_end: dict[str, float] = field(default_factory=dict)
    loss_per_rank: tuple[float, ...] = ()
    """Mean loss of each process's own share, by rank."""

    def __bool__(self) -> bool:
        return bool(self.iterations)


class ProbeWindow:
    """Device scalars of the iterations since the last `drain`."""

    def __init__(self) -> None:
        self._logged: list[tuple[str, ...]] = []
        self._probed: list[tuple[str, ...]] = []
        self._rows: list[Tensor] = []
        self._host: list[HostValues] = []

    def __len__(self) -> int:
        return len(self._rows)

    def add(self, logged: Mapping[str, Tensor], probed: Mapping[str, Tensor], host: HostValues) -> None:
        """Keep one iteration's scalars where they are. Does not wait for the device."""
        self._logged.append(tuple(logged))
        self._probed.append(tuple(probed))
        scalars = (*logged.values(), *probed.values())
        self._rows.append(torch.stack([value.detach().float().reshape(()) for value in scalars]))
        self._host.append(host)

    def drain(self, at_end: Mapping[str, Tensor] | None = None, world: World | None = None) -> Interval:
        """All iterations kept so far and an empty window. This is the one wait for the device.

        `at_end` are scalars that belong to the interval's last iteration.
        """
        if not self._rows:
            return Interval(iterations=[])
        world = world or World()
        at_end = at_end or {}
        ends = [value.detach().float().reshape(1) for value in at_end.values()]
        # Each process fills its own place, so that the mean over processes hands everybody all of them.
        own_losses = self._rows[0].new_zeros(world.size)
        own_losses[world.rank] = self._mean_loss() * world.size
        flat = world.mean_over_ranks(torch.cat([*self._rows, *ends, own_losses]))
        numbers = iter(flat.double().cpu().tolist())
        iterations = [
            IterationValues(
                logged={name: next(numbers) for name in logged},
                probed={name: next(numbers) for name in probed},
                host=host,
            )
            for logged, probed, host in zip(self._logged, self._probed, self._host, strict=True)
        ]
        interval = Interval(
            iterations=iterations,
            at_end={name: next(numbers) for name in at_end},
            loss_per_rank=tuple(numbers),
        )
        self.clear()
        return interval

    def clear(self) -> None:
        """Forget what was kept."""
        self._logged, self._probed, self._rows, self._host = [], [], [], []

    def state_dict(self) -> dict[str, Any]:
        """The undrained iterations, as plain data and CPU tensors (exact: float32 values are kept as they are)."""
        return {
            "logged": [list(names) for names in self._logged],
            "probed": [list(names) for names in self._probed],
            "rows": [row.cpu() for row in self._rows],
            "host": [
                {entry.name: getattr(host, entry.name) for entry in fields(host)} for host in self._host
            ],
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue with the iterations of `state_dict`; those of an earlier version are passed over."""
        if "logged" not in state:
            self.clear()
            return
        self._logged = [tuple(names) for names in state["logged"]]
        self._probed = [tuple(names) for names in state["probed"]]
        self._rows = list(state["rows"])
        self._host = [HostValues(**values) for values in state["host"]]

    def _mean_loss(self) -> Tensor:
        losses = [
            row[names.index("loss")]
            for names, row in zip(self._logged, self._rows, strict=True)
            if "loss" in names
        ]
        return torch.stack(losses).mean() if losses else self._rows[0].new_zeros(())


def weighted_means(iterations: Sequence[IterationValues]) -> dict[str, float]:
    """Means over an interval as mmcv logs them: scalars weighted by batch size, times not.

    Returns every logged name seen, in order of first appearance; then `time` and `data_time` in seconds.
    """
    means = _by_batch_size((entry.logged, entry.host) for entry in iterations)
    means["time"] = sum(entry.host.elapsed_s for entry in iterations) / len(iterations)
    means["data_time"] = sum(entry.host.data_s for entry in iterations) / len(iterations)
    return means


def probed_means(iterations: Sequence[IterationValues]) -> dict[str, float]:
    """The same of the vital signs, which are here already: no transfer of their own."""
    return _by_batch_size((entry.probed, entry.host) for entry in iterations)


def _by_batch_size(scalars: Iterable[tuple[Mapping[str, float], HostValues]]) -> dict[str, float]:
    """Mean of every name over the iterations that have it, by their number of samples."""
    totals: dict[str, float] = {}
    weights: dict[str, int] = {}
    for values, host in scalars:
        for name, value in values.items():
            totals[name] = totals.get(name, 0.0) + value * host.num_samples
            weights[name] = weights.get(name, 0) + host.num_samples
    return {name: totals[name] / weights[name] for name in totals}
