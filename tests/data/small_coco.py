"""A COCO keypoint set of a few small pictures, for tests."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from sdpose.skeleton import COCO17, Skeleton

SIZE_WH = (96, 72)


def content(
    *,
    num_images: int = 4,
    people_per_image: int = 2,
    skeleton: Skeleton = COCO17,
    size_wh: tuple[int, int] = SIZE_WH,
) -> dict[str, Any]:
    """What the annotation file says: everybody has all joints labelled, in a box inside the picture."""
    rng = np.random.default_rng(7)
    width, height = size_wh
    images = [
        {"id": 10 + i, "file_name": f"{10 + i:012d}.jpg", "width": width, "height": height}
        for i in range(num_images)
    ]
    annotations = []
    for number in range(num_images * people_per_image):
        x, y = rng.integers(0, width // 4), rng.integers(0, height // 4)
        w, h = rng.integers(width // 3, width // 2), rng.integers(height // 3, height // 2)
        joints = np.stack(
            [
                rng.integers(x, x + w, skeleton.num_keypoints),
                rng.integers(y, y + h, skeleton.num_keypoints),
                rng.integers(1, 3, skeleton.num_keypoints),
            ],
            axis=1,
        )
        annotations.append(
            {
                "id": 100 + number,
                "image_id": 10 + number // people_per_image,
                "category_id": 1,
                "iscrowd": 0,
                "bbox": [float(v) for v in (x, y, w, h)],
                "area": float(w * h),
                "num_keypoints": skeleton.num_keypoints,
                "keypoints": joints.ravel().tolist(),
            }
        )
    categories = [{"id": 1, "name": "person", "keypoints": list(skeleton.keypoints)}]
    return {"images": images, "annotations": annotations, "categories": categories}


def write_annotations(folder: Path, value: Any, name: str = "person_keypoints_train.json") -> Path:
    """`value` as JSON in `folder`."""
    path = folder / name
    path.write_text(json.dumps(value))
    return path


def write_images(folder: Path, value: dict[str, Any]) -> Path:
    """A smooth, asymmetric picture for every image of the set, in `folder`/images."""
    image_folder = folder / "images"
    image_folder.mkdir(exist_ok=True)
    for image in value["images"]:
        rng = np.random.default_rng(image["id"])
        coarse = rng.integers(0, 256, (6, 8, 3), dtype=np.uint8)
        picture = cv2.resize(coarse, (image["width"], image["height"]), interpolation=cv2.INTER_CUBIC)
        cv2.imwrite(str(image_folder / image["file_name"]), picture)
    return image_folder


def write_set(folder: Path, **options: Any) -> tuple[Path, Path]:
    """Annotation file and image folder of a new set."""
    value = content(**options)
    return write_annotations(folder, value), write_images(folder, value)
