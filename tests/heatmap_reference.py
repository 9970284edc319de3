"""Heatmap codecs one joint at a time with OpenCV and NumPy, straight from the specification."""

from __future__ import annotations

import cv2
import numpy as np


def decode(heatmaps: np.ndarray, post_process: str | None, kernel: int = 11) -> tuple[np.ndarray, np.ndarray]:
    """(N, K, H, W) float32 -> positions (N, K, 2) float32 in heatmap cells and scores (N, K)."""
    n, k, height, width = heatmaps.shape
    coords = np.full((n, k, 2), -1, np.float32)
    scores = heatmaps.reshape(n, k, -1).max(2)
    for i in range(n):
        for j in range(k):
            index = int(heatmaps[i, j].argmax())
            if scores[i, j] > 0:
                coords[i, j] = index % width, index // width
            if post_process == "unbiased":
                log = np.log(np.maximum(modulate(heatmaps[i, j], kernel), 1e-10))
                coords[i, j] = newton(log, coords[i, j])
            elif post_process == "default":
                px, py = int(coords[i, j, 0]), int(coords[i, j, 1])
                h = heatmaps[i, j]
                if 1 < px < width - 1 and 1 < py < height - 1:
                    slope = np.array([h[py, px + 1] - h[py, px - 1], h[py + 1, px] - h[py - 1, px]])
                    coords[i, j] += np.sign(slope) * 0.25
    return coords, scores


def modulate(heatmap: np.ndarray, kernel: int) -> np.ndarray:
    """One map blurred with zeros around it and scaled back to its own maximum."""
    border = (kernel - 1) // 2
    padded = np.pad(heatmap, border)
    blurred = cv2.GaussianBlur(padded, (kernel, kernel), 0)
    if border:
        blurred = blurred[border:-border, border:-border]
    with np.errstate(invalid="ignore", divide="ignore"):
        return blurred * (heatmap.max() / blurred.max())


def newton(h: np.ndarray, coord: np.ndarray) -> np.ndarray:
    """One Newton step of the log map `h` (H, W) from the whole cell `coord`."""
    height, width = h.shape
    px, py = int(coord[0]), int(coord[1])
    if not (1 < px < width - 2 and 1 < py < height - 2):
        return coord
    dx = 0.5 * float(h[py, px + 1] - h[py, px - 1])
    dy = 0.5 * float(h[py + 1, px] - h[py - 1, px])
    dxx = 0.25 * float(h[py, px + 2] - 2 * h[py, px] + h[py, px - 2])
    dyy = 0.25 * float(h[py + 2, px] - 2 * h[py, px] + h[py - 2, px])
    dxy = 0.25 * float(h[py + 1, px + 1] - h[py - 1, px + 1] - h[py + 1, px - 1] + h[py - 1, px - 1])
    if dxx * dyy - dxy**2 == 0:
        return coord
    hessian = np.array([[dxx, dxy], [dxy, dyy]])
    return coord - (np.linalg.inv(hessian) @ np.array([dx, dy])).astype(np.float32)


def encode(
    joints: np.ndarray,
    visible: np.ndarray,
    image_size_wh: tuple[int, int],
    heatmap_size_wh: tuple[int, int],
    sigma: float,
    unbiased: bool,
) -> tuple[np.ndarray, np.ndarray]:
    """joints (K, 2) crop pixels, visible (K,) -> target (K, H, W), weight (K, 1)."""
    width, height = heatmap_size_wh
    target = np.zeros((len(joints), height, width), np.float32)
    weight = visible.astype(np.float32)[:, None].copy()
    stride = np.array(image_size_wh) / np.array(heatmap_size_wh)
    reach = 3 * sigma
    for j, joint in enumerate(joints):
        mu = joint / stride
        if not unbiased:
            mu = np.array([int(mu[0] + 0.5), int(mu[1] + 0.5)])
        upper_left, bottom_right = mu - reach, mu + reach + 1
        if (upper_left >= heatmap_size_wh).any() or (bottom_right < 0).any():
            weight[j] = 0
        if weight[j] <= 0.5:
            continue
        for y in range(height):
            for x in range(width):
                near = max(abs(x - mu[0]), abs(y - mu[1])) <= reach
                if unbiased or near:
                    squared = (x - mu[0]) ** 2 + (y - mu[1]) ** 2
                    target[j, y, x] = np.exp(-squared / (2 * sigma**2))
    return target, weight
