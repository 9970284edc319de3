"""A trained network from one file, with everything that it takes to use it: no data set, no run."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path

from torch import nn

from sdpose.assemble.data import skeleton_of
from sdpose.assemble.model import build_model, model_spec_from_settings, variant_name
from sdpose.config.settings import Settings, load_settings
from sdpose.errors import SdposeError
from sdpose.heatmaps.decode import PostProcess
from sdpose.models import SDPose
from sdpose.models.fuse import fuse_batch_norm
from sdpose.models.normalize import ImageNormalizer
from sdpose.models.variants import VARIANTS, build
from sdpose.models.weights import load_model_weights, published_name
from sdpose.skeleton import COCO17, Skeleton
from sdpose.training.checkpoint import Checkpoint, load_checkpoint

_IMAGENET_MEAN, _IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
_PADDING = 1.25


@dataclass(frozen=True, kw_only=True)
class TrainedModel:
    """A network in evaluation mode, and how its crops are cut and its heatmaps read."""

    model: nn.Module
    """images (N, 3, H, W) float32, normalised RGB -> heatmaps (N, K, h, w) of the first cycle."""
    normalize: ImageNormalizer
    """images (N, H, W, 3) uint8 RGB -> what `model` takes."""
    skeleton: Skeleton
    image_size_wh: tuple[int, int]
    heatmap_size_wh: tuple[int, int]
    padding: float = _PADDING
    """By which a person's box is grown before it is cut."""
    flip_test: bool = True
    shift_heatmap: bool = True
    post_process: PostProcess = "unbiased"
    kernel: int = 11
    name: str = "sdpose"
    source: str = ""
    """Where the weights came from and what the rest was taken from, for people."""


def load_trained_model(
    weights: Path | str, *, config: Path | str | None = None, fuse: bool = True
) -> TrainedModel:
    """The network of a checkpoint of ours, of the official code, or of bare weights.

    What it is made of comes from `config`, else from the config inside of the checkpoint, else from the shapes of the
    weights, which tell the four published variants apart. With `fuse` batch norms are folded into convolutions.
    Raises SdposeError when the file cannot be read or is none of these.
    """
    checkpoint = load_checkpoint(Path(weights))
    settings, source = _settings(checkpoint, config)
    if settings is None:
        return _published(checkpoint, fuse=fuse)
    model = build_model(settings, pretrained=False)
    load_model_weights(model, checkpoint.state_dict, source=str(weights))
    data, rules = settings.data.test, settings.model.test_cfg
    return TrainedModel(
        model=_ready(model, fuse=fuse),
        normalize=ImageNormalizer(data.pipeline.mean, data.pipeline.std),
        skeleton=skeleton_of(data),
        image_size_wh=data.data_cfg.image_size,
        heatmap_size_wh=data.data_cfg.heatmap_size,
        padding=data.pipeline.padding,
        flip_test=rules.flip_test,
        shift_heatmap=rules.shift_heatmap,
        post_process=rules.post_process,
        kernel=rules.modulate_kernel,
        name=variant_name(model_spec_from_settings(settings)) or Path(weights).stem,
        source=f"{weights}, {source}",
    )


def _settings(checkpoint: Checkpoint, config: Path | str | None) -> tuple[Settings | None, str]:
    if config is not None:
        return load_settings(config), f"config {config}"
    text = checkpoint.meta.get("config")
    if not isinstance(text, str) or not text.strip():
        return None, ""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "config_in_checkpoint.py"
        path.write_text(text, encoding="utf-8")
        try:
            return load_settings(path), "with the config inside"
        except SdposeError as error:
            if published_name(checkpoint.state_dict) is not None:
                return None, ""
            raise SdposeError(
                f"the config inside {checkpoint.path} is not one of ours ({error}); name one with --config"
            ) from error


def _published(checkpoint: Checkpoint, *, fuse: bool) -> TrainedModel:
    name = published_name(checkpoint.state_dict)
    if name is None:
        raise SdposeError(
            f"{checkpoint.path} has no config inside and its weights are none of {', '.join(VARIANTS)}; name the "
            "config that it was trained with: --config CONFIG"
        )
    head = VARIANTS[name].head
    model = build(VARIANTS[name])
    load_model_weights(model, checkpoint.state_dict, source=str(checkpoint.path))
    height, width = head.heatmap_size_hw
    return TrainedModel(
        model=_ready(model, fuse=fuse),
        normalize=ImageNormalizer(_IMAGENET_MEAN, _IMAGENET_STD),
        skeleton=COCO17,
        image_size_wh=(4 * width, 4 * height),
        heatmap_size_wh=(width, height),
        name=name,
        source=f"{checkpoint.path}, told to be {name} by its shapes",
    )


def _ready(model: SDPose, *, fuse: bool) -> nn.Module:
    model.eval()
    return fuse_batch_norm(model) if fuse else model
