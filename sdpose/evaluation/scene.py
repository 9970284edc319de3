"""Annotated and predicted persons of all images, flat, in the order in which COCO's evaluation looks at them.

Legend: I images, T annotated persons, D predicted ones, K joints.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

MAX_DETECTIONS = 20
"""Per image; COCO's keypoint evaluation looks at no more."""


@dataclass(frozen=True)
class Scene:
    """Everything that matching needs. Persons come image after image, predicted ones of an image best first.

    image_ids (I,) ascending. Annotated: truth_image (T,) rows of image_ids, truth_joints (T, K, 3) x, y in image
    pixels and visibility, areas (T,) px^2; crowd (T,) may be matched many times; unlabelled (T,) without a joint.
    Predicted: image (D,), joints (D, K, 3) with the joint's score last, scores (D,), result (D,) row of the list of
    results. oks: for each image (D_i, T_i), or None where one of the two is empty.
    """

    image_ids: NDArray[np.int64]
    truth_image: NDArray[np.int64]
    truth_joints: NDArray[np.float64]
    areas: NDArray[np.float64]
    crowd: NDArray[np.bool_]
    unlabelled: NDArray[np.bool_]
    image: NDArray[np.int64]
    joints: NDArray[np.float64]
    scores: NDArray[np.float64]
    result: NDArray[np.int64]
    oks: Sequence[NDArray[np.float64] | None]

    @property
    def num_images(self) -> int:
        return len(self.image_ids)

    @property
    def ignored(self) -> NDArray[np.bool_]:
        """Annotated persons that count neither as found nor as missed: (T,)."""
        return self.crowd | self.unlabelled

    @property
    def extents(self) -> NDArray[np.float64]:
        """Area of the box around all joints of each prediction, px^2: (D,)."""
        if not len(self.joints):
            return np.zeros(0)
        low, high = self.joints[..., :2].min(1), self.joints[..., :2].max(1)
        return np.asarray(np.prod(high - low, axis=1))


def make_scene(
    truth: Mapping[str, Any],
    results: Sequence[Mapping[str, Any]],
    image_ids: NDArray[np.int64],
    category_id: int,
    oks: Mapping[tuple[int, int], Any],
    num_keypoints: int,
) -> Scene:
    """`truth` and `results` as `coco_input` gives them; `oks` by (image_id, category_id), as the library has it."""
    row_of = {int(image_id): row for row, image_id in enumerate(image_ids.tolist())}
    persons = [
        person
        for person in truth["annotations"]
        if person["category_id"] == category_id and person["image_id"] in row_of
    ]
    found = [
        (row_of[result["image_id"]], number)
        for number, result in enumerate(results)
        if result["category_id"] == category_id and result["image_id"] in row_of
    ]
    truth_image = np.array([row_of[person["image_id"]] for person in persons], np.int64)
    by_image = np.argsort(truth_image, kind="stable")
    persons = [persons[i] for i in by_image]
    image = np.array([row for row, _ in found], np.int64)
    number = np.array([number for _, number in found], np.int64)
    scores = np.array([results[i]["score"] for i in number], np.float64)
    best_first = np.lexsort((-scores, image))  # stable: of equal scores the first comes first
    best_first = best_first[place_in_group(image[best_first]) < MAX_DETECTIONS]
    image, number, scores = image[best_first], number[best_first], scores[best_first]
    return Scene(
        image_ids=image_ids,
        truth_image=truth_image[by_image],
        truth_joints=_joints([person["keypoints"] for person in persons], num_keypoints),
        areas=np.array([person["area"] for person in persons], np.float64),
        crowd=np.array([bool(person["iscrowd"]) for person in persons], bool),
        unlabelled=np.array([not person["num_keypoints"] for person in persons], bool),
        image=image,
        joints=_joints([results[i]["keypoints"] for i in number], num_keypoints),
        scores=scores,
        result=number,
        oks=[_matrix(oks.get((int(image_id), category_id))) for image_id in image_ids],
    )


def place_in_group(sorted_groups: NDArray[np.int64]) -> NDArray[np.int64]:
    """0, 1, 2 ... within each run of equal values."""
    starts = np.r_[True, sorted_groups[1:] != sorted_groups[:-1]] if len(sorted_groups) else np.zeros(0, bool)
    first = np.maximum.accumulate(np.where(starts, np.arange(len(sorted_groups)), 0))
    return np.arange(len(sorted_groups)) - first


def _joints(flat: Sequence[Sequence[float]], num_keypoints: int) -> NDArray[np.float64]:
    return np.array(flat, np.float64).reshape(len(flat), num_keypoints, 3)


def _matrix(values: Any) -> NDArray[np.float64] | None:
    return np.asarray(values) if values is not None and len(values) else None
