"""Model and losses from `settings.model`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from torch import nn

from sdpose.assemble.user_code import UserCode
from sdpose.config.custom import CustomLoss
from sdpose.config.model_settings import (
    HRNetSettings,
    JointsMSELossSettings,
    StageSettings,
    StemNetSettings,
    TokenDistilLossSettings,
)
from sdpose.config.settings import Settings
from sdpose.errors import SdposeError
from sdpose.models import SDPose, SDPoseLoss
from sdpose.models.hrnet import Stage
from sdpose.models.losses import JointsMSELoss, TokenDistilLoss
from sdpose.models.normalize import ImageNormalizer
from sdpose.models.variants import VARIANTS, HeadSpec, HRNetSpec, ModelSpec, StemSpec, build


def model_spec_from_settings(settings: Settings) -> ModelSpec:
    """Every number of the model that a config describes."""
    head, tokens = settings.model.keypoint_head, settings.model.keypoint_head.tokenpose_cfg
    return ModelSpec(
        _backbone_spec(settings.model.backbone),
        HeadSpec(
            num_keypoints=head.num_joints,
            feature_size_hw=tokens.feature_size,
            patch_size_hw=tokens.patch_size,
            dim=tokens.dim,
            depth=tokens.depth,
            heads=tokens.heads,
            mlp_ratio=tokens.mlp_ratio,
            heatmap_size_hw=tokens.heatmap_size,
            cycle_num=tokens.cycle_num,
            apply_init=tokens.apply_init,
            dropout=tokens.dropout,
            emb_dropout=tokens.emb_dropout,
        ),
    )


def build_model(
    settings: Settings, *, pretrained: bool, report: Callable[[str], None] | None = None
) -> SDPose:
    """The config's model. `pretrained` loads the backbone file that it names; a missing file raises SdposeError.

    An evaluation passes False: its checkpoint brings all weights. `report` gets a line for each part of the file that
    was loaded or did not fit.
    """
    path = settings.model.pretrained if pretrained else None
    if path is not None and not Path(path).is_file():
        raise SdposeError(
            f"the pretrained backbone {path} does not exist; fetch the file, or start without it: "
            "--cfg-options model.pretrained=None"
        )
    return build(
        model_spec_from_settings(settings), pretrained_backbone=Path(path) if path else None, report=report
    )


def variant_name(spec: ModelSpec) -> str | None:
    """Name of the published variant that `spec` is, or None."""
    return next((name for name, published in VARIANTS.items() if published == spec), None)


def build_normalizer(settings: Settings, split: str) -> ImageNormalizer:
    """What turns the uint8 crops of a split into the model's input."""
    pipeline = getattr(settings.data, split).pipeline
    return ImageNormalizer(pipeline.mean, pipeline.std)


def build_loss(settings: Settings, user_code: UserCode) -> SDPoseLoss:
    """The loss terms of the config: published ones and the user's own."""
    head = settings.model.keypoint_head
    extra = {name: _custom_loss(loss, user_code) for name, loss in head.extra_losses.items()}
    return SDPoseLoss(
        heatmap=_heatmap_loss(head.loss_keypoint, user_code),
        visual=_token_loss(head.loss_vis_token_dist, user_code),
        keypoint=_token_loss(head.loss_kpt_token_dist, user_code),
        extra=extra,
    )


def _heatmap_loss(settings: JointsMSELossSettings | CustomLoss, user_code: UserCode) -> nn.Module:
    if isinstance(settings, CustomLoss):
        return _custom_loss(settings, user_code)
    return JointsMSELoss(settings.use_target_weight, settings.loss_weight)


def _token_loss(settings: TokenDistilLossSettings | CustomLoss | None, user_code: UserCode) -> nn.Module:
    if isinstance(settings, CustomLoss):
        return _custom_loss(settings, user_code)
    return TokenDistilLoss(settings.loss_weight if settings is not None else 0.0)


def _custom_loss(settings: CustomLoss, user_code: UserCode) -> nn.Module:
    loss = user_code.make(settings)
    if not isinstance(loss, nn.Module):
        raise SdposeError(
            f"{settings.where}: {settings.type} is a {type(loss).__name__}; a loss must be a torch.nn.Module"
        )
    return loss


def _backbone_spec(settings: StemNetSettings | HRNetSettings) -> StemSpec | HRNetSpec:
    if isinstance(settings, StemNetSettings):
        return StemSpec(
            in_channels=settings.in_channels,
            planes=settings.planes,
            num_blocks=settings.num_blocks,
            norm_eval=settings.norm_eval,
        )
    stages = settings.extra
    return HRNetSpec(
        in_channels=settings.in_channels,
        stage1_planes=stages.stage1.num_channels[0],
        stage1_blocks=stages.stage1.num_blocks[0],
        stage2=_stage(stages.stage2),
        stage3=_stage(stages.stage3),
        norm_eval=settings.norm_eval,
    )


def _stage(settings: StageSettings) -> Stage:
    return Stage(settings.num_modules, settings.num_blocks, settings.num_channels)
