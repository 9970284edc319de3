"""What a cycle is: shared weights, positions between blocks, nothing detached, nothing overwritten."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn

from sdpose.errors import SdposeError
from sdpose.models import SDPose, create_model
from sdpose.models.transformer import Transformer, sine_positions

SMALL = {
    "planes": 4,
    "num_blocks": 1,
    "feature_size_hw": (16, 12),
    "heatmap_size_hw": (16, 12),
    "patch_size_hw": (4, 3),
    "dim": 16,
    "heads": 2,
    "depth": 3,
}


def small_model(**overrides: object) -> SDPose:
    torch.manual_seed(0)
    return create_model("sdpose_t", **{**SMALL, **overrides})


def small_images(num: int = 2) -> Tensor:
    return torch.randn(num, 3, 64, 48, generator=torch.Generator().manual_seed(1))


class AddOne(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x + 1


def test_positions_are_added_between_blocks_only() -> None:
    transformer = Transformer(dim=8, depth=3, heads=2, mlp_dim=16)
    transformer.layers = nn.ModuleList(AddOne() for _ in range(3))
    positions = torch.full((1, 5, 8), 100.0)
    positions[:, :2] = 0
    tokens = transformer(torch.zeros(2, 5, 8), positions)
    assert tokens[:, :2].eq(3).all()
    assert tokens[:, 2:].eq(3 + 2 * 100).all()


@pytest.mark.parametrize("depth", [1, 2, 4])
@pytest.mark.parametrize("training", [True, False])
def test_kept_tokens_are_not_overwritten_by_later_cycles(depth: int, training: bool) -> None:
    model = small_model(depth=depth).train(training)
    images = small_images()
    with torch.no_grad():
        longer = model.forward_cycles(images, num_cycles=4)
        for number in (1, 2, 3):
            shorter = model.forward_cycles(images, num_cycles=number)
            for kept, fresh in zip(longer, shorter, strict=False):
                for a, b in zip(kept, fresh, strict=True):
                    torch.testing.assert_close(a, b, rtol=0, atol=0)


@pytest.mark.parametrize("cycle_num", [1, 2, 3])
def test_evaluation_and_plain_forward_run_one_cycle(cycle_num: int) -> None:
    model = small_model(cycle_num=cycle_num)
    passes: list[int] = []
    model.head.transformer_layer1.register_forward_hook(lambda *_: passes.append(1))
    for mode in (True, False):
        passes.clear()
        heatmaps = model.train(mode)(small_images())
        assert len(passes) == 1
        assert heatmaps.shape == (2, 17, 16, 12)
    assert len(model.forward_cycles(small_images())) == cycle_num


@pytest.mark.parametrize("depth", [1, 3])
@pytest.mark.parametrize("training", [True, False])
def test_plain_forward_is_cycle_one_up_to_rounding(depth: int, training: bool) -> None:
    model = small_model(depth=depth).train(training)
    with torch.no_grad():
        heatmaps, cycle = model(small_images()), model.forward_cycles(small_images())[0].heatmaps
    torch.testing.assert_close(heatmaps, cycle, rtol=1e-5, atol=1e-6)


def test_of_the_last_block_plain_forward_computes_the_keypoint_tokens_alone() -> None:
    model = small_model().eval()
    num_tokens: list[int] = []
    for block in model.head.transformer_layer1.layers:
        block[1].register_forward_hook(lambda _, __, tokens: num_tokens.append(tokens.shape[1]))
    with torch.no_grad():
        model(small_images())
        assert num_tokens == [33, 33, 17]
        num_tokens.clear()
        model.forward_cycles(small_images(), num_cycles=1)
        assert num_tokens == [33, 33, 33]


def test_a_batch_equals_its_images_one_by_one() -> None:
    model, images = small_model().eval(), small_images(5)
    with torch.no_grad():
        single = torch.cat([model(image[None]) for image in images])
        torch.testing.assert_close(model(images), single, rtol=0, atol=1e-6)


def test_every_trainable_parameter_gets_a_gradient_and_the_table_none() -> None:
    model = small_model()
    sum(cycle.heatmaps.square().sum() for cycle in model.forward_cycles(small_images())).backward()
    without = [key for key, parameter in model.named_parameters() if parameter.grad is None]
    assert without == ["keypoint_head.tokenpose.pos_embedding"]


def test_patches_are_flattened_row_by_row_with_the_channel_fastest() -> None:
    model = small_model(planes=2)
    features = torch.randn(2, 8, 16, 12)
    patches = features.unfold(2, 4, 4).unfold(3, 3, 3)  # (B, C, 4, 4, row, column)
    flat = patches.permute(0, 2, 3, 4, 5, 1).reshape(2, 16, 4 * 3 * 8)
    expected = model.head.patch_to_embedding(flat)
    torch.testing.assert_close(model.head.embed_patches(features), expected, rtol=1e-5, atol=1e-6)


def test_no_attention_map_is_kept_for_the_backward_pass() -> None:
    model = small_model(patch_size_hw=(1, 1))
    num_tokens = 17 + 16 * 12
    kept: list[torch.Size] = []

    def keep(tensor: Tensor) -> Tensor:
        kept.append(tensor.shape)
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        model.forward_cycles(small_images())
    assert kept
    assert not [shape for shape in kept if shape[-2:] == (num_tokens, num_tokens)]


def test_sine_table_follows_its_formula() -> None:
    rows, columns, dim = 3, 5, 12
    table = sine_positions(rows, columns, dim)
    assert table.shape == (1, 15, 12)
    half = dim // 2
    for row in range(rows):
        for column in range(columns):
            for offset, angle in ((0, (row + 1) / (rows + 1e-6)), (half, (column + 1) / (columns + 1e-6))):
                for k in range(half):
                    value = 2 * math.pi * angle / 10000 ** (2 * (k // 2) / half)
                    expected = math.cos(value) if k % 2 else math.sin(value)
                    assert table[0, row * columns + column, offset + k].item() == pytest.approx(
                        expected, abs=1e-6
                    )


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (torch.zeros(1, 3, 128, 96), r"features of \(32, 24\) .* made for \(16, 12\).*another size"),
        (torch.zeros(1, 3, 48, 64), r"features of \(12, 16\)"),
    ],
)
def test_images_of_another_size_are_refused(images: Tensor, message: str) -> None:
    with pytest.raises(SdposeError, match=message):
        small_model()(images)
