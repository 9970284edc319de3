"""The convolutional stem: an image becomes a feature map at a quarter of its size.

Legend: B batch, H, W rows and columns of the image, planes = width of the bottlenecks.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn


class StemNet(nn.Module):
    """Two strided convolutions and one ResNet stage, the backbone of SDPose-T, S-V1 and S-V2 (spec 2.2).

    `planes` is the width of the two convolutions and of the bottlenecks; the output has `4 * planes` channels.
    """

    def __init__(
        self, in_channels: int = 3, planes: int = 64, num_blocks: int = 4, norm_eval: bool = False
    ) -> None:
        super().__init__()
        self.norm_eval = norm_eval
        self.out_channels = planes * Bottleneck.expansion
        self.conv1 = nn.Conv2d(in_channels, planes, 3, stride=2, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(planes)
        self.conv2 = nn.Conv2d(planes, planes, 3, stride=2, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(planes)
        self.relu = nn.ReLU(inplace=True)
        self.layer1 = bottleneck_stage(planes, planes, num_blocks)

    def forward(self, images: Tensor) -> Tensor:
        """Normalised images (B, in_channels, H, W) float -> features (B, 4 * planes, H / 4, W / 4)."""
        x = self.relu(self.bn1(self.conv1(images)))  # (B, planes, H/2, W/2)
        x = self.relu(self.bn2(self.conv2(x)))  # (B, planes, H/4, W/4)
        return self.layer1(x)  # (B, 4 * planes, H/4, W/4)

    def train(self, mode: bool = True) -> StemNet:
        super().train(mode)
        if mode and self.norm_eval:
            freeze_norm_statistics(self)
        return self


class Bottleneck(nn.Module):
    """ResNet bottleneck without stride: 1x1, 3x3, 1x1 to four times `planes`, residual sum, ReLU."""

    expansion = 4

    def __init__(self, in_channels: int, planes: int) -> None:
        super().__init__()
        out_channels = planes * self.expansion
        self.conv1 = nn.Conv2d(in_channels, planes, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(planes)
        self.conv2 = nn.Conv2d(planes, planes, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(planes)
        self.conv3 = nn.Conv2d(planes, out_channels, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(out_channels)
        self.relu = nn.ReLU(inplace=True)
        self.downsample: nn.Sequential | None = None
        if in_channels != out_channels:
            self.downsample = nn.Sequential(
                nn.Conv2d(in_channels, out_channels, 1, bias=False), nn.BatchNorm2d(out_channels)
            )

    def forward(self, x: Tensor) -> Tensor:
        """(B, in_channels, h, w) -> (B, 4 * planes, h, w)."""
        shortcut = x if self.downsample is None else self.downsample(x)
        x = self.relu(self.bn1(self.conv1(x)))
        x = self.relu(self.bn2(self.conv2(x)))
        x = self.bn3(self.conv3(x))
        x += shortcut
        return self.relu(x)


def bottleneck_stage(in_channels: int, planes: int, num_blocks: int) -> nn.Sequential:
    """`num_blocks` bottlenecks in a row; the first one widens `in_channels` to `4 * planes`."""
    blocks = [Bottleneck(in_channels, planes)]
    blocks += [Bottleneck(planes * Bottleneck.expansion, planes) for _ in range(1, num_blocks)]
    return nn.Sequential(*blocks)


@torch.no_grad()
def init_backbone(backbone: nn.Module, std: float = 0.001) -> None:
    """Convolutions normal(0, std), batch norm to one and zero: the published start without a pretrained file (spec 2.8)."""
    for module in backbone.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.normal_(module.weight, std=std)
        elif isinstance(module, nn.BatchNorm2d):
            nn.init.ones_(module.weight)
            nn.init.zeros_(module.bias)


def freeze_norm_statistics(backbone: nn.Module) -> None:
    """Batch norm uses its stored statistics although the rest of the backbone is training (`norm_eval`)."""
    for module in backbone.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.eval()
