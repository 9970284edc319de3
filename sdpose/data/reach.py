"""Which part of a photograph the crops of a person can show, whatever the augmentation draws.

Legend: P persons, K joints, I images.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from sdpose.data.augment import HALF_BODY_PADDING, Augmentation
from sdpose.data.persons import PersonTable
from sdpose.geometry import PIXEL_STD, fit_aspect_ratio
from sdpose.skeleton import Skeleton

# What a crop is made of (crop.shown_part) begins 2 pixels before its corners and ends 3 after; the rest is for float32.
_MARGIN = 5


def reach(
    persons: PersonTable,
    centers: NDArray[np.float32],
    scales: NDArray[np.float32],
    *,
    aspect_ratio: float,
    augmentation: Augmentation | None,
    skeleton: Skeleton,
) -> NDArray[np.float64]:
    """Left, top, right, bottom (P, 4) in image pixels, not cut off at the image's edge.

    centers (P, 2) and scales (P, 2) as they are before the augmentation. Mirrored crops show the same part of the
    photograph as plain ones.
    """
    middles, widths = centers.astype(np.float64), scales[:, 0].astype(np.float64) * PIXEL_STD
    if augmentation is None:
        return _around(middles, widths, aspect_ratio, 0.0)
    turn = min(math.radians(2 * augmentation.rot_factor), math.pi / 2) if augmentation.rot_prob > 0 else 0.0
    largest = 1 + augmentation.scale_factor
    rectangles = _around(middles, widths * largest, aspect_ratio, turn)
    if augmentation.shift_prob > 0:
        shifts = scales.astype(np.float64) * PIXEL_STD * augmentation.shift_factor
        rectangles += np.concatenate([-shifts, shifts], axis=1)
    if augmentation.half_body_prob > 0:
        labelled = persons.visible > 0
        many = labelled.sum(1) > augmentation.half_body_num_joints
        for half in _halves(skeleton):
            chosen = labelled & np.isin(np.arange(skeleton.num_keypoints), half)
            rows = np.flatnonzero(many & (chosen.sum(1) >= 2))
            middles, sizes = _enclosing(persons.joints[rows], chosen[rows], aspect_ratio)
            also = _around(middles, sizes * largest, aspect_ratio, turn)
            rectangles[rows, :2] = np.minimum(rectangles[rows, :2], also[:, :2])
            rectangles[rows, 2:] = np.maximum(rectangles[rows, 2:], also[:, 2:])
    return rectangles


def image_rectangles(
    rectangles: NDArray[np.float64], image_index: NDArray[np.int32], image_sizes_wh: NDArray[np.int32]
) -> NDArray[np.int32]:
    """For each image the left, top, right, bottom (I, 4) of the whole pixels that its persons' rectangles need.

    Empty, (0, 0, 0, 0), for an image without persons, or whose crops all lie outside.
    """
    num_images = len(image_sizes_wh)
    low = np.full((num_images, 2), np.inf)
    high = np.full((num_images, 2), -np.inf)
    np.minimum.at(low, image_index, rectangles[:, :2] - _MARGIN)
    np.maximum.at(high, image_index, rectangles[:, 2:] + _MARGIN)
    low = np.clip(np.floor(low), 0, image_sizes_wh)
    high = np.clip(np.ceil(high), 0, image_sizes_wh)
    whole = np.concatenate([low, high], axis=1).astype(np.int32)
    whole[(high <= low).any(1)] = 0
    return whole


def _halves(skeleton: Skeleton) -> list[list[int]]:
    """The joints of the upper and of the lower body, of a plain and of a mirrored person."""
    halves = [set(skeleton.upper_body), set(skeleton.lower_body)]
    halves += [{skeleton.flip_index[joint] for joint in half} for half in halves]
    return [sorted(half) for half in dict.fromkeys(map(frozenset, halves))]


def _enclosing(
    joints: NDArray[np.float32], chosen: NDArray[np.bool_], aspect_ratio: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Centres (P, 2) and widths (P,) of the half-body crops around the chosen (P, K) joints (P, K, 2)."""
    mask = chosen[..., None]
    middles = np.where(mask, joints, 0).sum(1, dtype=np.float64) / chosen.sum(1)[:, None]
    low, high = np.where(mask, joints, np.inf).min(1), np.where(mask, joints, -np.inf).max(1)
    extent = (high - low).astype(np.float64)
    sizes = fit_aspect_ratio(extent[:, 0], extent[:, 1], aspect_ratio)
    return middles, sizes[:, 0] * HALF_BODY_PADDING


def _around(
    centers: NDArray[np.float64], widths: NDArray[np.float64], aspect_ratio: float, turn: float
) -> NDArray[np.float64]:
    """The rectangles that hold crops of these widths, turned by any angle up to `turn` (radians, at most 90°)."""
    heights = widths / aspect_ratio
    # |w cos t| + |h sin t| grows until tan t = h / w.
    across = min(turn, math.atan2(1, aspect_ratio))
    down = min(turn, math.atan2(aspect_ratio, 1))
    half = 0.5 * np.stack(
        [
            widths * math.cos(across) + heights * math.sin(across),
            widths * math.sin(down) + heights * math.cos(down),
        ],
        axis=1,
    )
    return np.concatenate([centers - half, centers + half], axis=1)
