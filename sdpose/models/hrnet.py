"""HRNet cut after three stages, the backbone of SDPose-B (spec 2.3).

Branch 0 has the highest resolution, a quarter of the image; each further branch has half the rows and columns of the
one before. Legend: B batch, H, W rows and columns of the image, C_i channels of branch i.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch.nn.functional as F
from torch import Tensor, nn

from .stem import Bottleneck, bottleneck_stage, freeze_norm_statistics

STEM_CHANNELS = 64


@dataclass(frozen=True)
class Stage:
    """One HRNet stage: `channels[i]` and `num_blocks[i]` of branch i, repeated in `num_modules` modules."""

    num_modules: int
    num_blocks: tuple[int, ...]
    channels: tuple[int, ...]


class HRNet3Stage(nn.Module):
    """HRNet-W32 without its fourth stage; only the highest-resolution branch comes out.

    `stage1_planes` is 32 in the published SDPose-B, where the usual HRNet has 64; that is why `layer1` and `transition1`
    of the usual pretrained file do not fit (spec 2.9).
    """

    def __init__(
        self,
        in_channels: int = 3,
        *,
        stage1_planes: int = 32,
        stage1_blocks: int = 4,
        stage2: Stage = Stage(1, (4, 4), (32, 64)),
        stage3: Stage = Stage(4, (4, 4, 4), (32, 64, 128)),
        norm_eval: bool = False,
    ) -> None:
        super().__init__()
        self.norm_eval = norm_eval
        self.out_channels = stage3.channels[0]
        self.conv1 = nn.Conv2d(in_channels, STEM_CHANNELS, 3, stride=2, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(STEM_CHANNELS)
        self.conv2 = nn.Conv2d(STEM_CHANNELS, STEM_CHANNELS, 3, stride=2, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(STEM_CHANNELS)
        self.relu = nn.ReLU(inplace=True)
        self.layer1 = bottleneck_stage(STEM_CHANNELS, stage1_planes, stage1_blocks)
        self.transition1 = transition((stage1_planes * Bottleneck.expansion,), stage2.channels)
        self.stage2 = hr_stage(stage2, single_output=False)
        self.transition2 = transition(stage2.channels, stage3.channels)
        self.stage3 = hr_stage(stage3, single_output=True)

    def forward(self, images: Tensor) -> Tensor:
        """Normalised images (B, in_channels, H, W) float -> features (B, C_0, H / 4, W / 4)."""
        x = self.relu(self.bn1(self.conv1(images)))  # (B, 64, H/2, W/2)
        x = self.relu(self.bn2(self.conv2(x)))  # (B, 64, H/4, W/4)
        x = self.layer1(x)  # (B, 4 * stage1_planes, H/4, W/4)
        branches = self.stage2(enter(self.transition1, [x]))
        branches = self.stage3(enter(self.transition2, branches))
        return branches[0]  # (B, C_0, H/4, W/4)

    def train(self, mode: bool = True) -> HRNet3Stage:
        super().train(mode)
        if mode and self.norm_eval:
            freeze_norm_statistics(self)
        return self


class BasicBlock(nn.Module):
    """Two 3x3 convolutions with batch norm around a residual sum; the channels do not change."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels)
        self.relu = nn.ReLU(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        """(B, channels, h, w) -> the same shape."""
        y = self.relu(self.bn1(self.conv1(x)))
        y = self.bn2(self.conv2(y))
        y += x
        return self.relu(y)


class HRModule(nn.Module):
    """Parallel branches that then exchange: output i is the ReLU of the sum of all branches brought to its size.

    With `single_output` only output 0 exists: the last module of the network needs no other.
    """

    def __init__(
        self, channels: Sequence[int], num_blocks: Sequence[int], *, single_output: bool = False
    ) -> None:
        super().__init__()
        self.branches = nn.ModuleList(
            nn.Sequential(*(BasicBlock(width) for _ in range(count)))
            for width, count in zip(channels, num_blocks, strict=True)
        )
        num_outputs = 1 if single_output else len(channels)
        self.fuse_layers = nn.ModuleList(
            nn.ModuleList(fuse_path(channels, source, target) for source in range(len(channels)))
            for target in range(num_outputs)
        )
        self.relu = nn.ReLU(inplace=True)

    def forward(self, inputs: list[Tensor]) -> list[Tensor]:
        """One (B, C_i, h / 2^i, w / 2^i) a branch -> the same list, or its first entry alone."""
        features = [branch(x) for branch, x in zip(self.branches, inputs, strict=True)]
        outputs = []
        for target, paths in enumerate(self.fuse_layers):
            size = features[target].shape[2:]
            total: Tensor | None = None
            for source, (path, x) in enumerate(zip(paths, features, strict=True)):
                x = path(x)
                if source > target:
                    x = F.interpolate(x, size=size, mode="nearest")
                total = x if total is None else total + x
            outputs.append(self.relu(total))
        return outputs


def fuse_path(channels: Sequence[int], source: int, target: int) -> nn.Module:
    """The way from branch `source` to branch `target`: nothing, a 1x1 convolution (then enlarged), or strided 3x3 steps."""
    if source == target:
        return nn.Identity()
    if source > target:
        return nn.Sequential(
            nn.Conv2d(channels[source], channels[target], 1, bias=False), nn.BatchNorm2d(channels[target])
        )
    steps = [down_step(channels[source], channels[source], relu=True) for _ in range(target - source - 1)]
    return nn.Sequential(*steps, down_step(channels[source], channels[target], relu=False))


def transition(previous: Sequence[int], channels: Sequence[int]) -> nn.ModuleList:
    """One module a branch of the next stage: old branches keep or change their width, new ones halve the smallest old one."""
    paths: list[nn.Module] = []
    for index, width in enumerate(channels):
        if index < len(previous):
            paths.append(nn.Identity() if previous[index] == width else conv_step(previous[index], width))
            continue
        num_steps = index + 1 - len(previous)
        steps = [down_step(previous[-1], previous[-1], relu=True) for _ in range(num_steps - 1)]
        paths.append(nn.Sequential(*steps, down_step(previous[-1], width, relu=True)))
    return nn.ModuleList(paths)


def enter(paths: nn.ModuleList, branches: list[Tensor]) -> list[Tensor]:
    """Inputs of the next stage; a branch that did not exist before grows from the smallest one."""
    return [path(branches[min(index, len(branches) - 1)]) for index, path in enumerate(paths)]


def hr_stage(stage: Stage, *, single_output: bool) -> nn.Sequential:
    """`stage.num_modules` modules in a row; only the last one may have a single output."""
    last = stage.num_modules - 1
    return nn.Sequential(
        *(
            HRModule(stage.channels, stage.num_blocks, single_output=single_output and index == last)
            for index in range(stage.num_modules)
        )
    )


def conv_step(in_channels: int, out_channels: int) -> nn.Sequential:
    """3x3 convolution, batch norm, ReLU at the same resolution."""
    return nn.Sequential(
        nn.Conv2d(in_channels, out_channels, 3, padding=1, bias=False),
        nn.BatchNorm2d(out_channels),
        nn.ReLU(inplace=True),
    )


def down_step(in_channels: int, out_channels: int, *, relu: bool) -> nn.Sequential:
    """3x3 convolution of stride 2 and batch norm, with or without ReLU."""
    layers: list[nn.Module] = [
        nn.Conv2d(in_channels, out_channels, 3, stride=2, padding=1, bias=False),
        nn.BatchNorm2d(out_channels),
    ]
    return nn.Sequential(*layers, nn.ReLU(inplace=True)) if relu else nn.Sequential(*layers)
