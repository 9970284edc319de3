"""A batch of crops on its way from a worker to the device.

Legend: N samples, K joints, H, W crop rows and columns.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

import torch
from torch import Tensor


@dataclass
class PoseBatch:
    """N samples.

    images (N, H, W, 3) uint8 RGB; joints (N, K, 2) float32 crop pixels; visible (N, K) float32 0 or 1;
    centers (N, 2) float32 image pixels and scales (N, 2) float32 in units of 200 image pixels; indices (N,)
    int64 rows of the person table. `problems` (N): None, or a sentence about why the sample's image could not
    be used; such a sample is black, with nothing visible.
    """

    images: Tensor
    joints: Tensor
    visible: Tensor
    centers: Tensor
    scales: Tensor
    indices: Tensor
    problems: list[str | None]

    def __len__(self) -> int:
        return len(self.images)

    def to(self, device: torch.device | str, *, non_blocking: bool = False) -> PoseBatch:
        """The same batch with its tensors on `device`."""
        return self._with_tensors(lambda tensor: tensor.to(device, non_blocking=non_blocking))

    def pin_memory(self) -> PoseBatch:
        """The same batch in page-locked memory; torch's DataLoader calls this in its own thread."""
        return self._with_tensors(Tensor.pin_memory)

    def _with_tensors(self, change: Any) -> PoseBatch:
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        return PoseBatch(**{k: change(v) if isinstance(v, Tensor) else v for k, v in values.items()})
