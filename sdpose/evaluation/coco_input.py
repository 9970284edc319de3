"""Annotations and results as the evaluation needs them: complete, and free to be written into.

faster-coco-eval writes into its input and answers what it cannot read with assertions and KeyErrors; so it
gets copies, and the user's mistakes are met here.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from sdpose.errors import SdposeError

# What CrowdPose takes as a person's area, since its annotations have none.
AREA_OF_BOX = 0.53

_log = logging.getLogger(__name__)


def read_ground_truth(ann_file: Path | str | Mapping[str, Any], num_keypoints: int) -> dict[str, Any] | None:
    """A copy of the annotations with every entry that the evaluation reads, or None when the file has none.

    Annotations without a box are left out, as they are in training; a missing `keypoints` counts as no joint
    labelled.
    """
    if isinstance(ann_file, Mapping):
        content, name = ann_file, "the annotations"
    else:
        content, name = _read_json(Path(ann_file), "annotations"), str(ann_file)
    if not isinstance(content, Mapping) or "images" not in content:
        raise SdposeError(f"{name} has no 'images'; expected a COCO keypoint annotation file")
    if "annotations" not in content:
        return None
    annotations = []
    for number, annotation in enumerate(content["annotations"]):
        if not annotation.get("bbox"):
            continue
        keypoints = annotation.get("keypoints") or [0] * (3 * num_keypoints)
        if len(keypoints) != 3 * num_keypoints:
            raise SdposeError(
                f"{name}: annotation {annotation.get('id', number)} has {len(keypoints) // 3} joints, the "
                f"skeleton has {num_keypoints}; take the annotation file that belongs to the dataset_info"
            )
        labelled = sum(1 for visible in keypoints[2::3] if visible > 0)
        defaults = {"iscrowd": 0, "category_id": 1, "num_keypoints": labelled}
        # Own ids: the matching takes an id of 0 for "no match", and confuses equal ones.
        annotations.append({**defaults, **annotation, "keypoints": keypoints, "id": number + 1})
    return {
        "images": [dict(image) for image in content["images"]],
        "annotations": annotations,
        "categories": content.get("categories") or [{"id": 1, "name": "person"}],
    }


def fill_areas(truth: dict[str, Any], *, replace: bool) -> None:
    """Give annotations an area from their box: all of them, or those that have none."""
    num_filled = 0
    for annotation in truth["annotations"]:
        if replace or annotation.get("area") is None:
            num_filled += 1
            annotation["area"] = AREA_OF_BOX * annotation["bbox"][2] * annotation["bbox"][3]
    if num_filled and not replace:
        _log.warning(
            "%d of %d annotations have no 'area', %g of the box is taken: AP cannot be compared with others",
            num_filled,
            len(truth["annotations"]),
            AREA_OF_BOX,
        )


def read_results(
    results: Sequence[Mapping[str, Any]] | Path | str, truth: dict[str, Any], num_keypoints: int
) -> list[dict[str, Any]]:
    """A copy of the results (the library writes into its input), each known to fit the annotations."""
    if isinstance(results, str | Path):
        entries, name = _read_json(Path(results), "results"), str(results)
    else:
        entries, name = results, "the results"
    if not isinstance(entries, Sequence):
        raise SdposeError(f"{name}: got {type(entries).__name__}, expected a list of results, one a person")
    images = {image["id"] for image in truth["images"]}
    categories = {annotation["category_id"] for annotation in truth["annotations"]}
    found = []
    for number, result in enumerate(entries):
        missing = {"image_id", "category_id", "keypoints", "score"} - set(result)
        if missing:
            raise SdposeError(
                f"{name}: result {number} has no {min(missing)!r}; expected COCO keypoint results"
            )
        if len(result["keypoints"]) != 3 * num_keypoints:
            raise SdposeError(
                f"{name}: result {number} has {len(result['keypoints']) / 3:g} joints; expected "
                f"{num_keypoints}, each with x, y and score"
            )
        if result["image_id"] not in images:
            raise SdposeError(
                f"{name}: result {number} is for image {result['image_id']}, which the annotations do not "
                "list; evaluate with the annotation file that the results were made from"
            )
        found.append(
            {
                "image_id": result["image_id"],
                "category_id": result["category_id"],
                "keypoints": result["keypoints"],
                "score": result["score"],
            }
        )
    if found and categories and categories.isdisjoint(result["category_id"] for result in found):
        raise SdposeError(
            f"{name} are of category {found[0]['category_id']}, the annotated persons of category "
            f"{', '.join(map(str, sorted(categories)))}; write the results with that category_id"
        )
    return found


def _read_json(path: Path, what: str) -> Any:
    try:
        with open(path, encoding="utf-8") as file:
            return json.load(file)
    except OSError as error:
        raise SdposeError(f"cannot read the {what} {path}: {error.strerror}; check the path") from error
    except ValueError as error:
        raise SdposeError(f"{path} is not JSON ({error}); expected COCO keypoint {what}") from error
