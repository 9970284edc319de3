"""Weights from a file into a model, with errors that say which model they belong to."""

from __future__ import annotations

import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from ..errors import SdposeError

BACKBONE_PREFIXES = ("module.backbone.", "module.", "backbone.")


def load_model_weights(model: nn.Module, state_dict: Mapping[str, Any], *, source: str) -> None:
    """Copies weights that fit exactly; a leading "module." is stripped from the keys.

    Raises SdposeError that names the first differences and the published model the weights look like; the model is
    untouched then. `source` is the file or place the weights come from, for that message.
    """
    found = strip_prefixes(state_dict, ("module.",))
    wanted = model.state_dict()
    differences = [
        *(f"{key} is missing" for key in wanted if key not in found),
        *(
            f"{key} is {shape_of(found[key])} instead of {shape_of(value)}"
            for key, value in wanted.items()
            if key in found and found[key].shape != value.shape
        ),
        *(f"{key} is not in the model" for key in found if key not in wanted),
    ]
    if differences:
        raise SdposeError(
            f"{source}: weights do not fit this model ({len(differences)} differences): "
            f"{'; '.join(differences[:3])}. They look like {describe(found)}, the model is {describe(wanted)}; "
            "use the config or model name that belongs to the file"
        )
    model.load_state_dict(found)


def load_pretrained_backbone(backbone: nn.Module, state_dict: Mapping[str, Any]) -> list[str]:
    """Copies what fits of an ImageNet-style file into a backbone; the rest stays as it is (spec 2.9).

    A leading "module.backbone.", "module." or "backbone." is stripped. Returns lines that tell what was loaded and what
    was not. Raises SdposeError when nothing fits.
    """
    found = strip_prefixes(state_dict, BACKBONE_PREFIXES)
    wanted = backbone.state_dict()
    fitting = {key: found[key] for key in wanted if key in found and found[key].shape == wanted[key].shape}
    if not fitting:
        raise SdposeError(
            f"pretrained backbone: none of its {len(found)} tensors fits; expected keys such as {next(iter(wanted))}, "
            f"got {next(iter(found), 'none')}; give a file of the same kind of backbone"
        )
    backbone.load_state_dict(fitting, strict=False)
    lines = [f"pretrained backbone: {len(fitting)} of {len(wanted)} tensors loaded"]
    lines += [
        f"pretrained backbone: {key} not loaded, the file has {shape_of(found[key])}, the model {shape_of(value)}"
        for key, value in wanted.items()
        if key in found and key not in fitting
    ]
    lines += [f"pretrained backbone: {key} is not in the file" for key in wanted if key not in found]
    unused = [key for key in found if key not in wanted]
    if unused:
        lines.append(
            f"pretrained backbone: {len(unused)} tensors of the file are not used, first {unused[0]}"
        )
    return lines


def read_weights(path: Path) -> dict[str, Tensor]:
    """The weights in a file: a plain state dict, or one under "state_dict". Nothing in the file is executed."""
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise SdposeError(f"pretrained weights not found: {path}; give an existing file or none") from None
    except (OSError, RuntimeError, EOFError, pickle.UnpicklingError) as error:
        raise SdposeError(
            f"{path}: not a readable weights file ({error}); download or save it again"
        ) from error
    if isinstance(content, Mapping) and isinstance(content.get("state_dict"), Mapping):
        content = content["state_dict"]
    if not isinstance(content, Mapping) or not all(isinstance(value, Tensor) for value in content.values()):
        raise SdposeError(f"{path}: expected a mapping from names to tensors, got {type(content).__name__}")
    return dict(content)


def strip_prefixes(state_dict: Mapping[str, Any], prefixes: tuple[str, ...]) -> dict[str, Any]:
    """The same entries with the first matching prefix removed from each key."""

    def strip(key: str) -> str:
        prefix = next((item for item in prefixes if key.startswith(item)), "")
        return key.removeprefix(prefix)

    return {strip(key): value for key, value in state_dict.items()}


def describe(state_dict: Mapping[str, Any]) -> str:
    """Which model some weights belong to, read from their names and shapes: "sdpose_s_v2", or the facts that are none of ours."""
    head = "keypoint_head.tokenpose."
    if f"{head}keypoint_token" not in state_dict:
        return "no SDPose"
    layers = {
        key.removeprefix(f"{head}transformer_layer1.layers.").split(".")[0]
        for key in state_dict
        if ".layers." in key
    }
    _, num_keypoints, dim = shape_of(state_dict[f"{head}keypoint_token"])
    facts = Facts(
        backbone="HRNet" if any(key.startswith("backbone.stage2") for key in state_dict) else "StemNet",
        depth=len(layers),
        num_patches=shape_of(state_dict[f"{head}pos_embedding"])[1]
        if f"{head}pos_embedding" in state_dict
        else 0,
        dim=dim,
    )
    name = PUBLISHED.get(facts, "an SDPose of its own kind")
    return (
        f"{name} ({facts.backbone}, {facts.depth} layers, {facts.num_patches} patches, width {facts.dim}, "
        f"{num_keypoints} keypoints)"
    )


class Facts(NamedTuple):
    """What tells the published models apart."""

    backbone: str
    depth: int
    num_patches: int
    dim: int


PUBLISHED = {
    Facts("StemNet", 6, 256, 192): "sdpose_t",
    Facts("StemNet", 12, 256, 192): "sdpose_s_v1",
    Facts("StemNet", 12, 768, 192): "sdpose_s_v2",
    Facts("HRNet", 12, 256, 192): "sdpose_b",
}


def shape_of(value: Any) -> tuple[int, ...]:
    return tuple(value.shape)
