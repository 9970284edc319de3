"""OKS and both suppressions equal the published ones."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from parity_recipe import recipe

from sdpose.evaluation.oks import oks_matrix, oks_nms, oks_to_truth, soft_oks_nms
from sdpose.skeleton import COCO17

SIGMAS = COCO17.sigmas


def people(case: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    persons = recipe.people(case)
    return tuple(np.array([person[key] for person in persons]) for key in ("keypoints", "area", "score"))  # type: ignore[return-value]


@pytest.mark.parametrize("case", range(10))
def test_fixture(parity: Path, case: int) -> None:
    expected = np.load(parity / "oks_nms.npz")
    keypoints, areas, scores = people(case)
    np.testing.assert_allclose(
        oks_matrix(keypoints, areas, SIGMAS)[0],
        expected[f"case{case}_oks_iou_vs_first"],
        rtol=2e-6,
        atol=1e-7,
    )
    for threshold in (0.9, 0.5, 0.2):
        kept = oks_nms(keypoints, areas, scores, SIGMAS, threshold)
        np.testing.assert_array_equal(kept, expected[f"case{case}_oks_nms_{threshold}"])
    for threshold in (0.9, 0.5):
        kept = soft_oks_nms(keypoints, areas, scores, SIGMAS, threshold)
        np.testing.assert_array_equal(kept, expected[f"case{case}_soft_oks_nms_{threshold}"])


def test_no_poses_and_one_pose() -> None:
    assert oks_matrix(np.zeros((0, 17, 3)), np.zeros(0), SIGMAS).shape == (0, 0)
    for suppress in (oks_nms, soft_oks_nms):
        assert suppress(np.zeros((0, 17, 3)), np.zeros(0), np.zeros(0), SIGMAS, 0.9).tolist() == []
        assert suppress(np.zeros((1, 17, 3)), np.ones(1), np.ones(1), SIGMAS, 0.9).tolist() == [0]


def test_a_pose_is_only_dropped_by_one_that_is_kept() -> None:
    """Three in a row, each like its neighbour only: the best drops the second, which then drops nobody."""
    poses = np.zeros((3, 17, 3))
    poses[:, :, 0] = [[0], [4], [8]]
    areas, scores = np.full(3, 10_000.0), np.array([0.9, 0.8, 0.7])
    oks = oks_matrix(poses, areas, SIGMAS)
    threshold = float((oks[0, 1] + oks[0, 2]) / 2)
    assert oks_nms(poses, areas, scores, SIGMAS, threshold).tolist() == [0, 2]


def test_an_oks_of_exactly_the_threshold_is_kept() -> None:
    poses, areas, scores = np.zeros((2, 17, 3)), np.ones(2), np.array([0.9, 0.8])
    assert oks_nms(poses, areas, scores, SIGMAS, 1.0).tolist() == [0, 1]
    assert oks_nms(poses, areas, scores, SIGMAS, 0.9999).tolist() == [0]


def test_of_equal_scores_the_last_comes_first() -> None:
    poses, areas, scores = np.zeros((3, 17, 3)), np.full(3, 100.0), np.array([0.9, 0.5, 0.9])
    poses[1] += 1000  # far from the others
    assert oks_nms(poses, areas, scores, SIGMAS, 0.9).tolist() == [2, 1]
    assert soft_oks_nms(poses, areas, scores, SIGMAS, 0.9).tolist() == [2, 1, 0]


def test_soft_suppression_keeps_at_most_twenty() -> None:
    rng = np.random.RandomState(0)
    poses, areas = rng.uniform(0, 500, (30, 17, 3)), np.full(30, 1e4)
    scores = rng.uniform(0, 1, 30)
    assert soft_oks_nms(poses, areas, scores, SIGMAS, 0.9).tolist() == np.argsort(-scores)[:20].tolist()


def test_oks_with_the_truth_counts_labelled_joints_only() -> None:
    truth = np.random.RandomState(0).uniform(0, 100, (2, 17, 2))
    visible = np.zeros((2, 17))
    visible[0, :5] = 2
    predicted = truth.copy()
    predicted[:, 5:] += 1000
    np.testing.assert_allclose(
        oks_to_truth(predicted, truth, visible, [100.0, 100.0], SIGMAS)[:, 0], [1, 0], atol=1e-12
    )
    assert oks_to_truth(predicted, truth, visible, [100.0, 100.0], SIGMAS)[0, 1] == 0


def test_oks_with_the_truth_by_hand() -> None:
    """One joint, 3 px off, sigma 0.5, area 9: exp(-9 / (2 * 0.5)^2 / 9 / 2)."""
    oks = oks_to_truth([[[3.0, 0.0]]], [[[0.0, 0.0]]], [[1]], [9.0], [0.5])
    np.testing.assert_allclose(oks, [[np.exp(-0.5)]])
