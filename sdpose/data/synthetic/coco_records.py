"""A scene in COCO's words: image and annotation entries, the file around them, and a detection file."""

from typing import Any

import numpy as np

from sdpose.data.synthetic.scene import Scene
from sdpose.skeleton import COCO17

_MAX_PEOPLE_PER_IMAGE = 16


def image_id_of(split: str, index: int) -> int:
    """Odd numbers for train, even for val: unique over both, and independent of how many there are."""
    return 2 * index + (1 if split == "train" else 2)


def image_and_annotations(scene: Scene, *, split: str, index: int) -> dict[str, Any]:
    """`{"image": ..., "annotations": [...]}` of one picture, in COCO's fields."""
    image_id = image_id_of(split, index)
    height, width = scene.labels.shape
    annotations = []
    for number, person in enumerate(scene.people):
        annotations.append(
            {
                "id": image_id * _MAX_PEOPLE_PER_IMAGE + number,
                "image_id": image_id,
                "category_id": 1,
                "iscrowd": 0,
                "bbox": [float(value) for value in person.bbox_xywh],
                "area": float(person.area),
                "segmentation": person.segmentation,
                "num_keypoints": int((person.keypoints[:, 2] > 0).sum()),
                "keypoints": _flatten(person.keypoints),
            }
        )
    image = {"id": image_id, "file_name": f"{image_id:012d}.jpg", "width": width, "height": height}
    return {"image": image, "annotations": annotations}


def annotation_file(records: list[dict[str, Any]], *, split: str, seed: int) -> dict[str, Any]:
    """The whole `person_keypoints_{split}2017.json`."""
    return {
        "info": {"description": f"sdpose drawn people, {split}, seed {seed}", "version": "1.0"},
        "licenses": [],
        "images": [record["image"] for record in records],
        "annotations": [annotation for record in records for annotation in record["annotations"]],
        "categories": [
            {
                "id": 1,
                "name": "person",
                "supercategory": "person",
                "keypoints": list(COCO17.keypoints),
                "skeleton": [[a + 1, b + 1] for a, b in COCO17.limbs],
            }
        ],
    }


def detection_records(
    records: list[dict[str, Any]], image_size_wh: tuple[int, int], seed: int
) -> list[dict[str, Any]]:
    """What a fair person detector would say: boxes a few percent off, a false alarm for every eight
    people."""
    width, height = image_size_wh
    detections: list[dict[str, Any]] = []
    for record in records:
        image_id = record["image"]["id"]
        rng = np.random.default_rng([seed, 2, image_id])
        for annotation in record["annotations"]:
            x, y, w, h = annotation["bbox"]
            left, top, right, bottom = rng.normal(0, 0.025, 4) * (w, h, w, h)
            corners = (x + left, y + top, x + w + right, y + h + bottom)
            detections.append(_detection(image_id, corners, rng.uniform(0.75, 0.999)))
            if rng.random() < 0.125:
                fw, fh = rng.uniform(0.08, 0.3) * width, rng.uniform(0.15, 0.5) * height
                fx, fy = rng.uniform(0, width - fw), rng.uniform(0, height - fh)
                detections.append(_detection(image_id, (fx, fy, fx + fw, fy + fh), rng.uniform(0.02, 0.35)))
    return detections


def _detection(
    image_id: int, corners_xyxy: tuple[float, float, float, float], score: float
) -> dict[str, Any]:
    x1, y1, x2, y2 = corners_xyxy
    box = [round(float(value), 2) for value in (x1, y1, max(x2 - x1, 1.0), max(y2 - y1, 1.0))]
    return {"image_id": image_id, "category_id": 1, "bbox": box, "score": round(float(score), 4)}


def _flatten(keypoints: np.ndarray) -> list[float | int]:
    """(17, 3) -> 51 numbers with whole flags, as COCO writes them."""
    flat: list[float | int] = []
    for x, y, flag in keypoints.tolist():
        flat += [x, y, int(flag)]
    return flat
