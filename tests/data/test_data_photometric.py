"""Random colours of the crop."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import pytest

from sdpose.data.photometric import PhotometricDistortion, distort

CROP = np.random.default_rng(0).integers(0, 256, (40, 30, 3), dtype=np.uint8)


class Scripted:
    """A generator whose draws are written down; `uniform` and the hue take a place in their range, 0 to 1."""

    def __init__(self, integers: list[int], uniform: list[float]) -> None:
        self._integers, self._uniform = integers, uniform

    def integers(self, low: int, high: int | None = None) -> int:
        return self._integers.pop(0)

    def uniform(self, low: float, high: float) -> float:
        return low + (high - low) * self._uniform.pop(0)

    def is_used_up(self) -> bool:
        return not self._integers and not self._uniform


def distorted(integers: list[int], uniform: list[float]) -> np.ndarray:
    rng: Any = Scripted(integers, uniform)
    result = distort(CROP, PhotometricDistortion(), rng)
    assert rng.is_used_up()
    assert result.dtype == np.uint8
    assert result.shape == CROP.shape
    return result


def scaled(values: np.ndarray, factor: float, offset: float = 0.0) -> np.ndarray:
    return (values.astype(np.float32) * np.float32(factor) + np.float32(offset)).clip(0, 255).astype(np.uint8)


def hsv(crop: np.ndarray) -> np.ndarray:
    return cv2.cvtColor(crop, cv2.COLOR_BGR2HSV)


def test_nothing_drawn_is_nothing_changed() -> None:
    np.testing.assert_array_equal(distorted([0, 0, 0, 0], []), CROP)


def test_brightness_is_a_shift_within_its_range() -> None:
    np.testing.assert_array_equal(distorted([1, 0, 0, 0], [0.0]), scaled(CROP, 1, -32))
    np.testing.assert_array_equal(distorted([1, 0, 0, 0], [1.0]), scaled(CROP, 1, 32))


@pytest.mark.parametrize("integers", [[0, 1, 1, 0], [0, 0, 0, 1]], ids=["first", "last"])
def test_contrast_is_a_factor_before_or_after_the_colours(integers: list[int]) -> None:
    np.testing.assert_array_equal(distorted(integers, [0.25]), scaled(CROP, 0.75))


def test_brightness_comes_before_contrast() -> None:
    np.testing.assert_array_equal(distorted([1, 1, 1, 0], [1.0, 1.0]), scaled(scaled(CROP, 1, 32), 1.5))


def test_saturation_leaves_hue_and_value_alone() -> None:
    expected = hsv(CROP)
    expected[..., 1] = scaled(expected[..., 1], 0.5)
    np.testing.assert_array_equal(distorted([0, 0, 1, 0], [0.0]), cv2.cvtColor(expected, cv2.COLOR_HSV2BGR))


@pytest.mark.parametrize("shift", [-18, 17])
def test_hue_wraps_around(shift: int) -> None:
    expected = hsv(CROP)
    expected[..., 0] = (expected[..., 0].astype(int) + shift) % 180
    np.testing.assert_array_equal(
        distorted([0, 0, 2, shift, 0], []), cv2.cvtColor(expected, cv2.COLOR_HSV2BGR)
    )


def test_each_change_happens_to_half_of_the_samples() -> None:
    grey = np.full((2, 2, 3), 100, np.uint8)  # neither saturation nor hue changes grey
    only_brightness = PhotometricDistortion(contrast_range=(1, 1), saturation_range=(1, 1), hue_delta=0)
    values = [distort(grey, only_brightness, np.random.default_rng(i))[0, 0, 0] for i in range(2000)]
    assert np.mean(np.array(values) == 100) == pytest.approx(0.5 + 0.5 / 64, abs=0.03)
    assert (min(values), max(values)) == (68, 131)
