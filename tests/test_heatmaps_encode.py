"""Targets equal the published ones, both ways of drawing them."""

from __future__ import annotations

from pathlib import Path

import heatmap_reference as reference
import numpy as np
import pytest
import torch
from parity_recipe import recipe

from sdpose.heatmaps import decode_heatmaps, encode_heatmaps

SIZES = {"image_size_wh": (192, 256), "heatmap_size_wh": (48, 64)}


@pytest.mark.parametrize("kind", ["unbiased", "msra"])
def test_all_fixture_cases_at_once(parity: Path, kind: str) -> None:
    expected = np.load(parity / "targets.npz")
    cases = [recipe.joints(i) for i in range(10)]
    joints = torch.from_numpy(np.stack([joints[:, :2] for joints, _ in cases]))
    visible = torch.from_numpy(np.stack([visible[:, 0] for _, visible in cases]))
    target, weight = encode_heatmaps(joints, visible, **SIZES, sigma=2.0, unbiased=kind == "unbiased")
    assert target.dtype == weight.dtype == torch.float32
    np.testing.assert_allclose(target[:, :4], expected[f"{kind}_target_joints0to3"], atol=1e-6)
    np.testing.assert_allclose(target.sum((2, 3)), expected[f"{kind}_target_sum"], rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(weight, expected[f"{kind}_weight"])


@pytest.mark.parametrize("unbiased", [True, False])
@pytest.mark.parametrize(
    ("sigma", "image_size", "heatmap_size"), [(1.0, (96, 128), (24, 32)), (3.0, (64, 96), (32, 24))]
)
def test_equals_the_plain_reference(
    unbiased: bool,
    sigma: float,
    image_size: tuple[int, int],
    heatmap_size: tuple[int, int],
) -> None:
    rng = np.random.RandomState(2)
    joints = rng.uniform(-40, 140, (3, 14, 2)).astype(np.float32)
    visible = rng.choice([0.0, 0.5, 1.0], (3, 14)).astype(np.float32)
    target, weight = encode_heatmaps(
        torch.from_numpy(joints),
        torch.from_numpy(visible),
        image_size_wh=image_size,
        heatmap_size_wh=heatmap_size,
        sigma=sigma,
        unbiased=unbiased,
    )
    for i in range(3):
        expected, expected_weight = reference.encode(
            joints[i], visible[i], image_size, heatmap_size, sigma, unbiased
        )
        np.testing.assert_allclose(target[i], expected, atol=1e-6)
        np.testing.assert_array_equal(weight[i], expected_weight)


@pytest.mark.parametrize(
    ("x", "weight"),
    [
        (-28.001, 0),  # mu + 6 + 1 < 0: past the left edge
        (-28.0, 1),
        (215.99, 1),
        (216.0, 0),  # mu - 6 >= 48: past the right edge
    ],
)
def test_a_joint_counts_while_its_gaussian_touches_the_map(x: float, weight: float) -> None:
    target, weights = encode_heatmaps(torch.tensor([[[x, 100.0]]]), torch.ones(1, 1), **SIZES)
    assert weights.item() == weight
    assert bool(target.any()) == bool(weight)


def test_what_is_encoded_is_decoded() -> None:
    rng = np.random.RandomState(0)
    joints = torch.from_numpy(rng.uniform([32, 32], [160, 224], (6, 17, 2)).astype(np.float32))
    target, _ = encode_heatmaps(joints, torch.ones(6, 17), **SIZES)
    coords, scores = decode_heatmaps(target)
    np.testing.assert_allclose(coords * 4, joints, atol=0.1)
    assert (scores > 0.88).all()


def test_no_persons() -> None:
    target, weight = encode_heatmaps(torch.zeros(0, 17, 2), torch.zeros(0, 17), **SIZES)
    assert target.shape == (0, 17, 64, 48)
    assert weight.shape == (0, 17, 1)


@pytest.mark.parametrize("unbiased", [True, False])
def test_nothing_waits_for_the_device(unbiased: bool) -> None:
    """The meta device has no values: whatever asks for one, as a wait for a device would, raises."""
    joints, visible = torch.zeros(2, 17, 2, device="meta"), torch.zeros(2, 17, device="meta")
    target, weight = encode_heatmaps(joints, visible, **SIZES, unbiased=unbiased)
    assert target.shape == (2, 17, 64, 48)
    assert weight.shape == (2, 17, 1)
