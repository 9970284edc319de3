"""Boxes from a person detector's result file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from sdpose.data.json_file import number_rows, parse_json, read_text
from sdpose.data.persons import PersonTable
from sdpose.data.plain_columns import PERSON_CATEGORY, image_rows, read_detection_columns
from sdpose.errors import SdposeError

DETECTION_KEYS = ("image_id", "category_id", "bbox", "score")


def read_detections(
    path: Path, *, score_threshold: float, image_ids: NDArray[np.int64], ann_file: Path, num_joints: int
) -> PersonTable:
    """The detected persons, in the order of the file, boxes as they are, joints and visibilities zero.

    The file is a JSON list of {image_id, category_id, bbox [x, y, w, h], score}. Entries of another category
    than 1, or with a score below the threshold, are left out. Raises SdposeError for anything else, for a
    file from which no box is left, and for boxes in images that `ann_file`, the source of `image_ids`, does
    not list.
    """
    text = read_text(path, "detection file")
    # What the quick way does not take is read entry by entry, which can also say which entry is wrong.
    found = _of_columns(text, score_threshold, image_ids) or _of_entries(
        path, text, score_threshold, image_ids, ann_file
    )
    num_persons = len(found.scores)
    return PersonTable(
        image_index=found.image_index,
        boxes_xywh=found.boxes_xywh,
        joints=np.zeros((num_persons, num_joints, 2), np.float32),
        visible=np.zeros((num_persons, num_joints), np.float32),
        box_scores=found.scores.astype(np.float32),
        bbox_ids=np.arange(num_persons, dtype=np.int64),
    )


class _Boxes(NamedTuple):
    """image_index (P,), boxes_xywh (P, 4), scores (P,) of the persons to look at."""

    image_index: NDArray[np.int32]
    boxes_xywh: NDArray[np.float64]
    scores: NDArray[np.float64]


def _of_columns(text: bytes, score_threshold: float, image_ids: NDArray[np.int64]) -> _Boxes | None:
    """None for a file that is not of the common kind, and where a box is refused or none is left."""
    columns = read_detection_columns(text)
    if columns is None:
        return None
    kept = columns.scores >= score_threshold
    image_index = image_rows(image_ids, columns.image_ids[kept])
    if not kept.any() or (image_index < 0).any():
        return None
    return _Boxes(image_index, columns.boxes_xywh[kept], columns.scores[kept])


def _of_entries(
    path: Path, text: bytes, score_threshold: float, image_ids: NDArray[np.int64], ann_file: Path
) -> _Boxes:
    """What the file says, or SdposeError."""
    persons = [entry for entry in _entries(path, text) if entry["category_id"] == PERSON_CATEGORY]
    listed = [{**entry, "score": [entry["score"]]} for entry in persons]
    scores = number_rows(path, listed, "score", 1, "a confidence")[:, 0]
    kept = [entry for entry, score in zip(persons, scores, strict=True) if score >= score_threshold]
    if not kept:
        best = (
            f"the best score is {scores.max():g}" if len(scores) else "there is no entry with category_id 1"
        )
        raise SdposeError(
            f"{path}: no detection is a person with a score of at least {score_threshold:g} ({best}); "
            "lower det_bbox_thr or use another file"
        )
    return _Boxes(
        _image_rows(path, kept, image_ids, ann_file),
        number_rows(path, kept, "bbox", 4, "left, top, width, height"),
        scores[scores >= score_threshold],
    )


def _entries(path: Path, text: bytes) -> list[dict[str, Any]]:
    """The file's list, every entry with the keys of a detection."""
    entries = parse_json(path, text, "detection file")
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise SdposeError(
            f"{path} is not a list of detections; expected [{{image_id, category_id, bbox, score}}, ...] "
            "(an annotation file belongs into ann_file)"
        )
    if not entries:
        raise SdposeError(
            f"{path} is an empty list: no detections to evaluate; run the detector again, or set "
            "use_gt_bbox=True"
        )
    for row, entry in enumerate(entries):
        missing = [key for key in DETECTION_KEYS if key not in entry]
        if missing:
            raise SdposeError(
                f"{path}: detection {row} has no {', '.join(missing)} (it has: "
                f"{', '.join(entry) or 'nothing'}); expected {', '.join(DETECTION_KEYS)}"
            )
    return entries


def _image_rows(
    path: Path, detections: Sequence[dict[str, Any]], image_ids: NDArray[np.int64], ann_file: Path
) -> NDArray[np.int32]:
    """Rows of the detections' images in the set."""
    row_of = {image_id: row for row, image_id in enumerate(image_ids.tolist())}
    ids = [entry["image_id"] if isinstance(entry["image_id"], int) else None for entry in detections]
    rows = np.array([row_of.get(image_id, -1) for image_id in ids], np.int32)
    unknown = np.flatnonzero(rows < 0)
    if len(unknown):
        raise SdposeError(
            f"{path}: {len(unknown)} of {len(rows)} detections are in images that {ann_file} does not list "
            f"(image_id {detections[unknown[0]]['image_id']!r}, for example); use the detection file made "
            "for this set"
        )
    return rows
