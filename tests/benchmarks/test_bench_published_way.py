"""The published way of computing, as the speed benchmarks write it, gives the product's numbers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from benchmarks import decode, evaluation
from benchmarks.plain_model import plain_cycles, plain_losses
from benchmarks.side import Side, clock_of
from sdpose.data.dataset import SampleKey
from sdpose.models import SDPose, SDPoseLoss, StemNet, total_loss


def small_model() -> SDPose:
    torch.manual_seed(0)
    return SDPose(
        StemNet(planes=8, num_blocks=2),
        in_channels=32,
        feature_size_hw=(16, 12),
        patch_size_hw=(4, 3),
        dim=32,
        depth=2,
        heads=4,
        mlp_ratio=2,
        heatmap_size_hw=(16, 12),
    )


@pytest.mark.parametrize("training", [True, False])
def test_all_cycles_losses_and_gradients(training: bool) -> None:
    model, images = small_model().train(training), torch.randn(3, 3, 64, 48)
    target, weight = torch.rand(3, 17, 16, 12), torch.rand(3, 17, 1).round()
    plain, ours = plain_cycles(model, images), model.forward_cycles(images)
    for theirs, own in zip(plain, ours, strict=True):
        for values, expected in zip(theirs, own, strict=False):
            torch.testing.assert_close(values, expected, rtol=1e-4, atol=1e-5)
    losses = plain_losses(plain, target, weight), total_loss(SDPoseLoss()(ours, target, weight))
    torch.testing.assert_close(*losses, rtol=1e-5, atol=0)
    trainable = [parameter for parameter in model.parameters() if parameter.requires_grad]
    for values, expected in zip(*(torch.autograd.grad(loss, trainable) for loss in losses), strict=True):
        torch.testing.assert_close(values, expected, rtol=1e-3, atol=1e-6)


def test_results_and_ap_person_by_person(shared: Path) -> None:
    predictions, truth = evaluation.poses_at_size(shared / "data", share=0.1)
    by_hand = evaluation.plain_host_at_size(str(shared / "data"), 0.1)()
    assert len(predictions) > 1000
    assert 0.2 < by_hand < 0.9
    assert evaluation.our_host_part(predictions, truth) == pytest.approx(by_hand, abs=1e-9)


def test_a_pose_of_one_person(shared: Path) -> None:
    """Heatmap cells to image pixels by hand and by the product."""
    files = evaluation.validation_files(shared / "data", Path())
    dataset, _ = evaluation.persons_of(*files, 3)
    pose, box = evaluation.plain_pose(dataset, 2, np.full((17, 2), [10.5, 20.25]), np.ones(17))
    batch = dataset.__getitems__([SampleKey(0, 2)])
    center, scale = batch.centers.numpy()[0], batch.scales.numpy()[0]
    np.testing.assert_allclose(box["center"], center)
    np.testing.assert_allclose(
        pose[0, :2], center + (np.array([10.5 / 48, 20.25 / 64]) - 0.5) * scale * 200, rtol=1e-5
    )


def test_decoding_is_measured_row_by_row() -> None:
    rows = list(decode.rows(num_persons=1, rounds=1))
    assert [(row.maps, row.step) for row in rows if row.maps in ("trained", "un-flip and shift")] == [
        ("trained", "unbiased"),
        ("trained", "default"),
        ("un-flip and shift", ""),
    ]
    assert all(row.ratio > 0 and len(row.rounds) == 1 for row in rows)


def twice(value: int) -> object:
    return lambda: 2 * value


def test_a_side_runs_in_its_own_process_and_counts_its_seconds() -> None:
    with Side() as side:
        double, quadruple = side.made(twice, 21), side.made(twice, 42)
        assert double() == 42
        assert side.result == 42
        first = clock_of([side])()
        assert quadruple() == 84
        assert clock_of([side])() >= first > 0
    assert not side._process.is_alive()
