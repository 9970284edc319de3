"""Each annotated person with the prediction that fits it best: what pictures of an evaluation show."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sdpose.evaluation.coco_input import AREA_OF_BOX
from sdpose.evaluation.oks import oks_to_truth
from sdpose.evaluation.scene import Scene
from sdpose.skeleton import Skeleton


@dataclass(frozen=True)
class FittedPerson:
    """One annotated person, in image pixels; K joints."""

    image_id: int
    annotation_id: int
    oks: float
    """Of the best prediction; 0 in an image without any."""
    truth: NDArray[np.float64]  # (K, 3) with COCO's visibility
    predicted: NDArray[np.float64] | None  # (K, 3) with the joint's score


def fitted_persons(
    annotations: Iterable[Mapping[str, Any]], results: Iterable[Mapping[str, Any]], skeleton: Skeleton
) -> Iterator[FittedPerson]:
    """Every person with a labelled joint, image after image. Both in COCO's form."""
    predictions: dict[int, list[Any]] = defaultdict(list)
    for result in results:
        predictions[int(result["image_id"])].append(result["keypoints"])
    people: dict[int, list[Mapping[str, Any]]] = defaultdict(list)
    for person in annotations:
        if person.get("num_keypoints", 0) > 0 and not person.get("iscrowd"):
            people[int(person["image_id"])].append(person)
    for image_id, group in people.items():
        truth = _joints([person["keypoints"] for person in group], skeleton)
        found = _joints(predictions.get(image_id, ()), skeleton)
        areas = np.array([_area(person) for person in group], np.float64)
        ids = [int(person["id"]) for person in group]
        yield from _fitted(image_id, ids, truth, areas, found, skeleton)


def some_fitted_persons(scene: Scene, skeleton: Skeleton, num: int) -> list[FittedPerson]:
    """At most `num` persons spread over the images, chosen by the truth alone: of every evaluation the same.

    Those with at least half of their joints labelled, where there are such. The annotation ids are not known here: 0.
    """
    labelled = np.count_nonzero(scene.truth_joints[..., 2] > 0, axis=1)  # (T,)
    counted = ~scene.ignored
    enough = counted & (2 * labelled >= skeleton.num_keypoints)
    rows = np.flatnonzero(enough if enough.any() else counted)
    if not len(rows):
        return []
    chosen = rows[np.unique(np.linspace(0, len(rows) - 1, num).round().astype(int))]
    fitted: list[FittedPerson] = []
    for row in chosen.tolist():
        image = scene.truth_image[row]
        found = scene.joints[scene.image == image]
        truth, areas = scene.truth_joints[row : row + 1], scene.areas[row : row + 1]
        fitted += _fitted(int(scene.image_ids[image]), [0], truth, areas, found, skeleton)
    return fitted


def _fitted(
    image_id: int,
    annotation_ids: Sequence[int],
    truth: NDArray[np.float64],
    areas: NDArray[np.float64],
    found: NDArray[np.float64],
    skeleton: Skeleton,
) -> Iterator[FittedPerson]:
    """Of one image: truth (T, K, 3), found (P, K, 3)."""
    oks = oks_to_truth(found, truth, truth[..., 2], areas, skeleton.sigmas)  # (P, T)
    for index, annotation_id in enumerate(annotation_ids):
        best = int(oks[:, index].argmax()) if len(found) else None
        yield FittedPerson(
            image_id=image_id,
            annotation_id=annotation_id,
            oks=float(oks[best, index]) if best is not None else 0.0,
            truth=truth[index],
            predicted=found[best] if best is not None else None,
        )


def _area(person: Mapping[str, Any]) -> float:
    """px^2, from the box where the annotation has none, as CrowdPose's."""
    area = person.get("area")
    return float(area) if area is not None else AREA_OF_BOX * person["bbox"][2] * person["bbox"][3]


def _joints(keypoints: Sequence[Any], skeleton: Skeleton) -> NDArray[np.float64]:
    """(P, K, 3)"""
    return np.array(keypoints, np.float64).reshape(len(keypoints), skeleton.num_keypoints, 3)
