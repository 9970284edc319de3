"""The four published models, and what can be chosen about one.

A `ModelSpec` holds every number a model is made of; `build` turns it into an `SDPose`.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..errors import SdposeError, nearest
from .hrnet import HRNet3Stage, Stage
from .sdpose import SDPose
from .stem import StemNet, init_backbone
from .weights import load_pretrained_backbone, read_weights


@dataclass(frozen=True)
class StemSpec:
    """Backbone of SDPose-T, S-V1 and S-V2; the features have `4 * planes` channels."""

    in_channels: int = 3
    # Width of the two convolutions and of the bottlenecks.
    planes: int = 64
    num_blocks: int = 4
    # Batch norm keeps its stored statistics while training; for fine-tuning with very small batches.
    norm_eval: bool = False

    @property
    def out_channels(self) -> int:
        return 4 * self.planes


@dataclass(frozen=True)
class HRNetSpec:
    """Backbone of SDPose-B: HRNet-W32 without its fourth stage."""

    in_channels: int = 3
    # 32 is what was published with SDPose-B; the usual HRNet has 64 (then its pretrained file fits entirely).
    stage1_planes: int = 32
    stage1_blocks: int = 4
    stage2: Stage = Stage(1, (4, 4), (32, 64))
    stage3: Stage = Stage(4, (4, 4, 4), (32, 64, 128))
    # Batch norm keeps its stored statistics while training; for fine-tuning with very small batches.
    norm_eval: bool = False

    @property
    def out_channels(self) -> int:
        return self.stage3.channels[0]


@dataclass(frozen=True)
class HeadSpec:
    """The multi-cycled token head. Defaults are SDPose-S-V1's; sizes are (rows, columns)."""

    num_keypoints: int = 17
    # A quarter of the image.
    feature_size_hw: tuple[int, int] = (64, 48)
    # Smaller patches: more visual tokens, finer and slower (attention grows with their square).
    patch_size_hw: tuple[int, int] = (4, 3)
    dim: int = 192
    depth: int = 12
    heads: int = 8
    # Hidden width of a feed-forward layer, in multiples of `dim`.
    mlp_ratio: int = 3
    heatmap_size_hw: tuple[int, int] = (64, 48)
    # Passes through the transformer while training; one alone switches self-distillation off.
    cycle_num: int = 2
    # Published initialisation of the head; False leaves PyTorch's.
    apply_init: bool = True
    dropout: float = 0.0
    # Dropout on the tokens before the first block.
    emb_dropout: float = 0.0


@dataclass(frozen=True)
class ModelSpec:
    """A whole model: backbone and head."""

    backbone: StemSpec | HRNetSpec = field(default_factory=StemSpec)
    head: HeadSpec = field(default_factory=HeadSpec)


VARIANTS: dict[str, ModelSpec] = {
    "sdpose_t": ModelSpec(StemSpec(), HeadSpec(depth=6, cycle_num=3)),
    "sdpose_s_v1": ModelSpec(StemSpec(), HeadSpec()),
    "sdpose_s_v2": ModelSpec(StemSpec(), HeadSpec(patch_size_hw=(2, 2))),
    "sdpose_b": ModelSpec(HRNetSpec(), HeadSpec()),
}


def build(spec: ModelSpec, *, pretrained_backbone: Path | None = None) -> SDPose:
    """A model with the published initialisation.

    With a pretrained backbone file that file is loaded instead, and what it does not hold keeps PyTorch's own
    initialisation (spec 2.9); `load_pretrained_backbone` on the result tells what did not fit.
    """
    backbone = build_backbone(spec.backbone)
    if pretrained_backbone is None:
        init_backbone(backbone)
    else:
        load_pretrained_backbone(backbone, read_weights(pretrained_backbone))
    return SDPose(backbone, in_channels=spec.backbone.out_channels, **dataclasses.asdict(spec.head))


def build_backbone(spec: StemSpec | HRNetSpec) -> StemNet | HRNet3Stage:
    """The backbone alone, with PyTorch's own initialisation."""
    settings = {item.name: getattr(spec, item.name) for item in dataclasses.fields(spec)}
    return StemNet(**settings) if isinstance(spec, StemSpec) else HRNet3Stage(**settings)


def create_model(name: str, *, pretrained_backbone: Path | None = None, **overrides: Any) -> SDPose:
    """One of the published models by name, with any field of its backbone or head replaced.

    Raises SdposeError for an unknown name or field.
    """
    return build(variant_spec(name, **overrides), pretrained_backbone=pretrained_backbone)


def variant_spec(name: str, **overrides: Any) -> ModelSpec:
    """The spec of a published model with fields replaced, e.g. `variant_spec("sdpose_t", num_keypoints=14)`."""
    if name not in VARIANTS:
        raise SdposeError(
            f"unknown model '{name}'; known are {', '.join(VARIANTS)}.{nearest(name, VARIANTS)}"
        )
    spec = VARIANTS[name]
    of_backbone = {item.name for item in dataclasses.fields(spec.backbone)}
    of_head = {item.name for item in dataclasses.fields(spec.head)}
    for key in overrides:
        if key not in of_backbone | of_head:
            known = sorted(of_backbone | of_head)
            raise SdposeError(
                f"{name} has no setting '{key}'; known are {', '.join(known)}.{nearest(key, known)}"
            )
    return ModelSpec(
        dataclasses.replace(spec.backbone, **{k: v for k, v in overrides.items() if k in of_backbone}),
        dataclasses.replace(spec.head, **{k: v for k, v in overrides.items() if k in of_head}),
    )
