"""OKS of every prediction with every annotated person of its image, all images at once.

faster-coco-eval computes it image by image and person by person in Python, which at COCO's size is more than half of an
evaluation. Here it is one pass over all pairs, with the same operations in the same order, so that the numbers are the
same to the last bit.

Legend: G groups (an image and a category), T annotated persons, D predictions, P pairs of them, K joints.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sdpose.evaluation.scene import MAX_DETECTIONS, place_in_group

Group = tuple[int, int]
# Pairs at a time: what is computed stays below 100 MB, whatever the size of the data set.
_PAIRS = 100_000


def oks_table(
    truth: Sequence[Mapping[str, Any]], found: Sequence[Mapping[str, Any]], sigmas: Sequence[float]
) -> dict[Group, NDArray[np.float64]]:
    """(image_id, category_id) -> (D, T), the best `MAX_DETECTIONS` predictions first, persons as they are listed.

    truth: annotations, found: results, both as `coco_input` gives them. Groups without a person or without a
    prediction are left out.
    """
    groups: dict[Group, int] = {}
    truth_group = np.array([groups.setdefault(_group(person), len(groups)) for person in truth], np.int64)
    found_group = np.array([groups.get(_group(result), -1) for result in found], np.int64)
    scores = np.array([result["score"] for result in found], np.float64)
    by_group = np.argsort(truth_group, kind="stable")
    best_first = np.lexsort((-scores, found_group))  # stable: of equal scores the first comes first
    best_first = best_first[found_group[best_first] >= 0]
    best_first = best_first[place_in_group(found_group[best_first]) < MAX_DETECTIONS]

    num_truth = np.bincount(truth_group, minlength=len(groups))
    num_found = np.bincount(found_group[best_first], minlength=len(groups))
    first_truth, first_found = (np.cumsum(counts) - counts for counts in (num_truth, num_found))
    ends = np.cumsum(num_truth * num_found)
    persons = _Persons([truth[i] for i in by_group], len(sigmas))
    joints = np.array([found[i]["keypoints"] for i in best_first], np.float64)
    joints = joints.reshape(len(best_first), len(sigmas), 3)[..., :2]
    oks = np.zeros(int(ends[-1]) if len(ends) else 0)
    for start in range(0, len(oks), _PAIRS):
        pair = np.arange(start, min(start + _PAIRS, len(oks)))
        group = np.searchsorted(ends, pair, side="right")
        within = pair - (ends - num_truth * num_found)[group]
        row, column = np.divmod(within, num_truth[group])
        oks[pair] = persons.oks(joints[first_found[group] + row], first_truth[group] + column, sigmas)
    return {
        group: oks[ends[i] - num_found[i] * num_truth[i] : ends[i]].reshape(num_found[i], num_truth[i])
        for group, i in groups.items()
        if num_found[i]
    }


class _Persons:
    """Annotated persons as arrays."""

    def __init__(self, annotations: Sequence[Mapping[str, Any]], num_keypoints: int) -> None:
        num = len(annotations)
        joints = np.array([person["keypoints"] for person in annotations], np.float64)
        joints = joints.reshape(num, num_keypoints, 3)
        self.joints = joints[..., :2]  # (T, K, 2)
        self.labelled = joints[..., 2] > 0  # (T, K)
        self.areas = np.array([person["area"] for person in annotations], np.float64)
        box = np.array([person["bbox"] for person in annotations], np.float64).reshape(num, 4)
        # A person without a joint stands for anything in twice its box around it.
        self.low, self.high = box[:, :2] - box[:, 2:], box[:, :2] + box[:, 2:] * 2  # (T, 2)

    def oks(
        self, joints: NDArray[np.float64], rows: NDArray[np.int64], sigmas: Sequence[float]
    ) -> NDArray[np.float64]:
        """Of P pairs: predicted joints (P, K, 2) with the persons in `rows` (P,)."""
        labelled = self.labelled[rows]  # (P, K)
        counts = labelled.sum(1)  # (P,)
        offset = joints - self.joints[rows]
        bare = counts == 0
        if bare.any():
            low, high = self.low[rows[bare], None], self.high[rows[bare], None]
            offset[bare] = np.maximum(0, low - joints[bare]) + np.maximum(0, joints[bare] - high)
            labelled[bare], counts[bare] = True, labelled.shape[1]
        squared = offset[..., 0] ** 2 + offset[..., 1] ** 2
        variances = (np.asarray(sigmas, np.float64) * 2) ** 2
        similar = np.exp(-(squared / variances / (self.areas[rows] + np.spacing(1))[:, None] / 2))
        oks = np.zeros(len(rows))
        # Pairs with equally many joints together: zeros between the terms would change the order of a sum.
        for count in np.unique(counts):
            alike = counts == count
            oks[alike] = similar[alike][labelled[alike]].reshape(-1, count).sum(1) / count
        return oks


def _group(entry: Mapping[str, Any]) -> Group:
    return entry["image_id"], entry["category_id"]
