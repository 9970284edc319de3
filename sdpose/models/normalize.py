"""From the uint8 crops that the loader hands over to what the model takes, on the device."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


class ImageNormalizer(nn.Module):
    """(image / 255 - mean) / std, bit for bit as torchvision's ToTensor and Normalize. It has no state dict keys."""

    mean: Tensor
    std: Tensor

    def __init__(self, mean: Sequence[float] = IMAGENET_MEAN, std: Sequence[float] = IMAGENET_STD) -> None:
        super().__init__()
        self.register_buffer("mean", torch.tensor(mean, dtype=torch.float32).view(-1, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(std, dtype=torch.float32).view(-1, 1, 1), persistent=False)

    def forward(self, images: Tensor) -> Tensor:
        """RGB uint8 (N, H, W, 3), 0..255 -> float32 (N, 3, H, W) in channels-last memory."""
        # Row by row: an operation along three channels alone would have an inner loop of three on the CPU.
        width = images.shape[2]
        mean, std = (values.view(-1).repeat(width) for values in (self.mean, self.std))  # (W * 3,)
        rows = images.flatten(2).float().div_(255).sub_(mean).div_(std)  # (N, H, W * 3)
        return rows.view(images.shape).permute(0, 3, 1, 2)  # (N, 3, H, W), channels-last as the crops are
