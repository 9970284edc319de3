"""Object keypoint similarity (OKS) between predicted poses, and the two ways of dropping double detections.

Legend: P poses of one image, K joints. Frame: image pixels.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray


def oks_matrix(keypoints: ArrayLike, areas: ArrayLike, sigmas: Sequence[float]) -> NDArray[np.float32]:
    """How alike each pair of poses is, 0 to 1: (P, P).

    keypoints (P, K, 2 or more): x, y first; what follows is not read. areas (P,) px^2, of which a pair takes
    the mean. All joints count, whatever their scores.
    """
    points = np.asarray(keypoints)[..., :2]
    area = np.asarray(areas, dtype=np.float64)
    variances = (2 * np.asarray(sigmas, dtype=np.float64)) ** 2
    squared = np.square(points[:, None] - points[None]).sum(3)  # (P, P, K)
    scale = (area[:, None] + area[None]) / 2 + np.spacing(1)  # (P, P)
    return np.exp(-squared / variances / scale[..., None] / 2).mean(2).astype(np.float32)


def oks_to_truth(
    predicted: ArrayLike, truth: ArrayLike, visible: ArrayLike, areas: ArrayLike, sigmas: Sequence[float]
) -> NDArray[np.float64]:
    """OKS of each prediction with each annotated person, as COCO's evaluation defines it: (P, T).

    predicted (P, K, 2 or more) and truth (T, K, 2 or more) image pixels; visible (T, K), joints > 0 count;
    areas (T,) px^2 of the annotations. A person without a visible joint gives 0.
    """
    similar = joint_similarity(
        np.asarray(predicted)[:, None], np.asarray(truth)[None], np.asarray(areas)[None], sigmas
    )  # (P, T, K)
    labelled = np.asarray(visible) > 0  # (T, K)
    return (similar * labelled).sum(2) / np.maximum(labelled.sum(1), 1)


def joint_similarity(
    predicted: ArrayLike, truth: ArrayLike, areas: ArrayLike, sigmas: Sequence[float]
) -> NDArray[np.float64]:
    """How near each predicted joint is to the true one, 0 to 1, whose mean over labelled joints is OKS: (..., K).

    predicted and truth (..., K, 2 or more) image pixels; areas (...) px^2 of the annotated persons.
    """
    predicted_xy = np.asarray(predicted, dtype=np.float64)[..., :2]
    truth_xy = np.asarray(truth, dtype=np.float64)[..., :2]
    squared = np.square(predicted_xy - truth_xy).sum(-1)
    variances = (2 * np.asarray(sigmas, dtype=np.float64)) ** 2
    scale = np.asarray(areas, dtype=np.float64) + np.spacing(1)
    return np.asarray(np.exp(-squared / variances / scale[..., None] / 2))


def oks_nms(
    keypoints: ArrayLike, areas: ArrayLike, scores: ArrayLike, sigmas: Sequence[float], threshold: float
) -> NDArray[np.int64]:
    """Indices of the poses to keep, best first: each drops all lower ones with an OKS above `threshold`."""
    order = _descending(np.asarray(scores))
    alike = oks_matrix(keypoints, areas, sigmas)[np.ix_(order, order)] > np.float32(threshold)
    alike = np.triu(alike, k=1)
    if not alike.any():
        return order
    kept = np.ones(len(order), bool)
    for i in np.flatnonzero(alike.any(1)):
        if kept[i]:
            kept &= ~alike[i]
    return order[kept]


def soft_oks_nms(
    keypoints: ArrayLike,
    areas: ArrayLike,
    scores: ArrayLike,
    sigmas: Sequence[float],
    threshold: float,
    max_poses: int = 20,
) -> NDArray[np.int64]:
    """Indices of at most `max_poses` poses, best first.

    Each lowers the scores of those like it by exp(-OKS^2 / threshold).
    """
    oks = oks_matrix(keypoints, areas, sigmas)
    left = _descending(np.asarray(scores))
    remaining = np.asarray(scores, dtype=np.float64)[left]
    kept: list[int] = []
    while len(left) and len(kept) < max_poses:
        best, left = left[0], left[1:]
        kept.append(int(best))
        remaining = remaining[1:] * np.exp(-(oks[best, left] ** 2) / threshold)
        order = _descending(remaining)
        left, remaining = left[order], remaining[order]
    return np.array(kept, dtype=np.int64)


def _descending(scores: NDArray) -> NDArray[np.int64]:
    """Indices from the highest score to the lowest; of equal ones the last comes first, as published."""
    return np.argsort(scores, kind="stable")[::-1].astype(np.int64)
