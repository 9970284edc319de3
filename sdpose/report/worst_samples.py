"""The persons that a model found worst, as pictures: what it predicted beside what is true.

They need predictions (`result_keypoints.json` in the run's folder, which `sdpose test` writes), the annotation file and
the images. Where one is missing, that is said instead.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sdpose.errors import SdposeError
from sdpose.evaluation.noise import Evaluation
from sdpose.evaluation.oks import oks_to_truth
from sdpose.evaluation.pose_errors import GOOD, JITTER, NOT_FOUND
from sdpose.skeleton import Skeleton

RESULTS = "result_keypoints.json"
NUM_WORST = 24
_PANEL_WH = (240, 240)
_JPEG_QUALITY = 80


@dataclass(frozen=True)
class WorstSample:
    """One person, drawn."""

    jpeg: bytes
    image: str
    image_id: int
    annotation_id: int
    oks: float


@dataclass(frozen=True)
class _Person:
    image_id: int
    annotation_id: int
    oks: float
    truth: NDArray[np.float64]  # (K, 3)
    predicted: NDArray[np.float64] | None  # (K, 3); None in an image without predictions


class NoPictures(Exception):
    """Why there is nothing to show, as the name of a phrase and what goes into it."""

    def __init__(self, reason: str, path: object = "") -> None:
        super().__init__(reason)
        self.reason = reason
        self.path = str(path)


def worst_samples(folder: Path, config: Mapping[str, Any], *, num: int = NUM_WORST) -> list[WorstSample]:
    """The worst first. Raises NoPictures."""
    results_path = folder / RESULTS
    if not results_path.exists():
        raise NoPictures("no_results", results_path)
    data, skeleton = _data_of(config)
    annotation_path, image_folder = Path(data["ann_file"]), Path(str(data.get("img_prefix", "")))
    if not annotation_path.exists():
        raise NoPictures("no_annotations", annotation_path)
    try:
        content = json.loads(annotation_path.read_text(encoding="utf-8"))
        results = json.loads(results_path.read_text(encoding="utf-8"))
        persons = sorted(
            _judged(content, results, skeleton), key=lambda it: (it.oks, it.image_id, it.annotation_id)
        )
        names = {int(image["id"]): str(image["file_name"]) for image in content["images"]}
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise NoPictures("unreadable", f"{results_path}, {annotation_path}: {error!r}") from error
    if not persons:
        raise NoPictures("unreadable", results_path)
    drawn = []
    for person in persons[:num]:
        jpeg = _drawn(image_folder / names[person.image_id], person, skeleton)
        drawn.append(
            WorstSample(jpeg, names[person.image_id], person.image_id, person.annotation_id, person.oks)
        )
    return drawn


def worst_images(evaluation: Evaluation, *, num: int = NUM_WORST) -> list[tuple[int, int, int, int]]:
    """(image id, joints lost, of them of persons not found, joints labelled) of the images with most lost joints.

    Lost is what is neither good nor jitter. This needs no predictions: an evaluation keeps its counts by image.
    """
    joints = evaluation.errors.joints.sum(1)  # (I, 6)
    labelled = joints.sum(1)
    lost = labelled - joints[:, GOOD] - joints[:, JITTER]
    order = np.lexsort((evaluation.image_ids, -lost))[:num]
    return [
        (int(evaluation.image_ids[row]), int(lost[row]), int(joints[row, NOT_FOUND]), int(labelled[row]))
        for row in order.tolist()
        if lost[row]
    ]


def _data_of(config: Mapping[str, Any]) -> tuple[Mapping[str, Any], Skeleton]:
    """What `sdpose test` evaluates."""
    data = config.get("data", {})
    part = data.get("test") or data.get("val") or {}
    info = part.get("dataset_info") or config.get("dataset_info")
    if "ann_file" not in part or info is None:
        raise NoPictures("no_config")
    try:
        return part, Skeleton.from_dataset_info(info)
    except SdposeError as error:
        raise NoPictures("no_config", error) from error


def _judged(content: Any, results: Any, skeleton: Skeleton) -> Iterator[_Person]:
    """Every annotated person with the prediction that fits it best."""
    predictions: dict[int, list[Any]] = defaultdict(list)
    for result in results:
        predictions[int(result["image_id"])].append(result["keypoints"])
    people: dict[int, list[Any]] = defaultdict(list)
    for person in content["annotations"]:
        if person.get("num_keypoints", 0) > 0 and not person.get("iscrowd"):
            people[int(person["image_id"])].append(person)
    for image_id, group in people.items():
        truth = _joints([person["keypoints"] for person in group], skeleton.num_keypoints)
        found = _joints(predictions.get(image_id, []), skeleton.num_keypoints)
        areas = [person["area"] for person in group]
        oks = oks_to_truth(found, truth, truth[..., 2], areas, skeleton.sigmas)  # (P, T)
        for index, person in enumerate(group):
            best = int(oks[:, index].argmax()) if len(found) else None
            yield _Person(
                image_id=image_id,
                annotation_id=int(person["id"]),
                oks=float(oks[best, index]) if best is not None else 0.0,
                truth=truth[index],
                predicted=found[best] if best is not None else None,
            )


def _joints(keypoints: list[Any], num_joints: int) -> NDArray[np.float64]:
    """(P, K, 3); `num_joints` K."""
    return np.array(keypoints, np.float64).reshape(len(keypoints), num_joints, 3)


def _drawn(path: Path, person: _Person, skeleton: Skeleton) -> bytes:
    import cv2

    from sdpose.draw import comparison_sheet

    pixels = cv2.imread(str(path))
    if pixels is None:
        raise NoPictures("no_images", path)
    found = person.predicted[None] if person.predicted is not None else np.zeros((0, len(person.truth), 3))
    sheet = comparison_sheet(
        [pixels.astype(np.uint8, copy=False)],
        [found],
        [person.truth[None]],
        skeleton,
        oks=[[person.oks]] if len(found) else None,
        columns=1,
        panel_size_wh=_PANEL_WH,
    )
    done, encoded = cv2.imencode(".jpg", sheet, [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY])
    if not done:
        raise NoPictures("no_images", path)
    return encoded.tobytes()
