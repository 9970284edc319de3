"""Every kind of error is recognised where it was planted, and nothing else."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from drawn_results import annotations, as_results, spread

from sdpose.evaluation.coco_ap import score_results
from sdpose.evaluation.pose_errors import (
    ERROR_KINDS,
    JOINT_KINDS,
    ErrorCounts,
    count_errors,
    pair_persons,
)
from sdpose.evaluation.scene import Scene
from sdpose.skeleton import COCO17

SIZE = 200.0
NOSE, LEFT_WRIST, RIGHT_WRIST = 0, 9, 10


def scene_of(truth: dict, results: list[dict]) -> Scene:
    scene = score_results(truth, results, COCO17.sigmas).scene
    assert scene is not None
    return scene


def errors_of(truth: dict, results: list[dict]) -> ErrorCounts:
    scene = scene_of(truth, results)
    return count_errors(scene, pair_persons(scene, COCO17.sigmas, COCO17.flip_index))


def moved(result: dict, joint: int, to: Any) -> dict:
    joints = np.array(result["keypoints"]).reshape(17, 3)
    joints[joint, :2] = to
    return {**result, "keypoints": joints.reshape(-1).tolist()}


def place(one: dict, joint: int) -> np.ndarray:
    return np.array(one["keypoints"]).reshape(17, 3)[joint, :2]


def away(similarity: float, joint: int) -> np.ndarray:
    """How far right a joint must go to keep this similarity: ks = exp(-d^2 / (2 s^2 (2 sigma)^2))."""
    return np.array([np.sqrt(-2 * np.log(similarity)) * SIZE * 2 * COCO17.sigmas[joint], 0.0])


def kind_of(errors: ErrorCounts, joint: int) -> str:
    (kind,) = np.flatnonzero(errors.joints.sum(0)[joint])
    return JOINT_KINDS[kind]


@pytest.mark.parametrize(
    ("joint", "target", "kind"),
    [
        (LEFT_WRIST, lambda one, other: place(one, LEFT_WRIST) + away(0.86, LEFT_WRIST), "good"),
        (LEFT_WRIST, lambda one, other: place(one, LEFT_WRIST) + away(0.84, LEFT_WRIST), "jitter"),
        (LEFT_WRIST, lambda one, other: place(one, LEFT_WRIST) + away(0.51, LEFT_WRIST), "jitter"),
        (LEFT_WRIST, lambda one, other: place(one, LEFT_WRIST) - [0, 900], "miss"),
        (LEFT_WRIST, lambda one, other: place(one, RIGHT_WRIST) + away(0.6, LEFT_WRIST), "inversion"),
        (LEFT_WRIST, lambda one, other: place(other, LEFT_WRIST) + away(0.6, LEFT_WRIST), "swap"),
        (LEFT_WRIST, lambda one, other: place(other, RIGHT_WRIST), "swap"),
        (LEFT_WRIST, lambda one, other: place(other, NOSE), "miss"),
        (NOSE, lambda one, other: place(other, NOSE), "swap"),
        (NOSE, lambda one, other: place(one, LEFT_WRIST), "miss"),
    ],
)
def test_a_moved_joint_is_named(joint: int, target: Any, kind: str) -> None:
    one, other = spread(1, SIZE, number=1), spread(1, SIZE, number=2, left=5000.0)
    results = as_results(annotations(one, other))
    results[0] = moved(results[0], joint, target(one, other))
    errors = errors_of(annotations(one, other), results)
    assert errors.joints.sum(2)[0].tolist() == [2] * 17
    # The other person's joint is good, and so are all others of this one.
    found = errors.joints.sum(0)
    assert found[:, 0].sum() == 2 * 17 - (kind != "good")
    assert found[joint, JOINT_KINDS.index(kind)] == 1 + (kind == "good")


def test_a_joint_on_an_unlabelled_one_is_a_miss() -> None:
    one = spread(1, SIZE, number=1)
    joints = np.array(one["keypoints"]).reshape(17, 3)
    joints[RIGHT_WRIST, 2] = 0
    truth = annotations({**one, "keypoints": joints.reshape(-1).tolist(), "num_keypoints": 16})
    results = [moved(as_results(annotations(one))[0], LEFT_WRIST, place(one, RIGHT_WRIST))]
    errors = errors_of(truth, results)
    assert kind_of(errors, LEFT_WRIST) == "miss"
    assert errors.joints[0, RIGHT_WRIST].tolist() == [0] * 6


def test_a_joint_of_a_crowd_is_nobodys() -> None:
    one, crowd = spread(1, SIZE, number=1), {**spread(1, SIZE, number=2, left=5000.0), "iscrowd": 1}
    results = as_results(annotations(one))
    results[0] = moved(results[0], LEFT_WRIST, place(crowd, LEFT_WRIST))
    errors = errors_of(annotations(one, crowd), results)
    assert kind_of(errors, LEFT_WRIST) == "miss"
    assert errors.persons.tolist() == [1, 0, 0]


def test_a_person_without_prediction_is_not_found() -> None:
    truth = annotations(
        spread(1, SIZE, number=1), spread(2, SIZE, number=2), spread(2, SIZE, number=3, left=5000.0)
    )
    errors = errors_of(truth, as_results(truth)[:2])
    assert errors.joints[:, :, JOINT_KINDS.index("not_found")].sum(1).tolist() == [0, 17, 0]
    assert errors.joints[..., 0].sum(1).tolist() == [17, 17, 0]


def whole(errors: ErrorCounts) -> dict[str, list[int]]:
    return dict(zip(("score", "background"), errors.whole.T.tolist(), strict=True))


def test_a_better_pose_with_a_lower_score_is_a_score_error() -> None:
    truth = annotations(spread(1, SIZE, number=1))
    (best,) = as_results(truth)
    worse = moved(best, NOSE, place(truth["annotations"][0], NOSE) + 400)
    assert whole(errors_of(truth, [{**worse, "score": 0.9}, {**best, "score": 0.8}]))["score"] == [1, 0, 0]
    assert whole(errors_of(truth, [{**worse, "score": 0.8}, {**best, "score": 0.9}]))["score"] == [0, 0, 0]
    assert whole(errors_of(truth, [{**best, "score": 0.9}, {**best, "score": 0.8}]))["score"] == [0, 0, 0]


def test_a_better_pose_that_is_taken_for_somebody_else_is_no_score_error() -> None:
    """Two people hand in hand: the second pose fits the first person best, and stands for the second."""
    one, other = spread(1, SIZE, number=1), spread(1, SIZE, number=2, left=40.0)
    truth = annotations(one, other)
    (best, _) = as_results(truth)
    shifted = {**best, "keypoints": (np.array(best["keypoints"]) - np.tile([12, 0, 0], 17)).tolist()}
    results = [{**shifted, "score": 0.9}, {**best, "score": 0.8}]
    scene = scene_of(truth, results)
    pairs = pair_persons(scene, COCO17.sigmas, COCO17.flip_index)
    assert pairs.truth.tolist() == [0, 1]
    assert pairs.oks[0] < 0.99
    assert whole(count_errors(scene, pairs))["score"] == [0, 0, 0]


def test_a_pose_on_nobody_counts_when_its_score_is_among_the_first() -> None:
    truth = annotations(spread(1, SIZE, number=1), spread(2, SIZE, number=2))
    good = [{**result, "score": 0.5} for result in as_results(truth)]
    nobody = {**good[0], "keypoints": (np.array(good[0]["keypoints"]) + 9000).tolist()}
    in_empty_image = {**nobody, "image_id": 3}
    for score, counted in ((0.9, 1), (0.1, 0)):
        errors = errors_of(truth, [*good, {**nobody, "score": score}])
        assert whole(errors) == {"score": [0, 0, 0], "background": [counted, 0, 0]}
        errors = errors_of(truth, [*good, {**in_empty_image, "score": score}])
        assert whole(errors) == {"score": [0, 0, 0], "background": [0, 0, counted]}


def test_shares_are_of_labelled_joints_and_of_persons() -> None:
    truth = annotations(spread(1, SIZE, number=1), spread(2, SIZE, number=2))
    results = as_results(truth)[:1]
    errors = errors_of(truth, results)
    counts = np.array([[1, 1, 1], [1, 0, 1], [0, 0, 1]])
    shares = errors.error_shares(counts)
    assert shares[:, ERROR_KINDS.index("not_found")].tolist() == [0.5, 0.0, 0.0]
    assert errors.good_shares(counts).tolist() == [[0.5] * 17, [1.0] * 17, [0.0] * 17]


def test_without_predictions_everybody_is_not_found() -> None:
    errors = errors_of(annotations(spread(1, SIZE, number=1)), [])
    assert errors.joints[0].tolist() == [[0, 0, 0, 0, 0, 1]] * 17
    assert errors.whole.sum() == 0
