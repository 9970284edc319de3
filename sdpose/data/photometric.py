"""Random colours: the `PhotometricDistortion` of classic configs, applied to the crop.

mmpose distorts the whole photograph before cropping. Here the crop is distorted, which is what the network
sees and a tenth of the work; the difference is the black surroundings of the photograph, which take part in a
brightness shift.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class PhotometricDistortion:
    """Ranges of the colour changes, each of which happens to half of the samples."""

    brightness_delta: float = 32.0
    """Largest shift of all channels, in grey levels."""
    contrast_range: tuple[float, float] = (0.5, 1.5)
    """Factor on all channels."""
    saturation_range: tuple[float, float] = (0.5, 1.5)
    """Factor on the saturation."""
    hue_delta: int = 18
    """Shift of the hue in steps of 2 degrees: from -hue_delta up to hue_delta - 1."""


def distort(
    crop: NDArray[np.uint8], settings: PhotometricDistortion, rng: np.random.Generator
) -> NDArray[np.uint8]:
    """`crop` (H, W, 3) uint8 RGB with other colours; values are cut off at 0 and 255 after each step.

    Brightness; contrast, before or after the colour steps; saturation, hue, both or neither, a quarter each.
    """
    if rng.integers(2):
        crop = _scaled(crop, 1.0, rng.uniform(-settings.brightness_delta, settings.brightness_delta))
    contrast_first = bool(rng.integers(2))
    if contrast_first:
        crop = _contrast(crop, settings, rng)
    colour_steps = rng.integers(4)
    if colour_steps:
        # mmpose hands its RGB image to the BGR conversion; the numbers are kept, saturation and value are the
        # same.
        hsv = np.asarray(cv2.cvtColor(crop, cv2.COLOR_BGR2HSV), np.uint8)
        if colour_steps in (1, 3):
            hsv[..., 1] = _scaled(hsv[..., 1], rng.uniform(*settings.saturation_range), 0.0)
        if colour_steps in (2, 3):
            shift = int(rng.integers(-settings.hue_delta, settings.hue_delta)) if settings.hue_delta else 0
            hsv[..., 0] = (hsv[..., 0].astype(np.int16) + shift) % 180
        crop = np.asarray(cv2.cvtColor(hsv, cv2.COLOR_HSV2BGR), np.uint8)
    if not contrast_first:
        crop = _contrast(crop, settings, rng)
    return crop


def _contrast(
    crop: NDArray[np.uint8], settings: PhotometricDistortion, rng: np.random.Generator
) -> NDArray[np.uint8]:
    return _scaled(crop, rng.uniform(*settings.contrast_range), 0.0) if rng.integers(2) else crop


def _scaled(values: NDArray[np.uint8], factor: float, offset: float) -> NDArray[np.uint8]:
    """values * factor + offset in float32, cut off at 0 and 255 and rounded down."""
    scaled = np.float32(factor) * np.arange(256, dtype=np.float32) + np.float32(offset)
    return scaled.clip(0, 255).astype(np.uint8)[values]
