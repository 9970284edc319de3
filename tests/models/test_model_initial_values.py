"""A new model starts like a published one: same kind of values in every tensor."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
import torch
from reference_model import WITH_NUMBERS
from torch import nn

from sdpose.models import HRNet3Stage, create_model


@pytest.mark.parametrize("name", WITH_NUMBERS)
def test_every_tensor_is_distributed_as_published(name: str, parity: Path) -> None:
    torch.manual_seed(0)
    published = json.loads((parity / f"init_stats_{name}.json").read_text())
    state_dict = create_model(name).state_dict()
    assert list(state_dict) == list(published)
    for key, value in state_dict.items():
        mean, std, largest = published[key]
        value, num = value.double(), value.numel()
        if key.endswith("pos_embedding"):
            tolerance = {"mean": 1e-6, "std": 1e-6, "largest": 1e-6}
        elif std == 0:
            tolerance = {"mean": 0.0, "std": 0.0, "largest": 0.0}
        else:
            # Both are samples of n values, so their statistics differ by sqrt(2) standard errors; six of those.
            root = math.sqrt(num)
            tolerance = {"mean": 8.5 * std / root, "std": 6 * std / root, "largest": 1.5 * std}
        assert value.mean().item() == pytest.approx(mean, abs=tolerance["mean"]), key
        assert value.std(correction=min(1, num - 1)).item() == pytest.approx(std, abs=tolerance["std"]), key
        assert value.abs().max().item() == pytest.approx(largest, abs=tolerance["largest"]), key


def test_hrnet_starts_with_tiny_convolutions_too() -> None:
    torch.manual_seed(0)
    for module in create_model("sdpose_b").backbone.modules():
        if isinstance(module, nn.Conv2d):
            assert module.weight.std().item() == pytest.approx(0.001, rel=0.15)


def test_apply_init_false_leaves_linear_layers_to_pytorch() -> None:
    head = create_model("sdpose_t", apply_init=False).head
    bound = 1 / math.sqrt(192)
    assert head.transformer_layer1.layers[0][0].fn.fn.to_qkv.weight.abs().max().item() == pytest.approx(
        bound, rel=1e-3
    )
    assert head.mlp_head[1].bias.abs().max().item() > 0
    assert head.keypoint_token.std().item() == pytest.approx(0.02, rel=0.1)


def test_backbones_alone_are_left_to_pytorch() -> None:
    assert HRNet3Stage().conv1.weight.std().item() > 0.01
