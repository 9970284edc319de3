"""Decoding equals the published path: its stored numbers, and OpenCV over many maps of all kinds."""

from __future__ import annotations

from pathlib import Path

import heatmap_reference as reference
import numpy as np
import pytest
import torch
from parity_recipe import recipe

from sdpose.errors import SdposeError
from sdpose.heatmaps import decode_heatmaps, flip_heatmaps

FLIP_INDEX = (0, 2, 1, 4, 3, 6, 5, 8, 7, 10, 9, 12, 11, 14, 13, 16, 15)


def decode(heatmaps: np.ndarray, post_process: str | None, kernel: int = 11) -> tuple[np.ndarray, np.ndarray]:
    coords, scores = decode_heatmaps(torch.from_numpy(heatmaps), post_process=post_process, kernel=kernel)
    assert coords.dtype == scores.dtype == torch.float32
    return coords.numpy(), scores.numpy()


def to_image(coords: np.ndarray, centers: np.ndarray, scales: np.ndarray) -> np.ndarray:
    size = np.array([48, 64])
    return coords * (scales[:, None] * 200 / size) + centers[:, None] - scales[:, None] * 100


@pytest.mark.parametrize("post_process", ["unbiased", "default", None])
def test_all_fixture_cases_at_once(parity: Path, post_process: str | None) -> None:
    expected = np.load(parity / "decode.npz")
    name = post_process or "none"
    coords, scores = decode(np.stack([recipe.heatmaps(i)[0] for i in range(10)]), post_process)
    pixels = to_image(coords, expected["center"], expected["scale"])
    np.testing.assert_allclose(pixels, expected[f"{name}_preds"], atol=2e-3)
    np.testing.assert_array_equal(scores, expected[f"{name}_maxvals"][..., 0])


@pytest.mark.parametrize("post_process", ["unbiased", "default"])
def test_flip_test_fixture(parity: Path, post_process: str) -> None:
    expected = np.load(parity / "decode.npz")
    maps = torch.from_numpy(np.stack([recipe.heatmaps(i)[0] for i in range(11)]))
    averaged = (maps[:10] + flip_heatmaps(maps[1:], FLIP_INDEX, shift=True)) * 0.5
    coords, scores = decode(averaged.numpy(), post_process)
    pixels = to_image(coords, expected["center"], expected["scale"])
    np.testing.assert_allclose(pixels, expected[f"fliptest_{post_process}_preds"], atol=2e-3)
    np.testing.assert_array_equal(scores, expected[f"fliptest_{post_process}_maxvals"][..., 0])


def noisy_gaussians(rng: np.random.RandomState, noise: float, floor: float = 0.0) -> np.ndarray:
    """(8, 17, 64, 48): blobs in and slightly out of the map, on a floor, with noise."""
    y, x = np.mgrid[:64, :48]
    mu = rng.uniform(-3, 1, (2, 8, 17, 1, 1)) + rng.uniform(0, 1, (2, 8, 17, 1, 1)) * [[[[[51]]]], [[[[67]]]]]
    blob = np.exp(-((x - mu[0]) ** 2 + (y - mu[1]) ** 2) / (2 * rng.uniform(1, 3, (8, 17, 1, 1)) ** 2))
    blob = blob * rng.uniform(0.02, 1.2, (8, 17, 1, 1))
    return (blob + floor + noise * rng.standard_normal((8, 17, 64, 48))).astype(np.float32)


def corners(rng: np.random.RandomState) -> np.ndarray:
    """(8, 17, 64, 48) zero maps with one bright cell on or near a border, on backgrounds of each sign."""
    maps = np.zeros((8, 17, 64, 48), np.float32)
    background = np.array([0, -0.01, 0.01, -1.0], np.float32)
    places = [(0, 0), (0, 47), (63, 0), (63, 47), (1, 1), (2, 2), (2, 45), (2, 44), (61, 3), (60, 3), (30, 1)]
    places += [(30, 2), (30, 45), (30, 46), (31, 20), (3, 3), (61, 45)]
    for i in range(8):
        maps[i] += background[i % 4]
        for j, (y, x) in enumerate(places):
            maps[i, j, y, x] = 1.0 if i < 4 else rng.uniform(0.01, 0.3)
    return maps


def holes(rng: np.random.RandomState) -> np.ndarray:
    """(8, 17, 64, 48) wide blobs with a deep hole aslant of the peak: of the 13 blurred cells that the differences
    read, only the one towards the hole falls below zero."""
    y, x = np.mgrid[:64, :48]
    maps = np.zeros((8, 17, 64, 48))
    for i, j in np.ndindex(8, 17):
        mu, side = rng.uniform([20, 20], [28, 44]).round(), rng.choice([-3, 3], 2)
        maps[i, j] = np.exp(-((x - mu[0]) ** 2 + (y - mu[1]) ** 2) / 18)
        maps[i, j, int(mu[1]) + side[1], int(mu[0]) + side[0]] -= rng.uniform(44, 51)
    return maps.astype(np.float32)


MAPS = {
    "clean blobs": lambda rng: noisy_gaussians(rng, 0.0),
    "trained": lambda rng: noisy_gaussians(rng, 0.005),
    "noisy": lambda rng: noisy_gaussians(rng, 0.05),
    "on a negative floor": lambda rng: noisy_gaussians(rng, 0.01, floor=-0.3),
    "on a positive floor": lambda rng: noisy_gaussians(rng, 0.01, floor=0.3),
    "untrained": lambda rng: (0.4 * rng.standard_normal((8, 17, 64, 48))).astype(np.float32),
    "all negative": lambda rng: -rng.uniform(0, 1, (8, 17, 64, 48)).astype(np.float32),
    "mostly negative": lambda rng: rng.uniform(-1, 0.002, (8, 17, 64, 48)).astype(np.float32),
    "bright cells on borders": corners,
    "deep holes": holes,
}


@pytest.mark.parametrize("kind", MAPS)
@pytest.mark.parametrize("seed", [0, 1])
def test_equals_opencv(kind: str, seed: int) -> None:
    maps = MAPS[kind](np.random.RandomState(seed))
    for post_process in ("unbiased", "default", None):
        expected, expected_scores = reference.decode(maps, post_process)
        coords, scores = decode(maps, post_process)
        np.testing.assert_array_equal(scores, expected_scores)
        if post_process != "unbiased":
            np.testing.assert_array_equal(coords, expected)
            continue
        # Where the Newton step is long, the surroundings are nearly flat and the last bit of the blur
        # decides: the allowance grows with the step as the condition of the 2 x 2 system does. Where the
        # blurred values are small differences of large ones, more bits are lost before the logarithm.
        digits = 1e-3 if kind == "mostly negative" else 5e-5
        step = np.linalg.norm(expected - decode(maps, None)[0], axis=-1, keepdims=True)
        error = np.abs(coords - expected) / (1 + step**2)
        assert error.max() <= digits


@pytest.mark.parametrize("kernel", [3, 5, 7, 11, 13, 17])
def test_other_kernels_equal_opencv(kernel: int) -> None:
    maps = noisy_gaussians(np.random.RandomState(kernel), 0.005)[:3]
    np.testing.assert_allclose(
        decode(maps, "unbiased", kernel)[0], reference.decode(maps, "unbiased", kernel)[0], atol=1e-3
    )


def test_a_map_without_a_positive_value_lies_at_minus_one() -> None:
    maps = np.zeros((1, 2, 64, 48), np.float32)
    maps[0, 1] = -0.5
    for post_process in ("unbiased", "default", None):
        coords, scores = decode(maps, post_process)
        np.testing.assert_array_equal(coords, np.full((1, 2, 2), -1))
        np.testing.assert_array_equal(scores, [[0, -0.5]])


def test_a_flat_map_keeps_its_first_cell_and_a_plateau_its_corner() -> None:
    maps = np.full((1, 2, 64, 48), 0.25, np.float32)
    maps[0, 1] = 0
    maps[0, 1, 10:50, 5:45] = (
        1  # Wider than the blur: its first cell is (5, 10), and only its slope can move it.
    )
    coords, _ = decode(maps, None)
    np.testing.assert_array_equal(coords[0], [[0, 0], [5, 10]])
    np.testing.assert_array_equal(decode(maps, "unbiased")[0][0, 0], [0, 0])


def test_inside_a_plateau_nothing_is_refined() -> None:
    maps = np.full((1, 1, 64, 48), 0.7, np.float32)
    maps[0, 0, 30, 24] = np.nextafter(np.float32(0.7), np.float32(1))
    coords, _ = decode(maps, "default")
    np.testing.assert_array_equal(coords[0, 0], [24, 30])
    assert np.abs(decode(maps, "unbiased")[0][0, 0] - [24, 30]).max() < 3


def test_the_true_centre_of_a_gaussian_is_found() -> None:
    rng = np.random.RandomState(4)
    mu = rng.uniform([8, 8], [40, 56], (5, 17, 2)).astype(np.float32)
    y, x = np.mgrid[:64, :48]
    squared = (x - mu[..., 0, None, None]) ** 2 + (y - mu[..., 1, None, None]) ** 2
    coords, _ = decode(np.exp(-squared / 8).astype(np.float32), "unbiased")
    np.testing.assert_allclose(coords, mu, atol=2e-2)


def test_one_person_at_a_time_gives_the_same_bits() -> None:
    maps = np.concatenate(
        [noisy_gaussians(np.random.RandomState(3), 0.05), corners(np.random.RandomState(3))]
    )
    coords, scores = decode(maps, "unbiased")
    for i in range(len(maps)):
        one, score = decode(maps[i : i + 1], "unbiased")
        np.testing.assert_array_equal(one[0], coords[i])
        np.testing.assert_array_equal(score[0], scores[i])


def test_maps_that_are_not_finite_leave_the_others_alone() -> None:
    maps = noisy_gaussians(np.random.RandomState(3), 0.01)[:2]
    expected, _ = decode(maps, "unbiased")
    broken = maps.copy()
    broken[0, 3] = np.nan
    broken[0, 4, 20, 20] = np.inf
    coords, scores = decode(broken, "unbiased")
    assert np.isnan(scores[0, 3])
    np.testing.assert_array_equal(coords[0, 3], [-1, -1])
    np.testing.assert_array_equal(coords[0, 4], [20, 20])
    keep = np.ones((2, 17), bool)
    keep[0, 3:5] = False
    np.testing.assert_array_equal(coords[keep], expected[keep])


def test_half_precision_maps_are_decoded_in_float32() -> None:
    maps = torch.from_numpy(noisy_gaussians(np.random.RandomState(3), 0.01)).bfloat16()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        coords, scores = decode_heatmaps(maps)
    expected, expected_scores = decode_heatmaps(maps.float())
    assert torch.equal(coords, expected)
    assert torch.equal(scores, expected_scores)


def test_no_persons_and_maps_smaller_than_the_blur() -> None:
    coords, scores = decode_heatmaps(torch.zeros(0, 17, 64, 48))
    assert coords.shape == (0, 17, 2)
    assert scores.shape == (0, 17)
    small = torch.zeros(1, 1, 6, 5)
    small[0, 0, 2, 2] = 1
    assert decode_heatmaps(small)[0].tolist() == [[[2.0, 2.0]]]


def test_gradients_do_not_pass() -> None:
    coords, scores = decode_heatmaps(torch.rand(1, 2, 64, 48, requires_grad=True))
    assert not coords.requires_grad
    assert not scores.requires_grad


def test_the_path_without_a_host_wait_gives_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    """CUDA and exported graphs blur every map where the CPU blurs only those that need it: the same positions."""
    maps = np.concatenate([make(np.random.RandomState(5)) for make in MAPS.values()])
    expected, expected_scores = decode(maps, "unbiased")
    monkeypatch.setattr(torch.compiler, "is_exporting", lambda: True)
    coords, scores = decode(maps, "unbiased")
    np.testing.assert_array_equal(coords, expected)
    np.testing.assert_array_equal(scores, expected_scores)


def test_nothing_waits_for_the_device() -> None:
    """The meta device has no values: whatever asks for one, as a wait for a device would, raises."""
    maps = torch.zeros(2, 17, 64, 48, device="meta")
    for post_process in ("unbiased", "default", None):
        coords, scores = decode_heatmaps(
            flip_heatmaps(maps, FLIP_INDEX, shift=True), post_process=post_process
        )
        assert coords.shape == (2, 17, 2)
        assert scores.shape == (2, 17)
    with pytest.raises((RuntimeError, NotImplementedError)):
        maps.nonzero()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"post_process": "unbaised"}, "Did you mean 'unbiased'?"),
        ({"kernel": 10}, "expected an odd number"),
    ],
)
def test_impossible_settings_are_refused(arguments: dict, message: str) -> None:
    with pytest.raises(SdposeError, match="expected") as error:
        decode_heatmaps(torch.zeros(1, 1, 8, 8), **arguments)
    assert message in str(error.value)
