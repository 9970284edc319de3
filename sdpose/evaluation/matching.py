"""Which annotated person each predicted one is taken for: COCO's greedy matching, for all images at once.

The rule (COCO keypoint evaluation, `cocoeval.py`): the predictions of an image come in order of their score. Each takes
the annotated person with the highest OKS among those not taken and at or above the threshold, first among those that
count, then among those to be ignored. A crowd region can be taken by many.

Legend: I images, T annotated persons, D predicted ones, A sets of ignored persons (size ranges), H OKS thresholds.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from sdpose.evaluation.scene import Scene

NOBODY = -1


def match_persons(
    scene: Scene, thresholds: NDArray[np.float64], ignored: NDArray[np.bool_]
) -> NDArray[np.int32]:
    """Row of the annotated person that each prediction is matched with, or NOBODY: (A, H, D).

    thresholds (H,); ignored (A, T): persons that are matched last and then not counted.
    """
    num_groups, num_thresholds = len(ignored), len(thresholds)
    matched = np.full((num_groups, num_thresholds, len(scene.image)), NOBODY, np.int32)
    first_truth = np.searchsorted(scene.truth_image, np.arange(scene.num_images))
    first_found = np.searchsorted(scene.image, np.arange(scene.num_images))
    # As in COCO's code: at a threshold of 1 rounding shall not decide.
    lowest = np.minimum(thresholds, 1 - 1e-10)[:, None]
    for images, oks in same_shapes(scene):
        num_images, num_found, num_truth = oks.shape
        persons = first_truth[images][:, None] + np.arange(num_truth)  # (I, T)
        counts = ~ignored[:, persons].swapaxes(0, 1)[:, :, None]  # (I, A, 1, T)
        crowd = scene.crowd[persons][:, None, None]  # (I, 1, 1, T)
        free = np.ones((num_images, num_groups, num_thresholds, num_truth), bool)
        for place in range(num_found):
            similar = oks[:, place, None, None]  # (I, 1, 1, T)
            within = free & (similar >= lowest)
            if not within.any():
                continue
            preferred = within & counts
            candidates = np.where(preferred.any(-1, keepdims=True), preferred, within)
            chosen = _last_largest(np.where(candidates, similar, -1.0))  # (I, A, H)
            hit = candidates.any(-1)
            at = np.nonzero(hit)
            image, group, threshold = at
            person = chosen[at]
            free[image, group, threshold, person] = crowd[image, 0, 0, person]
            row = first_found[images[image]] + place
            matched[group, threshold, row] = persons[image, person]
    return matched


def same_shapes(scene: Scene) -> list[tuple[NDArray[np.int64], NDArray[np.float64]]]:
    """Images with equally many annotated and predicted persons: their rows and their OKS, (I, D, T)."""
    by_shape: dict[tuple[int, ...], list[int]] = {}
    for row, oks in enumerate(scene.oks):
        if oks is not None:
            by_shape.setdefault(oks.shape, []).append(row)
    return [
        (np.array(rows), np.stack([oks for row in rows if (oks := scene.oks[row]) is not None]))
        for rows in by_shape.values()
    ]


def _last_largest(values: NDArray[np.float64]) -> NDArray[np.intp]:
    """Index of the largest value along the last axis; of equal ones the last, as in COCO's code."""
    return np.asarray(values.shape[-1] - 1 - values[..., ::-1].argmax(-1))
