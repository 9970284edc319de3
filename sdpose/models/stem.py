"""The convolutional stem: an image becomes a feature map at a quarter of its size.

Legend: B batch, H, W rows and columns of the image, h, w of the features.
"""

from __future__ import annotations

from typing import Self

import torch
from torch import Tensor, nn

from sdpose.models.conv_norm import ConvNorm, conv_norm


class ConvStem(nn.Module):
    """Two strided convolutions and one ResNet stage of bottlenecks: how both kinds of backbone begin.

    `norm_eval` keeps batch norm on its stored statistics while the rest trains.
    """

    def __init__(self, in_channels: int, width: int, planes: int, num_blocks: int, norm_eval: bool) -> None:
        super().__init__()
        self.norm_eval = norm_eval
        self.conv1 = nn.Conv2d(in_channels, width, 3, stride=2, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, stride=2, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.relu = nn.ReLU(inplace=True)
        blocks = [Bottleneck(width, planes)]
        blocks += [Bottleneck(planes * Bottleneck.expansion, planes) for _ in range(1, num_blocks)]
        self.layer1 = nn.Sequential(*blocks)

    def forward(self, images: Tensor) -> Tensor:
        """Normalised images (B, in_channels, H, W) float -> features (B, 4 * planes, H / 4, W / 4)."""
        x = self.relu(conv_norm(self.conv1, self.bn1, images))  # (B, width, H/2, W/2)
        x = self.relu(conv_norm(self.conv2, self.bn2, x))  # (B, width, H/4, W/4)
        return self.layer1(x)  # (B, 4 * planes, H/4, W/4)

    def train(self, mode: bool = True) -> Self:
        """As any module, except for the batch norm when `norm_eval` is set."""
        super().train(mode)
        if self.norm_eval:
            for module in self.modules():
                if isinstance(module, nn.BatchNorm2d):
                    module.eval()
        return self


class StemNet(ConvStem):
    """The stem alone: backbone of SDPose-T, S-V1 and S-V2 (spec 2.2).

    `planes` is the width of the two convolutions and of the bottlenecks; features have `4 * planes` channels.
    """

    def __init__(
        self, in_channels: int = 3, planes: int = 64, num_blocks: int = 4, norm_eval: bool = False
    ) -> None:
        super().__init__(in_channels, planes, planes, num_blocks, norm_eval)


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
        self.downsample = ConvNorm(in_channels, out_channels, 1) if in_channels != out_channels else None

    def forward(self, x: Tensor) -> Tensor:
        """(B, in_channels, h, w) -> (B, 4 * planes, h, w)."""
        shortcut = x if self.downsample is None else self.downsample(x)
        x = self.relu(conv_norm(self.conv1, self.bn1, x))
        x = self.relu(conv_norm(self.conv2, self.bn2, x))
        x = conv_norm(self.conv3, self.bn3, x)
        x += shortcut
        return self.relu(x)


@torch.no_grad()
def init_backbone(backbone: nn.Module, std: float = 0.001) -> None:
    """Convolutions normal(0, std), batch norm one and zero: how published training starts from nothing (spec 2.8)."""
    for module in backbone.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.normal_(module.weight, std=std)
        elif isinstance(module, nn.BatchNorm2d):
            nn.init.ones_(module.weight)
            nn.init.zeros_(module.bias)
