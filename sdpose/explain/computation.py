"""From a batch to loss terms and gradients, as the run computes it, or in another precision.

Legend: N samples, K keypoints, h, w rows and columns of a heatmap.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor, nn

from sdpose.assemble.data import to_device, training_targets
from sdpose.assemble.machine import Machine
from sdpose.config.settings import Settings
from sdpose.data.batch import PoseBatch
from sdpose.models import CycleOutput, SDPose
from sdpose.models.losses import total_loss

Batch = list[PoseBatch]
"""What one iteration sees: the share of each rank."""

Precision = Literal["run", "float32", "float64"]


class Pass(NamedTuple):
    """One share through model and losses, on the device."""

    images: Tensor  # (N, 3, H, W), normalised
    target: Tensor  # (N, K, h, w)
    weight: Tensor  # (N, K, 1)
    cycles: list[CycleOutput]
    terms: dict[str, Tensor]


@dataclass(frozen=True)
class Lived:
    """What one iteration showed, as floats (means over the ranks)."""

    values: dict[str, float]
    """Loss terms, `loss` and, where gradients were made, `grad_norm`."""
    loss_per_rank: tuple[float, ...]
    lr: float = 0.0
    broken_weights: tuple[str, ...] = ()
    """Parameters and statistics with a value that is not finite, after the step."""


@dataclass(frozen=True)
class Computation:
    """Model, losses and the way of computing them."""

    settings: Settings
    machine: Machine
    model: SDPose
    criterion: nn.Module
    normalize: nn.Module
    precision: Precision = "run"

    def in_precision(self, precision: Precision) -> Computation:
        """The same in another precision; float64 works on copies of model and losses."""
        if precision == "float64":
            model, criterion = copy.deepcopy(self.model).double(), copy.deepcopy(self.criterion).double()
            return replace(self, model=model, criterion=criterion, precision=precision)
        return replace(self, precision=precision)

    def run(self, share: PoseBatch) -> Pass:
        """One rank's share through target, model and losses. Moves the statistics of batch norm."""
        share = to_device(share, self.machine.device)
        target, weight = training_targets(self.settings, share)
        images = self.normalize(share.images)
        if self.precision == "float64":
            images, target, weight = images.double(), target.double(), weight.double()
        with self.machine.autocast() if self.precision == "run" else nullcontext():
            cycles = self.model.forward_cycles(images)
        return Pass(images, target, weight, cycles, self.criterion(cycles, target, weight))

    def backward(self, batch: Batch, *, group_size: int = 1) -> Lived:
        """Adds the gradients of the mean over the ranks to those there are."""
        divisor = group_size * len(batch)
        every: list[dict[str, Tensor]] = []
        for rank, share in enumerate(batch):
            with self._statistics_kept() if rank > 0 else nullcontext():
                terms = self.run(share).terms
                loss = total_loss(terms)
                if loss.requires_grad:
                    (loss / divisor if divisor > 1 else loss).backward()
            every.append({name: term.detach() for name, term in terms.items()})
        return _lived(every)

    @torch.no_grad()
    def losses(self, batch: Batch) -> Lived:
        """The loss terms alone."""
        return _lived([self.run(share).terms for share in batch])

    @contextmanager
    def _statistics_kept(self) -> Iterator[None]:
        """Batch norm's statistics afterwards are those before: a run saves those of rank 0."""
        before = {name: buffer.clone() for name, buffer in self.model.named_buffers()}
        try:
            yield
        finally:
            for name, buffer in self.model.named_buffers():
                buffer.copy_(before[name])


def broken_tensors(tensors: Mapping[str, Any]) -> list[str]:
    """Names of the tensors with a value that is not finite. Waits for the device once."""
    floating = {
        name: tensor
        for name, tensor in tensors.items()
        if isinstance(tensor, Tensor) and tensor.is_floating_point()
    }
    if not floating:
        return []
    finite = torch.stack([tensor.isfinite().all() for tensor in floating.values()]).tolist()
    return [name for name, good in zip(floating, finite, strict=True) if not good]


def gradient_norm(model: nn.Module) -> float:
    """L2 norm of all gradients together; 0 without any."""
    norms = [torch.linalg.vector_norm(p.grad) for p in model.parameters() if p.grad is not None]
    return float(torch.linalg.vector_norm(torch.stack(norms))) if norms else 0.0


def _lived(every: list[dict[str, Tensor]]) -> Lived:
    """Means over the ranks of what each rank's losses gave."""
    totals = [float(total_loss(terms)) for terms in every]
    values = {name: sum(float(terms[name]) for terms in every) / len(every) for name in every[0]}
    return Lived({**values, "loss": sum(totals) / len(totals)}, tuple(totals))
