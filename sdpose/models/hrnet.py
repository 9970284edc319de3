"""HRNet cut after three stages, the backbone of SDPose-B (spec 2.3).

Branch 0 has the highest resolution, a quarter of the image; every further branch has half the rows and columns of the
one before. Legend: B batch, H, W rows and columns of the image, h, w of branch 0, C_i channels of branch i.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor, nn

from sdpose.models.conv_norm import ConvNorm, conv_norm
from sdpose.models.stem import Bottleneck, ConvStem

STEM_WIDTH = 64


@dataclass(frozen=True)
class Stage:
    """One HRNet stage: `num_modules` modules whose branch i has `channels[i]` channels and `num_blocks[i]` blocks."""

    num_modules: int
    num_blocks: tuple[int, ...]
    channels: tuple[int, ...]


STAGE2 = Stage(1, (4, 4), (32, 64))
STAGE3 = Stage(4, (4, 4, 4), (32, 64, 128))


class HRNet3Stage(ConvStem):
    """HRNet-W32 without its fourth stage; only the highest-resolution branch comes out.

    `stage1_planes` is 32 in the published SDPose-B where the usual HRNet has 64: that is why `layer1` and the first
    transition of the usual pretrained file do not fit (spec 2.9).
    """

    def __init__(
        self,
        in_channels: int = 3,
        *,
        stage1_planes: int = 32,
        stage1_blocks: int = 4,
        stage2: Stage = STAGE2,
        stage3: Stage = STAGE3,
        norm_eval: bool = False,
    ) -> None:
        super().__init__(in_channels, STEM_WIDTH, stage1_planes, stage1_blocks, norm_eval)
        self.transition1 = transition((stage1_planes * Bottleneck.expansion,), stage2.channels)
        self.stage2 = hr_stage(stage2, single_output=False)
        self.transition2 = transition(stage2.channels, stage3.channels)
        self.stage3 = hr_stage(stage3, single_output=True)

    def forward(self, images: Tensor) -> Tensor:
        """Normalised images (B, in_channels, H, W) float -> features (B, C_0, H / 4, W / 4).

        H and W must be multiples of 16, so that each branch has half the size of the one before.
        """
        branches = [super().forward(images)]  # (B, 4 * stage1_planes, H/4, W/4)
        branches = self.stage2(enter(self.transition1, branches))
        branches = self.stage3(enter(self.transition2, branches))
        return branches[0]  # (B, C_0, H/4, W/4)


class HRModule(nn.Module):
    """Parallel branches that then exchange: output i is the ReLU of the sum of all branches, brought to its size.

    With `single_output` there is output 0 only: nobody uses the others of the last module.
    """

    def __init__(self, channels: Sequence[int], num_blocks: Sequence[int], *, single_output: bool) -> None:
        super().__init__()
        self.branches = nn.ModuleList(
            nn.Sequential(*(BasicBlock(width) for _ in range(count)))
            for width, count in zip(channels, num_blocks, strict=True)
        )
        self.fuse_layers = nn.ModuleList(
            nn.ModuleList(fuse_path(channels, source, target) for source in range(len(channels)))
            for target in range(1 if single_output else len(channels))
        )
        self.relu = nn.ReLU(inplace=True)

    def forward(self, inputs: list[Tensor]) -> list[Tensor]:
        """One (B, C_i, h / 2^i, w / 2^i) a branch -> the same list, or its first entry alone."""
        features = [branch(x) for branch, x in zip(self.branches, inputs, strict=True)]
        outputs = []
        for paths in self.fuse_layers:
            assert isinstance(paths, nn.ModuleList)
            first, *others = (path(x) for path, x in zip(paths, features, strict=True))
            outputs.append(self.relu(sum(others, first)))
        return outputs


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
        y = self.relu(conv_norm(self.conv1, self.bn1, x))
        y = conv_norm(self.conv2, self.bn2, y)
        y += x
        return self.relu(y)


def hr_stage(stage: Stage, *, single_output: bool) -> nn.Sequential:
    """The stage's modules in a row; only the last one may have a single output."""
    last = stage.num_modules - 1
    return nn.Sequential(
        *(
            HRModule(stage.channels, stage.num_blocks, single_output=single_output and index == last)
            for index in range(stage.num_modules)
        )
    )


def fuse_path(channels: Sequence[int], source: int, target: int) -> nn.Module:
    """From branch `source` to branch `target`: nothing, a 1x1 convolution and enlargement, or strided 3x3 steps."""
    if source == target:
        return nn.Identity()
    if source > target:
        enlarge = nn.Upsample(scale_factor=2 ** (source - target), mode="nearest")
        return ConvNorm(channels[source], channels[target], 1, then=enlarge)
    return descend(channels[source], channels[target], target - source, last_relu=False)


def transition(previous: Sequence[int], channels: Sequence[int]) -> nn.ModuleList:
    """One path a branch of the next stage: old branches keep or change their width, new ones descend from the last."""
    paths: list[nn.Module] = []
    for index, width in enumerate(channels):
        if index >= len(previous):
            paths.append(descend(previous[-1], width, index + 1 - len(previous), last_relu=True))
        elif previous[index] == width:
            paths.append(nn.Identity())
        else:
            paths.append(ConvNorm(previous[index], width, 3, then=nn.ReLU(inplace=True)))
    return nn.ModuleList(paths)


def enter(paths: nn.ModuleList, branches: list[Tensor]) -> list[Tensor]:
    """Inputs of the next stage; a branch that did not exist before comes from the last one that did."""
    return [path(branches[min(index, len(branches) - 1)]) for index, path in enumerate(paths)]


def descend(in_channels: int, out_channels: int, num_steps: int, *, last_relu: bool) -> nn.Sequential:
    """`num_steps` strided 3x3 convolutions; the last one changes the width and may go without ReLU."""
    steps = [
        ConvNorm(in_channels, in_channels, 3, stride=2, then=nn.ReLU(inplace=True))
        for _ in range(num_steps - 1)
    ]
    last = ConvNorm(in_channels, out_channels, 3, stride=2, then=nn.ReLU(inplace=True) if last_relu else None)
    return nn.Sequential(*steps, last)
