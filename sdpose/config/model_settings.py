"""`model`: the network and its losses, in the words of the classic config."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Discriminator, Field, Tag, model_validator

from sdpose.config.custom import CustomLoss, type_or_custom
from sdpose.config.places import SourceDict
from sdpose.config.section import Section, problem
from sdpose.config.values import (
    AsTuple,
    LocalPath,
    Nothing,
    NotNegativeFloat,
    Positive,
    PositivePair,
    Probability,
)


class NormSettings(Section):
    """Which normalisation layers. There is one kind; SyncBN would need every rank to wait for all others."""

    type: Literal["BN"] = "BN"
    requires_grad: Literal[True] = True


class StemNetSettings(Section):
    """The light backbone of SDPose-T and -S: two strided convolutions, one stage of bottlenecks."""

    type: Literal["StemNet"] = "StemNet"
    in_channels: Literal[3] = 3
    planes: Positive = 64  # width; 4 * planes channels come out
    num_blocks: Positive = 4
    norm_eval: bool = False  # True keeps the running statistics of the normalisation as they are
    norm_cfg: NormSettings = NormSettings()

    @property
    def out_channels(self) -> int:
        """Channels of the feature map."""
        return 4 * self.planes


class StageSettings(Section):
    """One stage of HRNet: `num_blocks` and `num_channels` have one entry a branch."""

    num_modules: Positive
    num_branches: Positive
    block: Literal["BOTTLENECK", "BASIC"]
    num_blocks: Annotated[tuple[Positive, ...], AsTuple]
    num_channels: Annotated[tuple[Positive, ...], AsTuple]

    @model_validator(mode="after")
    def _check_branches(self) -> StageSettings:
        for name in ("num_blocks", "num_channels"):
            if len(getattr(self, name)) != self.num_branches:
                raise problem(
                    f"got {len(getattr(self, name))} entries, expected one a branch ({self.num_branches}).",
                    key=name,
                )
        return self


class HRNetExtra(Section):
    """The three stages of the backbone of SDPose-B."""

    stage1: StageSettings
    stage2: StageSettings
    stage3: StageSettings
    refused: ClassVar[Mapping[str, str]] = {
        "stage4": "HRNet_3stage ends after stage 3, whose finest branch is the feature map; remove stage4"
    }

    @model_validator(mode="after")
    def _check_stages(self) -> HRNetExtra:
        for number, (name, block) in enumerate(
            (("stage1", "BOTTLENECK"), ("stage2", "BASIC"), ("stage3", "BASIC")), 1
        ):
            stage: StageSettings = getattr(self, name)
            if stage.num_branches != number:
                raise problem(
                    f"stage {number} has {number} branches, got num_branches={stage.num_branches}.", key=name
                )
            if stage.block != block:
                raise problem(f"stage {number} is made of {block} blocks, got {stage.block}.", key=name)
        if self.stage1.num_modules != 1:
            raise problem(f"stage 1 has one module, got {self.stage1.num_modules}.", key="stage1")
        return self


class HRNetSettings(Section):
    """HRNet without its last stage: the backbone of SDPose-B (stride 4)."""

    type: Literal["HRNet_3stage"]
    in_channels: Literal[3] = 3
    extra: HRNetExtra
    norm_eval: bool = False
    norm_cfg: NormSettings = NormSettings()
    conv_cfg: None = None
    zero_init_residual: Literal[False] = False
    without_meaning: ClassVar[Mapping[str, str]] = {"with_cp": "activations are kept, not computed again"}

    @property
    def out_channels(self) -> int:
        """Channels of the feature map: the finest branch of the last stage."""
        return self.extra.stage3.num_channels[0]


BackboneSettings = Annotated[StemNetSettings | HRNetSettings, Field(discriminator="type")]


class JointsMSELossSettings(Section):
    """Mean squared error of the heatmaps, weighted by visibility when `use_target_weight`."""

    type: Literal["JointsMSELoss"] = "JointsMSELoss"
    use_target_weight: bool = False
    loss_weight: NotNegativeFloat = 1.0


class TokenDistilLossSettings(Section):
    """Mean squared difference of the tokens of neighbouring cycles."""

    type: Literal["TokenDistilLoss"] = "TokenDistilLoss"
    dist_type: Literal["L2"] = "L2"
    loss_weight: NotNegativeFloat = 1.0


def _heatmap_loss_tag(value: Any) -> str | None:
    return type_or_custom(value, "JointsMSELoss")


def _token_loss_tag(value: Any) -> str | None:
    return type_or_custom(value, "TokenDistilLoss")


HeatmapLossSettings = Annotated[
    Annotated[JointsMSELossSettings, Tag("JointsMSELoss")] | Annotated[CustomLoss, Tag("custom")],
    Discriminator(_heatmap_loss_tag),
]
TokenLossSettings = Annotated[
    Annotated[TokenDistilLossSettings, Tag("TokenDistilLoss")] | Annotated[CustomLoss, Tag("custom")],
    Discriminator(_token_loss_tag),
]


class TokenPoseSettings(Section):
    """The token head: sizes are (rows, columns)."""

    feature_size: PositivePair = (64, 48)
    patch_size: PositivePair = (4, 3)
    dim: Positive = 192
    depth: Positive = 12
    heads: Positive = 8
    mlp_ratio: Positive = 3
    heatmap_size: PositivePair = (64, 48)
    pos_embedding_type: Literal["sine-full"] = "sine-full"
    apply_init: bool = True
    cycle_num: Positive = 2
    dropout: Probability = 0.0
    emb_dropout: Probability = 0.0

    @model_validator(mode="after")
    def _check_sizes(self) -> TokenPoseSettings:
        for size, patch in zip(self.feature_size, self.patch_size, strict=True):
            if size % patch:
                raise problem(
                    f"patches of {list(self.patch_size)} do not tile a feature map of "
                    f"{list(self.feature_size)}.",
                    key="patch_size",
                )
        if self.dim % self.heads:
            raise problem(f"got {self.heads} heads, which do not divide dim={self.dim}.", key="heads")
        if self.dim % 4:
            raise problem(
                f"got {self.dim}, expected a multiple of 4 (sine and cosine of two axes).", key="dim"
            )
        return self


class KeypointHeadSettings(Section):
    """The head: keypoint tokens, cycles and the losses on them.

    `extra_losses` collects every further `loss_...` of the config, by name, in its order.
    """

    type: Literal["SDPoseHead"]
    in_channels: Positive
    num_joints: Positive
    loss_keypoint: HeatmapLossSettings
    loss_vis_token_dist: TokenLossSettings | None = None
    loss_kpt_token_dist: TokenLossSettings | None = None
    tokenpose_cfg: TokenPoseSettings
    extra_losses: dict[str, CustomLoss] = Field(default_factory=dict)
    train_cfg: Nothing = None
    test_cfg: Nothing = None
    not_offered: ClassVar[tuple[str, ...]] = ("type", "extra_losses", "train_cfg", "test_cfg")

    @model_validator(mode="before")
    @classmethod
    def _collect_extra_losses(cls, value: Any) -> Any:
        if not isinstance(value, SourceDict):
            return value
        extra = SourceDict(value.place)
        kept = SourceDict(value.place)
        for key, item in value.items():
            is_extra = (
                str(key).startswith("loss_") and key not in cls.model_fields and isinstance(item, dict | None)
            )
            if not is_extra:
                kept.put(key, item, value.place_of(key))
            elif item is not None:
                extra.put(key, item, value.place_of(key))
        if extra:
            kept.put("extra_losses", extra, value.place)
        return kept


class TestSettings(Section):
    """How heatmaps become keypoints when the model is evaluated."""

    __test__ = False  # not a test class, whatever pytest thinks of its name

    flip_test: bool = True
    post_process: Literal["unbiased", "default"] | None = "default"
    shift_heatmap: bool = False
    modulate_kernel: Positive = 11
    use_udp: Literal[False] = False
    target_type: Literal["GaussianHeatmap", "GaussianHeatMap"] = "GaussianHeatmap"
    refused: ClassVar[Mapping[str, str]] = {"unbiased_decoding": "write post_process='unbiased'"}

    @model_validator(mode="after")
    def _check_kernel(self) -> TestSettings:
        if self.modulate_kernel % 2 == 0:
            raise problem(f"got {self.modulate_kernel}, expected an odd number.", key="modulate_kernel")
        return self


class ModelSettings(Section):
    """The whole model. `pretrained` is a file with ImageNet weights for the backbone."""

    type: Literal["TopDown", "TokenSelfDistil"]
    pretrained: LocalPath | None = None
    backbone: BackboneSettings
    keypoint_head: KeypointHeadSettings
    test_cfg: TestSettings = TestSettings()
    neck: None = None
    loss_pose: None = None
    train_cfg: Nothing = None
