"""The evaluation pass: flip test in one batch, decoding, merging; held to the published model's poses."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import heatmap_reference as reference
import numpy as np
import pytest
import torch
from parity_recipe import recipe
from torch import Tensor

from sdpose.data.batch import PoseBatch
from sdpose.data.persons import PersonTable
from sdpose.evaluation.inference import PosePredictions, predict_batches
from sdpose.heatmaps import flip_heatmaps
from sdpose.models import create_model
from sdpose.skeleton import COCO17


def batch(images: Tensor, indices: list[int], problems: list[str | None] | None = None) -> PoseBatch:
    num = len(indices)
    index = torch.tensor(indices, dtype=torch.float32)[:, None]
    return PoseBatch(
        images=images,
        joints=torch.zeros(num, 17, 2),
        visible=torch.ones(num, 17),
        centers=torch.tensor([[100.0, 120.0]]) + index * torch.tensor([[1.0, -1.0]]),
        scales=torch.tensor([[0.9, 1.2]]) * (1 + index),
        indices=torch.tensor(indices),
        problems=problems or [None] * num,
    )


def table(num: int) -> PersonTable:
    """`num` boxes, two an image."""
    return PersonTable(
        image_index=np.arange(num, dtype=np.int32) // 2,
        boxes_xywh=np.zeros((num, 4)),
        joints=np.zeros((num, 17, 2), np.float32),
        visible=np.zeros((num, 17), np.float32),
        box_scores=np.full(num, 0.5, np.float32),
        bbox_ids=np.arange(num, dtype=np.int64) % 2,
    )


IMAGE_IDS = np.array([139, 285, 632, 724, 776], np.int64)


@dataclass
class FakeModel:
    """Heatmaps that depend on the image: its red channel, shrunk, times a number a joint."""

    num_calls: int = 0

    def __call__(self, images: Tensor) -> Tensor:
        assert images.dtype == torch.uint8
        assert images.shape[1:] == (64, 48, 3)
        self.num_calls += 1
        return images[:, None, :, :, 0].double() / 255 * torch.linspace(0.5, 1, 17)[:, None, None]


def pictures(num: int, seed: int = 0) -> Tensor:
    """(num, 64, 48, 3) uint8, a blob each."""
    maps = np.stack([recipe.heatmaps(seed + i)[0][0] for i in range(num)])
    images = (maps.clip(0, 1) * 255).astype(np.uint8)
    return torch.from_numpy(np.repeat(images[..., None], 3, axis=3))


def predict(batches: list[PoseBatch], *, num: int = 8, **options: object) -> PosePredictions:
    arguments: dict = {
        "flip_index": COCO17.flip_index,
        "image_ids": IMAGE_IDS,
        "num_keypoints": 17,
        **options,
    }
    forward = arguments.pop("forward", None) or FakeModel()
    return predict_batches(forward, batches, table(num), **arguments)


@pytest.mark.parametrize("variant", ["sdpose_t", "sdpose_s_v1"])
def test_published_poses(parity: Path, variant: str) -> None:
    expected = np.load(parity / f"model_{variant}.npz")
    model = create_model(variant).eval()
    state = model.state_dict()
    for key, value in state.items():
        if not key.endswith("pos_embedding"):
            state[key] = torch.from_numpy(recipe.weight(key, tuple(value.shape)))
    model.load_state_dict(state)
    images = torch.from_numpy(recipe.model_input())  # (2, 3, 256, 192)
    seen: list[Tensor] = []

    def forward(crops: Tensor) -> Tensor:
        seen.append(model(crops.permute(0, 3, 1, 2)))
        return seen[-1]

    found = predict([batch(images.permute(0, 2, 3, 1), [0, 1])], forward=forward, num=2)
    plain, turned = seen[0].chunk(2)
    unflipped = flip_heatmaps(turned, COCO17.flip_index, shift=True)
    np.testing.assert_allclose(plain, expected["eval_heatmap_cycle1"], atol=1e-4)
    np.testing.assert_allclose(unflipped[:, :, ::2, ::2], expected["flip_branch_sub"], atol=1e-4)
    np.testing.assert_allclose((plain + unflipped) / 2, expected["flip_avg_heatmap"], atol=1e-4)

    np.testing.assert_allclose(found.keypoints, expected["decoded_preds"], atol=1e-3)
    boxes = np.column_stack([found.centers, found.scales, found.areas, found.box_scores])
    np.testing.assert_allclose(boxes, expected["decoded_boxes"], rtol=1e-6)


def test_stored_heatmaps_decode_to_the_stored_poses(parity: Path) -> None:
    for variant in ("sdpose_t", "sdpose_s_v1"):
        expected = np.load(parity / f"model_{variant}.npz")
        heatmaps = torch.from_numpy(expected["flip_avg_heatmap"])
        found = predict(
            [batch(torch.zeros(2, 4, 4, 3, dtype=torch.uint8), [0, 1])],
            forward=lambda images, heatmaps=heatmaps: heatmaps,
            flip_index=None,
        )
        np.testing.assert_allclose(found.keypoints, expected["decoded_preds"], atol=2e-4)


def test_rows_are_the_persons_of_the_indices() -> None:
    found = predict([batch(pictures(3), [4, 0, 3]), batch(pictures(2, 7), [1, 2])])
    assert found.image_ids.tolist() == [632, 139, 285, 139, 285]
    assert found.bbox_ids.tolist() == [0, 0, 1, 1, 0]
    assert found.box_scores.tolist() == [0.5] * 5
    assert found.centers.tolist()[0] == [104, 116]
    np.testing.assert_allclose(found.areas[0], 180 * 5 * 240 * 5, rtol=1e-6)
    assert found.keypoints.dtype == np.float32


@pytest.mark.parametrize("flip", [True, False])
def test_equals_the_plain_reference(flip: bool) -> None:
    crops = batch(pictures(6), [0, 1, 2, 3, 4, 5])
    model = FakeModel()
    maps = model(crops.images).float()
    if flip:
        maps = (maps + flip_heatmaps(model(crops.images.flip(2)).float(), COCO17.flip_index, shift=True)) / 2
    cells, scores = reference.decode(maps.numpy(), "unbiased")
    found = predict([crops], flip_index=COCO17.flip_index if flip else None)
    size = np.array([48, 64])
    scales, centers = crops.scales.numpy()[:, None], crops.centers.numpy()[:, None]
    np.testing.assert_allclose(
        found.keypoints[..., :2], cells * (scales * 200) / size + centers - scales * 100, atol=5e-3
    )
    np.testing.assert_allclose(found.keypoints[..., 2], scores, rtol=1e-6)


def test_the_flip_test_is_one_forward_pass_a_batch() -> None:
    model = FakeModel()
    predict([batch(pictures(3), [0, 1, 2])], forward=model)
    assert model.num_calls == 1


def test_batches_of_any_size_give_the_same() -> None:
    images = pictures(8)
    whole = predict([batch(images, list(range(8)))])
    parts = predict([batch(images[i : i + 3], list(range(8))[i : i + 3]) for i in range(0, 8, 3)])
    np.testing.assert_array_equal(whole.keypoints, parts.keypoints)


def test_samples_with_a_problem_are_left_out_and_reported_once() -> None:
    bad = "000000000139.jpg is truncated"
    crops = [batch(pictures(3), [0, 1, 2], [bad, None, None]), batch(pictures(2), [3, 4], [None, bad])]
    found = predict(crops)
    assert found.problems == (bad,)
    assert found.image_ids.tolist() == [139, 285, 285]
    assert found.bbox_ids.tolist() == [1, 0, 1]
    np.testing.assert_array_equal(
        found.keypoints, predict([replace(c, problems=[None] * len(c)) for c in crops]).keypoints[1:4]
    )


def test_a_process_without_persons_merges_with_the_others() -> None:
    empty, full = predict([]), predict([batch(pictures(3), [0, 1, 2])])
    assert len(empty) == 0
    assert empty.keypoints.shape == (0, 17, 3)
    merged = PosePredictions.concatenate([empty, full])
    np.testing.assert_array_equal(merged.keypoints, full.keypoints)
    assert PosePredictions.concatenate([empty]).keypoints.shape == (0, 17, 3)


def test_progress_counts_samples() -> None:
    seen: list[int] = []
    predict([batch(pictures(3), [0, 1, 2]), batch(pictures(1), [3])], progress=seen.append)
    assert seen == [3, 1]


def test_no_gradients_are_kept() -> None:
    weight = torch.ones(1, requires_grad=True)

    def forward(images: Tensor) -> Tensor:
        heatmaps = FakeModel()(images) * weight
        assert not heatmaps.requires_grad
        return heatmaps

    predict([batch(pictures(2), [0, 1])], forward=forward)
