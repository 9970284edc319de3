"""Annotations and results made up or perturbed, and what pycocotools makes of them."""

from __future__ import annotations

import copy
import io
from contextlib import redirect_stdout
from typing import Any

import numpy as np
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval


def by_pycocotools(
    truth: dict, results: list[dict], sigmas: tuple[float, ...], image_ids: Any = None
) -> list[float]:
    with redirect_stdout(io.StringIO()):
        annotations = COCO()
        annotations.dataset = copy.deepcopy(truth)
        annotations.createIndex()
        evaluation = COCOeval(annotations, annotations.loadRes(copy.deepcopy(results)), "keypoints")
        evaluation.params.kpt_oks_sigmas = np.array(sigmas)
        if image_ids is not None:
            evaluation.params.imgIds = image_ids
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return evaluation.stats.tolist()


def jittered(truth: dict, seed: int, noise: float = 0.03) -> list[dict]:
    """Every annotated person up to three times, moved by a share of its size, some left out."""
    rng = np.random.RandomState(seed)
    results = []
    for annotation in truth["annotations"]:
        if not annotation["num_keypoints"] or rng.uniform() < 0.1:
            continue
        for _ in range(rng.randint(1, 4)):
            keypoints = np.array(annotation["keypoints"], float).reshape(-1, 3)
            size = np.sqrt(annotation["bbox"][2] * annotation["bbox"][3])
            keypoints[:, :2] += rng.standard_normal((len(keypoints), 2)) * size * noise * rng.uniform(0.2, 3)
            keypoints[:, 2] = rng.uniform(0, 1, len(keypoints))
            result = {
                "image_id": annotation["image_id"],
                "category_id": 1,
                "keypoints": keypoints.reshape(-1).tolist(),
                "score": float(rng.uniform()),
            }
            results.append(result)
    return results


def as_results(truth: dict) -> list[dict]:
    """The ground truth itself, with a score."""
    return [
        {
            "image_id": annotation["image_id"],
            "category_id": 1,
            "keypoints": annotation["keypoints"],
            "score": 1.0,
        }
        for annotation in truth["annotations"]
        if annotation.get("num_keypoints") and not annotation["iscrowd"]
    ]


def person(image_id: int, size: float, *, number: int = 1, joints: int = 17) -> dict:
    rng = np.random.RandomState(number)
    keypoints = np.column_stack([rng.uniform(10, 10 + size, (joints, 2)), np.full(joints, 2)])
    return {
        "id": number,
        "image_id": image_id,
        "category_id": 1,
        "iscrowd": 0,
        "bbox": [10.0, 10.0, size, size],
        "area": size * size,
        "keypoints": keypoints.reshape(-1).tolist(),
        "num_keypoints": joints,
    }


def spread(image_id: int, size: float, *, number: int = 1, left: float = 0.0) -> dict:
    """A person whose joints are far from one another."""
    one = person(image_id, size, number=number)
    steps = size * np.arange(17)
    joints = np.column_stack([left + 0.3 * steps, 0.05 * steps, np.full(17, 2)])
    one["keypoints"] = joints.reshape(-1).tolist()
    return one


def crossed_legs(joints: np.ndarray) -> np.ndarray:
    """The same pose (17, 3), left and right knees and ankles taken for each other."""
    legs = [13, 14, 15, 16]
    crossed = joints.copy()
    crossed[legs, :2] = joints[[14, 13, 16, 15], :2]
    return crossed


def annotations(*persons: dict, **image: object) -> dict:
    images = [{"id": i, "width": 640, "height": 480, **image} for i in (1, 2, 3)]
    return {"images": images, "annotations": list(persons), "categories": [{"id": 1, "name": "person"}]}
