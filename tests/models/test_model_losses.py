"""Loss terms and accuracy: reference numbers, then what each word of their contract says."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from sdpose.models import CycleOutput, JointsMSELoss, SDPoseLoss, TokenDistilLoss, pose_accuracy, total_loss


def published_cases() -> list[tuple[Tensor, Tensor, Tensor]]:
    """Pairs of heatmaps (4, 17, 16, 12) and weights (4, 17, 1), as the recipe in losses.npz says."""
    random = np.random.RandomState(77)
    cases = []
    for _ in range(10):
        a = random.standard_normal((4, 17, 16, 12)).astype(np.float32)
        b = random.standard_normal((4, 17, 16, 12)).astype(np.float32)
        weight = (random.uniform(size=(4, 17, 1)) < 0.7).astype(np.float32)
        cases.append((torch.from_numpy(a), torch.from_numpy(b), torch.from_numpy(weight)))
    return cases


def cycle(heatmaps: Tensor, tokens: float = 0.0) -> CycleOutput:
    num_samples, num_keypoints = heatmaps.shape[:2]
    keypoint_tokens = torch.full((num_samples, num_keypoints, 8), tokens)
    return CycleOutput(heatmaps, keypoint_tokens, torch.full((num_samples, 6, 8), 2 * tokens))


def peak(*positions_xy: tuple[int, int], size_hw: tuple[int, int] = (64, 48)) -> Tensor:
    """One sample whose joints have a single hot cell each: (1, K, h, w)."""
    heatmaps = torch.zeros(1, len(positions_xy), *size_hw)
    for joint, (x, y) in enumerate(positions_xy):
        heatmaps[0, joint, y, x] = 1.0
    return heatmaps


@pytest.mark.parametrize(
    ("weighted", "key"), [(True, "joints_mse_weighted"), (False, "joints_mse_unweighted")]
)
def test_joints_mse_equals_the_published_one(weighted: bool, key: str, parity) -> None:
    with np.load(parity / "losses.npz") as published:
        ours = [JointsMSELoss(use_target_weight=weighted)(*case).item() for case in published_cases()]
        np.testing.assert_allclose(ours, published[key], rtol=1e-5)


def test_accuracy_equals_the_published_one(parity) -> None:
    ours = [pose_accuracy([cycle(a + 0.8 * b)], a, weight).item() for a, b, weight in published_cases()]
    with np.load(parity / "losses.npz") as published:
        np.testing.assert_allclose(ours, published["pck_avg_cnt"][:, 0], rtol=1e-6)


def test_joints_mse_does_not_square_the_weight_and_counts_invisible_joints() -> None:
    target, weight = torch.zeros(1, 2, 4, 3), torch.tensor([[[0.5], [0.0]]])
    loss = JointsMSELoss(loss_weight=10.0)(torch.full((1, 2, 4, 3), 2.0), target, weight)
    assert loss.item() == 10.0 * (0.5 * 4 + 0.0 * 4) / 2


def test_token_loss_reaches_student_and_teacher() -> None:
    student, teacher = torch.zeros(1, 2, 3, requires_grad=True), torch.ones(1, 2, 3, requires_grad=True)
    TokenDistilLoss(loss_weight=6.0)(student, teacher).backward()
    assert student.grad is not None
    assert teacher.grad is not None
    torch.testing.assert_close(student.grad, torch.full((1, 2, 3), -2.0))
    torch.testing.assert_close(teacher.grad, torch.full((1, 2, 3), 2.0))


@pytest.mark.parametrize(
    ("tokens", "visual", "keypoint"),
    [
        ([1.0], 0.0, 0.0),
        ([1.0, 3.0], 16.0, 4.0),
        # Pairs (1, 2) and (2, 3), summed.
        ([1.0, 3.0, 2.0], 16.0 + 4.0, 4.0 + 1.0),
    ],
)
def test_terms_are_summed_over_cycles_and_adjacent_pairs(
    tokens: list[float], visual: float, keypoint: float
) -> None:
    target = torch.zeros(2, 3, 4, 3)
    cycles = [cycle(torch.ones(2, 3, 4, 3), value) for value in tokens]
    loss = SDPoseLoss(visual=TokenDistilLoss(1.0), keypoint=TokenDistilLoss(1.0))
    terms = loss(cycles, target, torch.ones(2, 3, 1))
    assert {name: value.item() for name, value in terms.items()} == {
        "heatmap_loss": len(tokens),
        "vis_dist_loss": visual,
        "kpt_dist_loss": keypoint,
    }
    assert list(terms) == ["heatmap_loss", "vis_dist_loss", "kpt_dist_loss"]


class Entropy(nn.Module):
    def forward(self, cycles: Sequence[CycleOutput], target: Tensor, target_weight: Tensor) -> Tensor:
        return cycles[-1].heatmaps.sum() + target.sum() + target_weight.sum()


def test_a_users_term_counts_when_it_is_named_a_loss() -> None:
    target, weight = torch.zeros(1, 2, 4, 3), torch.ones(1, 2, 1)
    terms = SDPoseLoss(extra={"entropy_loss": Entropy(), "entropy": Entropy()})(
        [cycle(target)], target, weight
    )
    assert list(terms)[3:] == ["entropy_loss", "entropy"]
    assert total_loss(terms).item() == 2.0


def test_loss_modules_have_no_keys() -> None:
    assert not SDPoseLoss().state_dict()


@pytest.mark.parametrize(
    ("found_xy", "accuracy"),
    # Of 64 rows 3 are less than 5 %, 4 are not; of 48 columns 2 are, 3 are not.
    [((23, 30), 1.0), ((24, 30), 0.0), ((20, 32), 1.0), ((20, 33), 0.0)],
)
def test_accuracy_divides_x_by_rows_and_y_by_columns(found_xy: tuple[int, int], accuracy: float) -> None:
    target, weight = peak((20, 30)), torch.ones(1, 1, 1)
    assert pose_accuracy([cycle(peak(found_xy))], target, weight).item() == accuracy


def test_accuracy_counts_every_joint_of_some_weight() -> None:
    target, found = peak((5, 5), (5, 5)), peak((40, 5), (5, 5))
    assert pose_accuracy([cycle(found)], target, torch.tensor([[[0.1], [0.1]]])).item() == 0.5


@pytest.mark.parametrize(("num_cycles", "judged"), [(1, 0), (2, 0), (3, 1), (4, 2)])
def test_accuracy_judges_the_last_cycle_but_one(num_cycles: int, judged: int) -> None:
    target, weight = peak((5, 5)), torch.ones(1, 1, 1)
    cycles = [cycle(target if index == judged else peak((40, 60))) for index in range(num_cycles)]
    assert pose_accuracy(cycles, target, weight).item() == 1.0


def test_accuracy_leaves_out_joints_that_nobody_shows() -> None:
    target = peak((5, 5), (5, 5), (5, 5))
    heatmaps = peak((5, 5), (40, 5), (40, 5))
    assert pose_accuracy([cycle(heatmaps)], target, torch.tensor([[[1.0], [1.0], [0.0]]])).item() == 0.5
    assert pose_accuracy([cycle(heatmaps)], target, torch.zeros(1, 3, 1)).item() == 0.0


def test_a_map_without_a_positive_cell_peaks_outside() -> None:
    target, weight = peak((0, 0)), torch.ones(1, 1, 1)
    # (-1, -1) is within 5 % of (0, 0), and far from (5, 5).
    assert pose_accuracy([cycle(torch.zeros(1, 1, 64, 48))], target, weight).item() == 1.0
    assert pose_accuracy([cycle(-peak((5, 5)))], peak((5, 5)), weight).item() == 0.0
