"""Weights from a file into a model, with errors that say which model they belong to."""

from __future__ import annotations

import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from sdpose.errors import SdposeError, first_line

HEAD = "keypoint_head.tokenpose."
BACKBONE_PREFIXES = ("module.backbone.", "module.", "backbone.")


class Facts(NamedTuple):
    """What tells the published models apart."""

    backbone: str
    num_layers: int
    num_patches: int


PUBLISHED = {
    Facts("StemNet", 6, 256): "sdpose_t",
    Facts("StemNet", 12, 256): "sdpose_s_v1",
    Facts("StemNet", 12, 768): "sdpose_s_v2",
    Facts("HRNet", 12, 256): "sdpose_b",
}


def load_model_weights(model: nn.Module, state_dict: Mapping[str, Any], *, source: str) -> None:
    """Copies weights that fit exactly; a leading "module." is stripped from the keys.

    `source` is the file or place they come from. Raises SdposeError, with the model untouched, that names the first
    differences and the published model the weights look like.
    """
    found = strip_prefix(state_dict, ("module.",))
    wanted = model.state_dict()
    if differences := list_differences(found, wanted):
        shown = "; ".join(differences[:3]) + ("; ..." if len(differences) > 3 else "")
        raise SdposeError(
            f"{source}: the weights look like {describe(found)}, expected {describe(wanted)} "
            f"({len(differences)} differences: {shown}); use the config or model name that belongs to the file"
        )
    model.load_state_dict(found)


def load_pretrained_backbone(backbone: nn.Module, state_dict: Mapping[str, Any]) -> list[str]:
    """Copies what fits of a pretrained file into a backbone and leaves the rest of it as it is (spec 2.9).

    A leading "module.backbone.", "module." or "backbone." is stripped. Returns lines for the log: how much was loaded,
    then every tensor that was not. Raises SdposeError when nothing fits.
    """
    found = strip_prefix(state_dict, BACKBONE_PREFIXES)
    wanted = backbone.state_dict()
    fitting = {
        key: found[key] for key in wanted if key in found and shape_of(found[key]) == shape_of(wanted[key])
    }
    if not fitting:
        raise SdposeError(
            f"pretrained backbone: none of the file's {len(found)} tensors fits (its first is "
            f"'{next(iter(found), 'none')}', expected are names like '{next(iter(wanted))}'); "
            "use a file of the same kind of backbone, or none"
        )
    backbone.load_state_dict(fitting, strict=False)
    unused = [key for key in found if key not in wanted]
    lines = [f"pretrained backbone: loaded {len(fitting)} of {len(wanted)} tensors"]
    for key, value in wanted.items():
        if key not in found:
            lines.append(f"pretrained backbone: {key} is not in the file and keeps PyTorch's initial values")
        elif key not in fitting:
            lines.append(
                f"pretrained backbone: {key} is {shape_of(found[key])} in the file and {shape_of(value)} in the "
                "model; it keeps PyTorch's initial values"
            )
    if unused:
        lines.append(
            f"pretrained backbone: {len(unused)} tensors of the file are not used, first {unused[0]}"
        )
    return lines


def read_weights(path: Path) -> dict[str, Tensor]:
    """Tensors by name from a file that holds them directly or under "state_dict". Runs no code from the file.

    Raises SdposeError when the file is missing, damaged or something else.
    """
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise SdposeError(f"{path}: no such file; expected pretrained weights there") from None
    except (OSError, RuntimeError, EOFError, pickle.UnpicklingError) as error:
        raise SdposeError(
            f"{path}: cannot be read as PyTorch weights ({first_line(error)}); fetch the file again"
        ) from error
    if isinstance(content, Mapping) and isinstance(content.get("state_dict"), Mapping):
        content = content["state_dict"]
    if not isinstance(content, Mapping) or not all(isinstance(value, Tensor) for value in content.values()):
        raise SdposeError(
            f"{path}: holds a {type(content).__name__}, expected tensors by name, directly or under 'state_dict'"
        )
    return dict(content)


def list_differences(found: Mapping[str, Any], wanted: Mapping[str, Any]) -> list[str]:
    """Why `found` cannot take the place of `wanted`: missing keys, shapes, keys too many; empty if it can."""
    shared = [key for key in wanted if key in found]
    return [
        *(f"{key} is missing" for key in wanted if key not in found),
        *(
            f"{key} is {shape_of(found[key])} instead of {shape_of(wanted[key])}"
            for key in shared
            if shape_of(found[key]) != shape_of(wanted[key])
        ),
        *(f"{key} is not in the model" for key in found if key not in wanted),
    ]


def describe(state_dict: Mapping[str, Any]) -> str:
    """Which model some weights belong to, e.g. "sdpose_t (StemNet, 6 layers, 256 patches, width 192, 17 keypoints)"."""
    facts = _facts(state_dict)
    if facts is None:
        return "no SDPose"
    _, num_keypoints, dim = shape_of(state_dict[f"{HEAD}keypoint_token"])
    name = PUBLISHED.get(facts, "an SDPose of its own kind") if dim == 192 else "an SDPose of its own kind"
    return (
        f"{name} ({facts.backbone}, {facts.num_layers} layers, {facts.num_patches} patches, width {dim}, "
        f"{num_keypoints} keypoints)"
    )


def published_name(state_dict: Mapping[str, Any]) -> str | None:
    """The published model, with COCO's 17 joints, that some weights look like; None when they look like none.

    `list_differences` says whether they truly fit it.
    """
    found = strip_prefix(state_dict, ("module.",))
    facts = _facts(found)
    if facts is None or shape_of(found[f"{HEAD}keypoint_token"]) != (1, 17, 192):
        return None
    return PUBLISHED.get(facts)


def _facts(state_dict: Mapping[str, Any]) -> Facts | None:
    """None when it is no SDPose."""
    if f"{HEAD}keypoint_token" not in state_dict or f"{HEAD}pos_embedding" not in state_dict:
        return None
    prefix = f"{HEAD}transformer_layer1.layers."
    layers = {key.removeprefix(prefix).partition(".")[0] for key in state_dict if key.startswith(prefix)}
    return Facts(
        backbone="HRNet" if any(key.startswith("backbone.stage2.") for key in state_dict) else "StemNet",
        num_layers=len(layers),
        num_patches=shape_of(state_dict[f"{HEAD}pos_embedding"])[1],
    )


def strip_prefix(state_dict: Mapping[str, Any], prefixes: tuple[str, ...]) -> dict[str, Any]:
    """The same entries, the first of `prefixes` that a key starts with taken away."""

    def strip(key: str) -> str:
        return key.removeprefix(next((prefix for prefix in prefixes if key.startswith(prefix)), ""))

    return {strip(key): value for key, value in state_dict.items()}


def shape_of(value: Any) -> tuple[int, ...]:
    """Shape of a tensor; what is no tensor has the shape (-1,), which fits nothing."""
    return tuple(value.shape) if isinstance(value, Tensor) else (-1,)
