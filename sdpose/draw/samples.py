"""Training samples as the model sees them: the crop with its joints, and the targets drawn over it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from sdpose.draw.grid import grid, side_by_side
from sdpose.draw.poses import Image, draw_poses
from sdpose.skeleton import Skeleton

_LEGEND = (
    "left: the crop, orange the person's left, blue the right   right: the targets over it, bright is high"
)


def sample_sheet(
    crops_rgb: NDArray[np.uint8],
    joints: NDArray[Any],
    weights: NDArray[Any],
    targets: NDArray[Any],
    skeleton: Skeleton,
    *,
    titles: Sequence[str],
    heading: str,
    columns: int = 4,
    crop_height: int = 256,
) -> Image:
    """One sheet of N samples.

    crops_rgb (N, H, W, 3) uint8; joints (N, K, 2) crop pixels; weights (N, K), joints above 0 are drawn; targets (N, K,
    h, w) heatmaps with values of 0 to 1. Crops are scaled to `crop_height` pixels.
    """
    scale = crop_height / crops_rgb.shape[1]
    size_wh = (round(crops_rgb.shape[2] * scale), crop_height)
    tiles = []
    for crop, points, weight, target, title in zip(crops_rgb, joints, weights, targets, titles, strict=True):
        bgr = np.asarray(cv2.resize(crop[..., ::-1], size_wh, interpolation=cv2.INTER_LINEAR), np.uint8)
        # Pixel centres are at whole numbers: half a pixel is half a scaled one after scaling.
        placed = np.concatenate([(points + 0.5) * scale - 0.5, (weight > 0)[:, None]], axis=1)
        tiles.append(side_by_side([draw_poses(bgr, placed[None], skeleton), _glowing(bgr, target)], title))
    return grid(tiles, heading, _LEGEND, columns=max(1, min(columns, len(tiles))), empty_size_wh=size_wh)


def _glowing(bgr: Image, target: NDArray[Any]) -> Image:
    """The crop, darkened, with the highest value of all targets (K, h, w) as light."""
    highest = target.max(0, initial=0.0).astype(np.float32)
    light = cv2.resize(highest, (bgr.shape[1], bgr.shape[0]), interpolation=cv2.INTER_LINEAR)
    levels = np.asarray(np.clip(light, 0, 1) * 255, np.uint8)
    coloured = cv2.applyColorMap(levels, cv2.COLORMAP_HOT)
    return np.asarray(cv2.addWeighted(bgr, 0.45, coloured, 0.75, 0), np.uint8)
