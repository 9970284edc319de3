"""Rescoring, ordering, de-duplication and the results file."""

from __future__ import annotations

import io
import json
import time
from dataclasses import replace

import numpy as np
import pytest

from sdpose.errors import SdposeError
from sdpose.evaluation.inference import PosePredictions
from sdpose.evaluation.results import pose_scores, save_results, to_coco_results
from sdpose.skeleton import COCO17


def predictions(num: int, *, num_images: int = 3, seed: int = 0) -> PosePredictions:
    rng = np.random.RandomState(seed)
    scales = rng.uniform(0.5, 2, (num, 2)).astype(np.float32)
    return PosePredictions(
        keypoints=rng.uniform(0, 1, (num, 17, 3)).astype(np.float32) * np.float32([600, 400, 1]),
        centers=rng.uniform(0, 400, (num, 2)).astype(np.float32),
        scales=scales,
        areas=np.prod(scales * 200, axis=1),
        box_scores=rng.uniform(0, 1, num).astype(np.float32),
        image_ids=np.sort(rng.randint(0, num_images, num)).astype(np.int64) + 40,
        bbox_ids=np.arange(num, dtype=np.int64),
    )


def plain_results(poses: PosePredictions, vis_thr: float) -> list[dict]:
    """Without suppression, one person and one joint at a time."""
    out = []
    for i in range(len(poses)):
        total, count = 0.0, 0
        for score in poses.keypoints[i, :, 2]:
            if score > vis_thr:
                total, count = total + float(score), count + 1
        out.append(
            {
                "category_id": 1,
                "center": poses.centers[i].tolist(),
                "image_id": int(poses.image_ids[i]),
                "keypoints": poses.keypoints[i].reshape(-1).tolist(),
                "scale": poses.scales[i].tolist(),
                "score": (total / count if count else 0) * float(poses.box_scores[i]),
            }
        )
    return out


def test_no_predictions() -> None:
    assert to_coco_results(predictions(0), sigmas=COCO17.sigmas) == []


def test_without_suppression_every_box_once_in_order() -> None:
    poses = predictions(12)
    results = to_coco_results(poses, sigmas=COCO17.sigmas, nms=None)
    expected = plain_results(poses, 0.2)
    assert [list(result) for result in results] == [list(result) for result in expected]
    for result, wanted in zip(results, expected, strict=True):
        assert result.pop("score") == pytest.approx(wanted.pop("score"), rel=1e-12)
        assert result == wanted


def test_a_joint_score_of_exactly_the_threshold_does_not_count() -> None:
    poses = predictions(3)
    poses.keypoints[:, :, 2] = 0.0
    poses.keypoints[0, :2, 2] = 0.25, 0.75
    poses.keypoints[1, 0, 2] = 0.25
    np.testing.assert_array_equal(
        pose_scores(poses, 0.25), [np.float64(0.75) * poses.box_scores[0], 0.0, 0.0]
    )


def test_scores_that_are_not_numbers_do_not_count() -> None:
    poses = predictions(1)
    poses.keypoints[..., 2] = np.nan
    assert pose_scores(poses, 0.2).tolist() == [0.0]


def test_the_order_of_arrival_does_not_matter() -> None:
    poses = predictions(40, num_images=6)
    expected = to_coco_results(poses, sigmas=COCO17.sigmas, oks_thr=0.1)
    shuffled = np.random.RandomState(1).permutation(40)
    assert to_coco_results(poses.take(shuffled), sigmas=COCO17.sigmas, oks_thr=0.1) == expected


def test_shares_of_ranks_merge_to_the_whole_without_repeats() -> None:
    poses = predictions(11)
    shares = [poses.take(np.arange(rank, 12, 3) % 11) for rank in range(3)]  # padded: box 0 comes twice
    merged = PosePredictions.concatenate([*shares, poses.take(np.arange(0))])
    assert len(merged) == 11
    for name in ("keypoints", "image_ids", "bbox_ids", "areas"):
        np.testing.assert_array_equal(getattr(merged, name), getattr(poses, name))


def test_images_keep_the_order_of_the_boxes_when_ids_start_anew_in_each() -> None:
    poses = replace(
        predictions(5),
        image_ids=np.array([9, 9, 3, 3, 7]),
        bbox_ids=np.array([1, 0, 0, 1, 0]),
    ).sorted_once()
    assert poses.image_ids.tolist() == [9, 9, 3, 3, 7]
    assert poses.bbox_ids.tolist() == [0, 1, 0, 1, 0]


def test_problems_are_merged_and_named_once() -> None:
    parts = [replace(predictions(2), problems=("a",)), replace(predictions(2), problems=("b", "a"))]
    assert PosePredictions.concatenate(parts).problems == ("a", "b")


def test_double_detections_are_dropped_best_first() -> None:
    poses = predictions(4, num_images=1)
    poses.keypoints[:, :, 2] = 0.9
    poses.keypoints[2] = poses.keypoints[1]  # the same pose twice
    poses = replace(poses, box_scores=np.array([0.3, 0.5, 0.6, 0.4], np.float32))
    kept = to_coco_results(poses, sigmas=COCO17.sigmas)
    assert [round(result["score"] / 0.9, 3) for result in kept] == [0.6, 0.4, 0.3]
    soft = to_coco_results(poses, sigmas=COCO17.sigmas, nms="soft")
    # The double is decayed to 0.5 * exp(-1 / 0.9) and comes last, but its own score is written.
    assert [round(result["score"] / 0.9, 3) for result in soft] == [0.6, 0.4, 0.3, 0.5]


def test_an_unknown_suppression_is_refused() -> None:
    with pytest.raises(SdposeError, match="expected 'oks', 'soft' or None"):
        to_coco_results(predictions(1), sigmas=COCO17.sigmas, nms="hard")  # type: ignore[arg-type]


@pytest.mark.parametrize("num", [0, 1, 2, 2501])
def test_the_file_is_that_of_the_standard_encoder(num: int) -> None:
    results = to_coco_results(predictions(num), sigmas=COCO17.sigmas, nms=None)
    for result in results[:1]:
        result["keypoints"][2] = float("nan")
    file = io.BytesIO()
    save_results(file, results)
    assert file.getvalue().decode() == json.dumps(results, sort_keys=True, indent=4)


def test_a_detection_file_of_coco_takes_seconds() -> None:
    poses = predictions(22_000, num_images=5000)
    started_at = time.perf_counter()
    results = to_coco_results(poses, sigmas=COCO17.sigmas)
    save_results(io.BytesIO(), results)
    assert time.perf_counter() - started_at < 20
    assert len(results) == 22_000
