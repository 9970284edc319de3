"""Batch norm folded into convolutions: the same heatmaps, with the model itself left alone."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sdpose.models import SDPose, create_model, fuse_batch_norm
from sdpose.models.conv_norm import conv_norm, convolve


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


def test_few_images_on_one_thread_go_to_onednn_unless_something_waits_for_the_usual_operator(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if not torch.backends.mkldnn.is_available():
        pytest.skip("this torch has no oneDNN")
    taken: list[int] = []
    by_name = torch.mkldnn_convolution

    def spy(x: Tensor, *words: Any) -> Tensor:
        taken.append(len(x))
        return by_name(x, *words)

    monkeypatch.setattr(torch, "mkldnn_convolution", spy)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 1)
    torch.manual_seed(0)
    kernel, bias = torch.randn(7, 5, 3, 3), torch.randn(7)
    for num_images in (1, 15, 16):
        for memory_format in (torch.contiguous_format, torch.channels_last):
            x = torch.randn(num_images, 5, 9, 8).to(memory_format=memory_format)
            with torch.inference_mode():
                found = convolve(x, kernel, bias, (2, 2), (1, 1))
            torch.testing.assert_close(found, F.conv2d(x, kernel, bias, 2, 1), rtol=1e-5, atol=1e-5)
            assert found.stride() == F.conv2d(x, kernel, bias, 2, 1).stride()
    assert taken == [1, 1, 15, 15]
    taken.clear()
    x = torch.randn(1, 5, 9, 8)
    convolve(x, kernel.requires_grad_(), bias, (1, 1)).sum().backward()
    with torch.no_grad():
        with torch.autocast("cpu", dtype=torch.bfloat16):
            convolve(x, kernel, bias, (1, 1))
        with monkeypatch.context() as compiling:
            compiling.setattr(torch.compiler, "is_compiling", lambda: True)
            convolve(x, kernel, bias, (1, 1))
        monkeypatch.setattr(torch, "get_num_threads", lambda: 2)
        convolve(x, kernel, bias, (1, 1))
    assert taken == []
