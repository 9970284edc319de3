"""From a person's box to the crop the network sees, and from heatmap cells back to the photograph.

Frames: *image* pixels (x right, y down, pixel centres at whole numbers), *crop* pixels (the network's
input) and *heatmap* cells. `scale` is the padded box size divided by `pixel_std`, the field's old habit,
kept because result files carry it. A size is always (width, height).
"""

from __future__ import annotations

import math
from typing import Any

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

PIXEL_STD = 200.0


def box_to_center_scale(
    boxes_xywh: ArrayLike, *, aspect_ratio: float, padding: float = 1.25, pixel_std: float = PIXEL_STD
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Centre and scale of boxes grown to `aspect_ratio` (width / height), then padded.

    boxes_xywh (..., 4): left, top, width, height in image pixels. Returns centers (..., 2) float32 in image
    pixels and scales (..., 2) float32 in units of `pixel_std` image pixels.
    """
    x, y, width, height = np.moveaxis(np.asarray(boxes_xywh, dtype=np.float64), -1, 0)
    centers = np.stack([x + width * 0.5, y + height * 0.5], axis=-1).astype(np.float32)
    sizes = fit_aspect_ratio(width, height, aspect_ratio).astype(np.float32)
    scales = sizes / np.float32(pixel_std) * np.float32(padding)
    return centers, scales


def are_boxes(boxes_xywh: NDArray[Any]) -> NDArray[np.bool_]:
    """Which rows (P, 4 or more) are boxes: finite, with a width and a height, and no thousand million pixels away."""
    sides = boxes_xywh[:, 2:4] > 0
    return np.asarray((np.abs(boxes_xywh) <= 1e9).all(axis=1) & sides.all(axis=1))


def clip_to_images(boxes_xywh: NDArray[Any], sizes_wh: NDArray[Any]) -> NDArray[np.float64]:
    """Annotated boxes (P, 4) as evaluations cut them to their images; sizes_wh (P, 2). Width or height <= 0: outside.

    The published code cuts at the last pixel but adds the full width to the left edge; kept, results depend on it.
    """
    x, y, width, height = np.asarray(boxes_xywh, dtype=np.float64).T
    image_width, image_height = np.asarray(sizes_wh).T
    left, top = np.maximum(0, x), np.maximum(0, y)
    right = np.minimum(image_width - 1, left + np.maximum(0, width))
    bottom = np.minimum(image_height - 1, top + np.maximum(0, height))
    return np.stack([left, top, right - left, bottom - top], axis=1)


def fit_aspect_ratio(width: ArrayLike, height: ArrayLike, aspect_ratio: float) -> NDArray[np.float64]:
    """The smallest sizes (..., 2) of the wanted width / height that contain (width, height)."""
    width, height = np.asarray(width, dtype=np.float64), np.asarray(height, dtype=np.float64)
    too_wide = width > aspect_ratio * height
    return np.stack(
        [np.where(too_wide, width, height * aspect_ratio), np.where(too_wide, width / aspect_ratio, height)],
        axis=-1,
    )


def affine_matrix(
    center: ArrayLike,
    scale: ArrayLike,
    rotation_deg: float,
    output_size_wh: tuple[int, int],
    *,
    inverse: bool = False,
) -> NDArray[np.float64]:
    """Matrix (2, 3) that maps image pixels to crop pixels; with `inverse`, crop pixels to image pixels.

    center (2,) image pixels, scale (2,). Only the width of the scale matters: width is mapped to width and
    the crop keeps the image's proportions. A positive rotation turns the box clockwise on the screen, hence
    the person counter-clockwise. A box without extent gives a matrix of zeros.
    """
    center_x, center_y = np.asarray(center, dtype=np.float32).tolist()
    half_width = float(np.float32(np.asarray(scale)[0]) * np.float32(PIXEL_STD)) * 0.5
    angle = math.pi * rotation_deg / 180
    up = (half_width * math.sin(angle), -half_width * math.cos(angle))
    width, height = output_size_wh
    source = _three_points((center_x, center_y), up)
    target = _three_points((width * 0.5, height * 0.5), (0.0, -width * 0.5))
    if inverse:
        source, target = target, source
    return np.asarray(cv2.getAffineTransform(source, target), dtype=np.float64)


def _three_points(origin: tuple[float, float], up: tuple[float, float]) -> NDArray[np.float32]:
    """The origin, the point `up` from it, and the one at a right angle to both: (3, 2).

    Each step is rounded to float32, as in the published code; plain numbers, since this runs once a crop.
    """
    x, y = origin
    tip_x, tip_y = float(np.float32(x + up[0])), float(np.float32(y + up[1]))
    across_x, across_y = float(np.float32(x - tip_x)), float(np.float32(y - tip_y))
    return np.array([(x, y), (tip_x, tip_y), (tip_x - across_y, tip_y + across_x)], dtype=np.float32)


def apply_affine(points_xy: ArrayLike, matrix: NDArray[np.float64]) -> NDArray[Any]:
    """Points (..., 2) moved by a (2, 3) matrix; float64."""
    return np.asarray(points_xy, dtype=np.float64) @ matrix[:, :2].T + matrix[:, 2]


def heatmap_to_image(
    points_xy: ArrayLike, centers: ArrayLike, scales: ArrayLike, heatmap_size_wh: tuple[int, int]
) -> NDArray[np.float32]:
    """Heatmap cells back to image pixels, for crops taken without rotation.

    points_xy (..., K, 2) heatmap cells, centers (..., 2) and scales (..., 2) of the same leading shape.
    Returns float32 of the shape of `points_xy`. A crop's edge is the heatmap's edge: no half-pixel offset,
    as in training.
    """
    points = np.asarray(points_xy, dtype=np.float32)
    sizes = np.asarray(scales, dtype=np.float32)[..., None, :] * np.float32(PIXEL_STD)  # (..., 1, 2)
    cells = (sizes.astype(np.float64) / np.asarray(heatmap_size_wh)).astype(np.float32)
    corner = np.asarray(centers, dtype=np.float32)[..., None, :]
    return points * cells + corner - sizes * np.float32(0.5)
