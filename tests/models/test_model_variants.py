"""Every number of a model can be chosen, and what cannot work is refused."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from sdpose.errors import SdposeError
from sdpose.models import VARIANTS, HeadSpec, ModelSpec, SDPoseLoss, StemSpec, build, create_model, total_loss

DEMO = ModelSpec(
    StemSpec(planes=16, num_blocks=2),
    HeadSpec(feature_size_hw=(32, 24), heatmap_size_hw=(32, 24), dim=64, depth=2, heads=4, cycle_num=2),
)


@pytest.mark.parametrize(
    ("spec", "num_patches", "hidden"),
    [
        # The heatmap layers go through h * w / 8 = 96 values when the token is at most half as wide.
        (DEMO, 64, None),
        (
            ModelSpec(
                DEMO.backbone, HeadSpec(feature_size_hw=(32, 24), heatmap_size_hw=(32, 24), dim=48, heads=4)
            ),
            64,
            96,
        ),
        (ModelSpec(DEMO.backbone, HeadSpec(dim=128, depth=1, patch_size_hw=(8, 6))), 64, 384),
        (ModelSpec(DEMO.backbone, HeadSpec(dim=192, depth=1, patch_size_hw=(8, 6))), 64, 384),
        (ModelSpec(DEMO.backbone, HeadSpec(dim=200, depth=1, patch_size_hw=(8, 6))), 64, None),
    ],
)
def test_narrow_and_wide_models_train(spec: ModelSpec, num_patches: int, hidden: int | None) -> None:
    model = build(spec)
    rows, columns = spec.head.feature_size_hw
    cycles = model.forward_cycles(torch.randn(2, 3, 4 * rows, 4 * columns))
    assert [len(cycles), *cycles[0].heatmaps.shape] == [
        spec.head.cycle_num,
        2,
        17,
        *spec.head.heatmap_size_hw,
    ]
    assert cycles[0].visual_tokens.shape == (2, num_patches, spec.head.dim)
    linears = [layer.out_features for layer in model.head.mlp_head if isinstance(layer, nn.Linear)]
    num_cells = spec.head.heatmap_size_hw[0] * spec.head.heatmap_size_hw[1]
    assert linears == ([hidden, num_cells] if hidden else [num_cells])
    total_loss(SDPoseLoss()(cycles, torch.zeros_like(cycles[0].heatmaps), torch.ones(2, 17, 1))).backward()


@pytest.mark.parametrize("name", VARIANTS)
def test_crowdpose_has_fourteen_keypoints(name: str) -> None:
    model = create_model(name, num_keypoints=14).eval()
    with torch.inference_mode():
        assert model(torch.zeros(1, 3, 256, 192)).shape == (1, 14, 64, 48)


def test_larger_images() -> None:
    model = create_model("sdpose_t", feature_size_hw=(96, 72), heatmap_size_hw=(96, 72), depth=1).eval()
    with torch.inference_mode():
        assert model(torch.zeros(1, 3, 384, 288)).shape == (1, 17, 96, 72)


@pytest.mark.parametrize("name", ["sdpose_t", "sdpose_b"])
def test_norm_eval_keeps_batch_statistics_out(name: str) -> None:
    model = create_model(name, norm_eval=True, depth=1)
    norm = model.get_submodule("backbone.layer1.0.bn1")
    assert model.train().training
    assert not norm.training
    model.forward_cycles(torch.randn(1, 3, 256, 192), num_cycles=1)[0].heatmaps.mean().backward()
    assert norm.num_batches_tracked.item() == 0
    assert norm.weight.grad is not None


@pytest.mark.parametrize(
    ("name", "overrides", "message"),
    [
        ("sdpose_s", {}, r"unknown model 'sdpose_s'; known are sdpose_t, .*Did you mean 'sdpose_"),
        ("resnet", {}, "unknown model 'resnet'"),
        ("sdpose_t", {"cycles": 2}, "no setting 'cycles'.*Did you mean 'cycle_num'"),
        ("sdpose_b", {"planes": 32}, "no setting 'planes'"),
        (
            "sdpose_t",
            {"patch_size_hw": (5, 3)},
            r"patch_size_hw \(5, 3\) does not divide feature_size_hw \(64, 48\)",
        ),
        ("sdpose_t", {"heads": 7}, r"dim is 192; it must be a multiple of heads \(7\)"),
        ("sdpose_t", {"dim": 30, "heads": 2}, "dim is 30; it must be a multiple of .* 4"),
        ("sdpose_t", {"cycle_num": 0}, "cycle_num is 0"),
        (
            "sdpose_b",
            {"feature_size_hw": (62, 48), "patch_size_hw": (2, 2)},
            r"HRNet.*\(62, 48\).*multiples of 4",
        ),
    ],
)
def test_what_cannot_work_is_refused(name: str, overrides: dict[str, object], message: str) -> None:
    with pytest.raises(SdposeError, match=message):
        create_model(name, **overrides)
