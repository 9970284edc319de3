"""The ceiling of AP that boxes, targets and decoding leave to a model."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from sdpose.data.box_match import match_boxes
from sdpose.data.coco import CocoKeypoints, load_coco
from sdpose.data.persons import PersonTable
from sdpose.data.synthetic import make_dataset
from sdpose.evaluation.round_trip import Chain, perfect_heatmaps, perfect_predictions, score_perfect
from sdpose.skeleton import COCO17

CHAIN = Chain(image_size_wh=(96, 128), heatmap_size_wh=(24, 32), sigma=2.0, unbiased=True)


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> CocoKeypoints:
    folder = tmp_path_factory.mktemp("round_trip") / "set"
    make_dataset(
        folder, num_train_images=1, num_val_images=20, image_size_wh=(160, 120), seed=5, num_workers=0
    )
    return load_coco(folder / "annotations/person_keypoints_val2017.json", folder / "val2017", COCO17)


def ceiling(table: CocoKeypoints, chain: Chain = CHAIN, boxes: PersonTable | None = None) -> float:
    truth = table.ground_truth_persons()
    owner = None if boxes is None else match_boxes(boxes, truth).owner
    found = perfect_predictions(boxes or truth, owner, truth, table.image_ids, COCO17, chain)
    return score_perfect(table.ann_file, found, COCO17.sigmas, chain)["AP"]


@pytest.mark.parametrize("flip_test", [True, False])
@pytest.mark.parametrize("post_process", ["unbiased", "default"])
def test_a_perfect_model_scores_one(table: CocoKeypoints, flip_test: bool, post_process: str) -> None:
    chain = replace(CHAIN, flip_test=flip_test, post_process=post_process)  # type: ignore[arg-type]
    assert ceiling(table, chain) > 0.97


def test_joints_come_back_within_a_fraction_of_a_cell(table: CocoKeypoints) -> None:
    truth = table.ground_truth_persons()
    chain = replace(CHAIN, flip_test=False)
    found = perfect_predictions(truth, None, truth, table.image_ids, COCO17, chain)
    cell = found.scales[:, None, 0] * 200 / 24
    error = np.linalg.norm(found.keypoints[..., :2] - truth.joints, axis=2) / cell
    assert np.median(error[truth.visible > 0]) < 0.05


def test_shifted_boxes_lower_the_ceiling(table: CocoKeypoints) -> None:
    truth = table.ground_truth_persons()
    shifted = replace(
        truth, boxes_xywh=truth.boxes_xywh + truth.boxes_xywh[:, [2, 3, 2, 3]] * [0.6, 0.6, 0, 0]
    )
    assert ceiling(table, boxes=truth) > 0.97
    assert ceiling(table, boxes=shifted) < 0.5


def test_boxes_that_show_nobody_are_left_out(table: CocoKeypoints) -> None:
    truth = table.ground_truth_persons()
    away = replace(truth, boxes_xywh=truth.boxes_xywh + np.array([1000.0, 0, 0, 0]))
    owner = match_boxes(away, truth).owner
    assert len(perfect_predictions(away, owner, truth, table.image_ids, COCO17, CHAIN)) == 0
    assert ceiling(table, boxes=away) == 0


def test_mirror_pairs_that_overlap_show_in_the_flip_test() -> None:
    generator = torch.Generator().manual_seed(0)
    joints, visible = torch.rand(8, 17, 2, generator=generator) * 90, torch.ones(8, 17)
    overlapping = replace(COCO17, flip_pairs=((5, 6), (6, 7)))
    right = perfect_heatmaps(joints, visible, COCO17, CHAIN).amax((2, 3)).mean(0)
    wrong = perfect_heatmaps(joints, visible, overlapping, CHAIN).amax((2, 3)).mean(0)
    assert (right > 0.9).all()
    # Turned back, joint 5 lies on joint 7: two half peaks instead of one.
    assert float(wrong[5]) < 0.8
    assert (wrong[6:] > 0.9).all()


def test_real_photographs_reach_the_ceiling(shared: Path) -> None:
    path = shared / "data/coco_tiny/person_keypoints_val.json"
    chain = replace(CHAIN, image_size_wh=(192, 256), heatmap_size_wh=(48, 64))
    # Three persons in a hundred have a joint outside the crop that their box gives.
    assert ceiling(load_coco(path, path.parent / "images", COCO17), chain) == pytest.approx(0.973, abs=0.002)
