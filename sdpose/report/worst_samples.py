"""The persons that a model found worst, as pictures: what it predicted beside what is true."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from sdpose.evaluation.best_fit import FittedPerson, fitted_persons
from sdpose.evaluation.noise import Evaluation
from sdpose.evaluation.pose_errors import GOOD, JITTER, NOT_FOUND
from sdpose.report.predictions import NoPredictions, Predictions
from sdpose.skeleton import Skeleton

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


def worst_samples(predictions: Predictions, *, num: int = NUM_WORST) -> list[WorstSample]:
    """The worst first. Raises NoPredictions where the files do not hold together."""
    truth, skeleton = predictions.truth, predictions.skeleton
    try:
        persons = sorted(
            fitted_persons(truth["annotations"], predictions.results, skeleton),
            key=lambda it: (it.oks, it.image_id, it.annotation_id),
        )
        names = {int(image["id"]): str(image["file_name"]) for image in truth["images"]}
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        reason = f"{predictions.path}, {predictions.annotation_path}: {error!r}"
        raise NoPredictions("unreadable", reason) from error
    if not persons:
        raise NoPredictions("unreadable", predictions.path)
    drawn = []
    for person in persons[:num]:
        image = names[person.image_id]
        jpeg = _drawn(predictions.image_folder / image, person, skeleton)
        drawn.append(WorstSample(jpeg, image, person.image_id, person.annotation_id, person.oks))
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


def _drawn(path: Path, person: FittedPerson, skeleton: Skeleton) -> bytes:
    import cv2

    from sdpose.draw import comparison_sheet

    pixels = cv2.imread(str(path))
    if pixels is None:
        raise NoPredictions("no_images", path)
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
        raise NoPredictions("no_images", path)
    return encoded.tobytes()
