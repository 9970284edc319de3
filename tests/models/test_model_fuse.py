"""Batch norm folded into convolutions: the same heatmaps, with the model itself left alone."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from sdpose.models import SDPose, create_model, fuse_batch_norm
from sdpose.models.conv_norm import conv_norm


def trained_model(name: str) -> SDPose:
    """One whose norms do something: statistics and scales away from zero and one."""
    torch.manual_seed(0)
    model = create_model(name, depth=1)
    for module in model.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight)
        elif isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.3)
            module.running_var.uniform_(0.5, 2)
            nn.init.uniform_(module.weight, 0.5, 1.0)
            nn.init.normal_(module.bias, 0, 0.1)
    return model


@pytest.mark.parametrize("name", ["sdpose_t", "sdpose_b"])
def test_same_heatmaps_without_any_norm(name: str) -> None:
    model = trained_model(name)
    fused = fuse_batch_norm(model)
    assert not [module for module in fused.modules() if isinstance(module, nn.BatchNorm2d)]
    assert model.training
    assert [module for module in model.modules() if isinstance(module, nn.BatchNorm2d)]
    images = torch.randn(1, 3, 256, 192)
    with torch.inference_mode():
        expected = model.eval()(images)
        torch.testing.assert_close(fused(images), expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize(("size", "stride"), [(1, 1), (3, 1), (3, 2)])
def test_folding_on_the_fly_equals_convolution_then_norm(size: int, stride: int) -> None:
    torch.manual_seed(0)
    conv = nn.Conv2d(5, 7, size, stride=stride, padding=size // 2, bias=False)
    norm = nn.BatchNorm2d(7)
    norm.running_mean.normal_()
    norm.running_var.uniform_(0.5, 2)
    nn.init.normal_(norm.weight)
    nn.init.normal_(norm.bias)
    x = torch.randn(2, 5, 9, 8)
    torch.testing.assert_close(conv_norm(conv, norm.eval(), x), norm(conv(x)), rtol=1e-5, atol=1e-5)
    # In training the batch's own statistics count, and are remembered.
    norm.train()
    twin = nn.BatchNorm2d(7)
    twin.load_state_dict(norm.state_dict())
    torch.testing.assert_close(conv_norm(conv, norm, x), twin(conv(x)), rtol=0, atol=0)
    assert norm.num_batches_tracked.item() == 1
