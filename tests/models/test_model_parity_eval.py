"""Evaluation equals the published code's: features, tokens and heatmaps of every cycle, flip test, decoded poses."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from reference_model import WITH_NUMBERS, reference_images, reference_model, reference_numbers
from torch import Tensor

from sdpose.geometry import heatmap_to_image
from sdpose.heatmaps import decode_heatmaps, flip_heatmaps
from sdpose.models import SDPose, fuse_batch_norm
from sdpose.skeleton import COCO17

# The limit of the fixtures' README.
HEATMAP_LIMIT = 1e-4


@pytest.fixture(scope="module", params=WITH_NUMBERS)
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def model(name: str) -> SDPose:
    return reference_model(name).eval()


@pytest.fixture(scope="module")
def heatmaps(model: SDPose) -> Tensor:
    with torch.inference_mode():
        return model(reference_images())


def assert_near(ours: Tensor, published: np.ndarray, limit: float = HEATMAP_LIMIT) -> None:
    assert ours.shape == published.shape
    np.testing.assert_allclose(ours.numpy(), published, rtol=0, atol=limit)


def test_sine_table_is_bit_identical(name: str, model: SDPose) -> None:
    table = model.head.pos_embedding.detach()[0, ::7].numpy()
    np.testing.assert_array_equal(table, reference_numbers(name)["pos_embedding_sub"])


def test_features(name: str, model: SDPose) -> None:
    published = reference_numbers(name)
    with torch.inference_mode():
        features = model.backbone(reference_images())
    assert list(features.shape) == published["feat_shape"].tolist()
    assert_near(features[:, ::16, ::8, ::8], published["feat_sub"], 1e-5)
    np.testing.assert_allclose([features.mean(), features.std()], published["feat_mean_std"], rtol=1e-5)


def test_every_cycle(name: str, model: SDPose) -> None:
    published = reference_numbers(name)
    with torch.inference_mode():
        cycles = model.forward_cycles(reference_images())
    assert len(cycles) == model.cycle_num
    for number, cycle in enumerate(cycles, start=1):
        assert_near(cycle.heatmaps[:, :, ::4, ::4], published[f"eval_heatmap_sub_cycle{number}"])
        assert_near(cycle.keypoint_tokens[:, :, ::4], published[f"eval_kpt_token_cycle{number}"])
        assert_near(cycle.visual_tokens[:, ::16, ::8], published[f"eval_vis_token_sub_cycle{number}"])


def test_heatmaps_of_cycle_one(name: str, heatmaps: Tensor) -> None:
    assert_near(heatmaps, reference_numbers(name)["eval_heatmap_cycle1"])


def test_channels_last_images_give_the_same(name: str, model: SDPose) -> None:
    with torch.inference_mode():
        heatmaps = model(reference_images().contiguous(memory_format=torch.channels_last))
    assert_near(heatmaps, reference_numbers(name)["eval_heatmap_cycle1"])


def test_fused_copy_gives_the_same(model: SDPose, heatmaps: Tensor) -> None:
    fused = fuse_batch_norm(model)
    with torch.inference_mode():
        torch.testing.assert_close(fused(reference_images()), heatmaps, rtol=0, atol=1e-5)


def test_flip_test_and_decoded_poses(name: str, model: SDPose, heatmaps: Tensor) -> None:
    published = reference_numbers(name)
    with torch.inference_mode():
        mirrored = model(reference_images().flip(3))
    flipped = flip_heatmaps(mirrored, COCO17.flip_index, shift=True)
    assert_near(flipped[:, :, ::2, ::2], published["flip_branch_sub"])
    average = (heatmaps + flipped) / 2
    assert_near(average, published["flip_avg_heatmap"])

    coords, scores = decode_heatmaps(average)
    boxes = published["decoded_boxes"]
    positions = heatmap_to_image(coords.numpy(), boxes[:, 0:2], boxes[:, 2:4], (48, 64))
    np.testing.assert_allclose(positions, published["decoded_preds"][..., :2], rtol=0, atol=0.05)
    np.testing.assert_allclose(scores.numpy(), published["decoded_preds"][..., 2], rtol=0, atol=HEATMAP_LIMIT)
