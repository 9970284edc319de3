"""The four published models, and everything that can be chosen about one.

A `ModelSpec` holds each number a model is made of; `build` turns it into an `SDPose`.
"""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sdpose.errors import SdposeError, nearest
from sdpose.models.hrnet import STAGE2, STAGE3, HRNet3Stage, Stage
from sdpose.models.sdpose import SDPose
from sdpose.models.stem import Bottleneck, StemNet, init_backbone
from sdpose.models.weights import load_pretrained_backbone, read_weights


@dataclass(frozen=True)
class StemSpec:
    """Backbone of SDPose-T, S-V1 and S-V2."""

    in_channels: int = 3
    # Width of the two convolutions and of the bottlenecks; the features are four times as wide.
    planes: int = 64
    num_blocks: int = 4
    # Batch norm keeps its stored statistics in training; for fine-tuning with very small batches.
    norm_eval: bool = False

    @property
    def out_channels(self) -> int:
        """Channels of the features."""
        return self.planes * Bottleneck.expansion


@dataclass(frozen=True)
class HRNetSpec:
    """Backbone of SDPose-B."""

    in_channels: int = 3
    # 32 is what was published; with 64, as in the usual HRNet, all of a usual pretrained file fits.
    stage1_planes: int = 32
    stage1_blocks: int = 4
    stage2: Stage = STAGE2
    stage3: Stage = STAGE3
    # Batch norm keeps its stored statistics in training; for fine-tuning with very small batches.
    norm_eval: bool = False

    @property
    def out_channels(self) -> int:
        """Channels of the features."""
        return self.stage3.channels[0]


@dataclass(frozen=True)
class HeadSpec:
    """The multi-cycled token head; defaults are SDPose-S-V1's, sizes are (rows, columns)."""

    num_keypoints: int = 17
    # A quarter of the image.
    feature_size_hw: tuple[int, int] = (64, 48)
    # Smaller patches give more visual tokens: finer, and slower by the square of their number.
    patch_size_hw: tuple[int, int] = (4, 3)
    dim: int = 192
    depth: int = 12
    heads: int = 8
    # Hidden width of a feed-forward layer, as a multiple of `dim`.
    mlp_ratio: int = 3
    heatmap_size_hw: tuple[int, int] = (64, 48)
    # Passes through the transformer in training; with one there is no self-distillation.
    cycle_num: int = 2
    # The published initial values of the head; False leaves PyTorch's.
    apply_init: bool = True
    # Inside the blocks, and on the tokens before the first block.
    dropout: float = 0.0
    emb_dropout: float = 0.0


@dataclass(frozen=True)
class ModelSpec:
    """A whole model."""

    backbone: StemSpec | HRNetSpec = field(default_factory=StemSpec)
    head: HeadSpec = field(default_factory=HeadSpec)


VARIANTS: dict[str, ModelSpec] = {
    "sdpose_t": ModelSpec(StemSpec(), HeadSpec(depth=6, cycle_num=3)),
    "sdpose_s_v1": ModelSpec(StemSpec(), HeadSpec()),
    "sdpose_s_v2": ModelSpec(StemSpec(), HeadSpec(patch_size_hw=(2, 2))),
    "sdpose_b": ModelSpec(HRNetSpec(), HeadSpec()),
}


def create_model(
    name: str,
    *,
    pretrained_backbone: Path | None = None,
    report: Callable[[str], None] | None = None,
    **overrides: Any,
) -> SDPose:
    """A published model by name, with any field of its backbone's or head's spec replaced by a keyword.

    `pretrained_backbone` and `report` are as in `build`. Raises SdposeError for an unknown name or field.
    """
    return build(variant_spec(name, **overrides), pretrained_backbone=pretrained_backbone, report=report)


def build(
    spec: ModelSpec,
    *,
    pretrained_backbone: Path | None = None,
    report: Callable[[str], None] | None = None,
) -> SDPose:
    """A model with the published initial values (spec 2.8), in training mode.

    From a `pretrained_backbone` file all that fits is loaded and the rest of the backbone has PyTorch's own initial
    values (spec 2.9). What was and was not loaded goes to `report` line by line; without one, a misfit is a warning.
    """
    settings = {item.name: getattr(spec.backbone, item.name) for item in dataclasses.fields(spec.backbone)}
    if isinstance(spec.backbone, HRNetSpec) and any(size % 4 for size in spec.head.feature_size_hw):
        raise SdposeError(
            f"HRNet halves its features twice, so feature_size_hw {spec.head.feature_size_hw} must be multiples of 4; "
            "choose an image size that is a multiple of 16"
        )
    backbone = StemNet(**settings) if isinstance(spec.backbone, StemSpec) else HRNet3Stage(**settings)
    if pretrained_backbone is None:
        init_backbone(backbone)
    else:
        lines = load_pretrained_backbone(backbone, read_weights(pretrained_backbone))
        if report is not None:
            for line in lines:
                report(line)
        elif len(lines) > 1:
            warnings.warn(f"{lines[0]}; {lines[1]}; pass `report` to see all", stacklevel=2)
    return SDPose(backbone, in_channels=spec.backbone.out_channels, **dataclasses.asdict(spec.head))


def variant_spec(name: str, **overrides: Any) -> ModelSpec:
    """The spec of a published model with fields replaced, e.g. `variant_spec("sdpose_t", num_keypoints=14)`."""
    if name not in VARIANTS:
        raise SdposeError(
            f"unknown model '{name}'; known are {', '.join(VARIANTS)}.{nearest(name, VARIANTS)}"
        )
    spec = VARIANTS[name]
    of_backbone = {item.name for item in dataclasses.fields(spec.backbone)}
    of_head = {item.name for item in dataclasses.fields(spec.head)}
    known = sorted(of_backbone | of_head)
    for key in overrides:
        if key not in known:
            raise SdposeError(
                f"{name} has no setting '{key}'; known are {', '.join(known)}.{nearest(key, known)}"
            )
    return ModelSpec(
        dataclasses.replace(
            spec.backbone, **{key: overrides[key] for key in overrides if key in of_backbone}
        ),
        dataclasses.replace(spec.head, **{key: overrides[key] for key in overrides if key in of_head}),
    )
