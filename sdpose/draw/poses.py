"""Skeletons drawn into an image."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from sdpose.skeleton import Skeleton

Image = NDArray[np.uint8]
Color = tuple[int, int, int]

# Told apart with every kind of colour vision (Okabe and Ito), BGR.
LEFT: Color = (0, 159, 230)
RIGHT: Color = (233, 180, 86)
CENTRE: Color = (230, 230, 230)
_OUTLINE: Color = (30, 30, 30)

_SURE = 0.5
# cv2 draws between pixels when coordinates come in 1/16.
_FRACTION_BITS = 4


def draw_poses(
    image_bgr: Image, keypoints: NDArray[Any], skeleton: Skeleton, *, score_threshold: float = 0.2
) -> Image:
    """A copy of the image with the poses in it.

    image_bgr (H, W, 3) uint8. keypoints (P, K, 3): x, y in pixels of this image, score. The person's left is
    orange, its right blue, the middle grey. A joint with a score of at most `score_threshold` is left out
    together with its limbs; one below 0.5 is drawn hollow and its limbs thin. Lines grow with the person.
    """
    canvas = np.ascontiguousarray(image_bgr).copy()
    sides = _sides(skeleton)
    for joints in np.asarray(keypoints, dtype=np.float64).reshape(-1, skeleton.num_keypoints, 3):
        shown = (joints[:, 2] > score_threshold) & _drawable(joints, canvas)
        if shown.any():
            _draw_person(canvas, joints, shown, skeleton, sides)
    return canvas


def truth_scores(keypoints: NDArray[Any]) -> NDArray[np.float64]:
    """Annotated keypoints (..., K, 3) with their visibility flag as a score.

    Seen (2) is 1, labelled but hidden (1) is 0.4, not labelled (0) is 0.
    """
    scored = np.array(keypoints, dtype=np.float64)
    flags = scored[..., 2]
    scored[..., 2] = np.select([flags >= 2, flags >= 1], [1.0, 0.4], 0.0)
    return scored


def _draw_person(
    canvas: Image,
    joints: NDArray[np.float64],
    shown: NDArray[np.bool_],
    skeleton: Skeleton,
    sides: list[Color],
) -> None:
    thickness = _thickness(joints[shown])
    sure = joints[:, 2] >= _SURE
    limbs = [(a, b) for a, b in skeleton.limbs if shown[a] and shown[b]]
    for outline in (True, False):
        for a, b in limbs:
            width = thickness if sure[a] and sure[b] else max(1, thickness // 2)
            color = _OUTLINE if outline else (sides[a] if sides[a] == sides[b] else CENTRE)
            _line(canvas, joints[a], joints[b], color, width + 2 if outline else width)
    for k in np.flatnonzero(shown):
        _joint(canvas, joints[k], sides[k], radius=0.6 + 0.9 * thickness, filled=bool(sure[k]))


def _thickness(joints: NDArray[np.float64]) -> int:
    """Line width in pixels for a person with these joints: 1 for a far one, 3 at 200 px, 8 at most."""
    extent = float(np.ptp(joints[:, :2], axis=0).max())
    return int(np.clip(round(extent / 70), 1, 8))


def _line(canvas: Image, start: NDArray, end: NDArray, color: Color, width: int) -> None:
    cv2.line(canvas, _fixed(start), _fixed(end), color, width, cv2.LINE_AA, _FRACTION_BITS)


def _joint(canvas: Image, joint: NDArray, color: Color, *, radius: float, filled: bool) -> None:
    centre, scaled = _fixed(joint), round((radius + 1) * 2**_FRACTION_BITS)
    cv2.circle(canvas, centre, scaled, _OUTLINE, -1, cv2.LINE_AA, _FRACTION_BITS)
    scaled = round(radius * 2**_FRACTION_BITS)
    cv2.circle(canvas, centre, scaled, color, -1 if filled else 1, cv2.LINE_AA, _FRACTION_BITS)


def _fixed(joint: NDArray) -> tuple[int, int]:
    x, y = np.rint(joint[:2] * 2**_FRACTION_BITS).astype(int).tolist()
    return x, y


def _drawable(joints: NDArray[np.float64], canvas: Image) -> NDArray[np.bool_]:
    """Which joints have a finite place within one image size of the image: cv2 counts in 32 bits."""
    size = max(canvas.shape[:2])
    with np.errstate(invalid="ignore"):
        return np.asarray((np.abs(joints[:, :2]) < 2 * size).all(1))


def _sides(skeleton: Skeleton) -> list[Color]:
    """The colour of each joint: by its name, or else by its place in its mirror pair."""
    colors = [CENTRE] * skeleton.num_keypoints
    for pair in skeleton.flip_pairs:
        first, second = pair
        if "right" in skeleton.keypoints[first].lower() or "left" in skeleton.keypoints[second].lower():
            first, second = second, first
        colors[first], colors[second] = LEFT, RIGHT
    return colors
