"""The common COCO keypoint and detection files as columns, without a Python object for each of their many numbers.

`read_columns` and `read_detection_columns` answer for a file in which every entry has the expected types, and say None
to any other one: that is then read entry by entry (`annotation_file`, `detections`), which finds out what is wrong with
it, or that it is unusual and fine.

Legend: I images, A annotations that are no crowd and have a box and joints, K joints, D detected persons.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import compress
from typing import Any

import msgspec
import numpy as np
from msgspec import Raw, Struct
from numpy.typing import NDArray

PERSON_CATEGORY = 1
_NONE = Raw(b"null")
_ABSENT = {b"null", b"[]"}
_ROWS_AT_ONCE = 4096  # so that what is worked on stays in the processor's cache
_LONGEST_NUMBER = 9  # digits; the sums below stay whole in float64


@dataclass(frozen=True)
class Columns:
    """Of the images: image_ids (I,), image_sizes_wh (I, 2), file_names (I). Of the annotations: image_ids_of (A,),
    boxes_xywh (A, 4), keypoints (A, 3K), area (A,) with +inf and num_keypoints (A,) with -1 where there is none.
    """

    image_ids: NDArray[np.int64]
    image_sizes_wh: NDArray[np.int32]
    file_names: list[str]
    image_ids_of: NDArray[np.int64]
    boxes_xywh: NDArray[np.float64]
    keypoints: NDArray[np.float64]
    area: NDArray[np.float64]
    num_keypoints: NDArray[np.float64]
    categories: Any


@dataclass(frozen=True)
class DetectionColumns:
    """Of the entries of category 1: image_ids (D,), boxes_xywh (D, 4), scores (D,)."""

    image_ids: NDArray[np.int64]
    boxes_xywh: NDArray[np.float64]
    scores: NDArray[np.float64]


class _Image(Struct, gc=False):
    id: int
    file_name: str
    width: int
    height: int


class _Annotation(Struct, gc=False):
    image_id: int
    bbox: Raw = _NONE
    keypoints: Raw = _NONE
    area: float | None = None
    num_keypoints: float | None = None
    iscrowd: bool | int | None = None


class _File(Struct):
    images: list[_Image]
    annotations: list[_Annotation]
    categories: Any = None


class _Detection(Struct, gc=False):
    image_id: int
    category_id: int
    bbox: Raw
    score: float


def read_columns(text: bytes, num_joints: int) -> Columns | None:
    """What a file with `text` holds, or None when it is not wholly of the common kind."""
    try:
        file = msgspec.json.decode(text, type=_File)
        kept = [a for a in file.annotations if not a.iscrowd]
        boxes, joints = [bytes(a.bbox) for a in kept], [bytes(a.keypoints) for a in kept]
        if not _ABSENT.isdisjoint(boxes) or not _ABSENT.isdisjoint(joints):
            full = [_ABSENT.isdisjoint(pair) for pair in zip(boxes, joints, strict=True)]
            kept, boxes, joints = (
                list(compress(kept, full)),
                list(compress(boxes, full)),
                list(compress(joints, full)),
            )
        if not kept or not file.images:
            return None
        return Columns(
            image_ids=np.array([image.id for image in file.images], np.int64),
            image_sizes_wh=_pairs(
                [image.width for image in file.images], [image.height for image in file.images]
            ),
            file_names=[image.file_name for image in file.images],
            image_ids_of=np.array([a.image_id for a in kept], np.int64),
            boxes_xywh=_number_rows(boxes, 4),
            keypoints=_number_rows(joints, 3 * num_joints),
            area=np.array([np.inf if a.area is None else a.area for a in kept], np.float64),
            num_keypoints=np.array(
                [-1 if a.num_keypoints is None else a.num_keypoints for a in kept], np.float64
            ),
            categories=file.categories,
        )
    except (msgspec.MsgspecError, UnicodeDecodeError, OverflowError, _Unusual):
        return None


def read_detection_columns(text: bytes) -> DetectionColumns | None:
    """The persons in a detector's file with `text`, or None when it is not wholly of the common kind, or has none."""
    try:
        kept = [
            d for d in msgspec.json.decode(text, type=list[_Detection]) if d.category_id == PERSON_CATEGORY
        ]
        if not kept:
            return None
        return DetectionColumns(
            image_ids=np.array([d.image_id for d in kept], np.int64),
            boxes_xywh=_number_rows([bytes(d.bbox) for d in kept], 4),
            scores=np.array([d.score for d in kept], np.float64),
        )
    except (msgspec.MsgspecError, UnicodeDecodeError, OverflowError, _Unusual):
        return None


def image_rows(image_ids: NDArray[np.int64], wanted: NDArray[np.int64]) -> NDArray[np.int32]:
    """Where each wanted id stands among `image_ids`, in which none comes twice; -1 for one that does not."""
    order = np.argsort(image_ids)
    places = np.searchsorted(image_ids, wanted, sorter=order)
    rows = order[np.minimum(places, len(order) - 1)]
    return np.where(image_ids[rows] == wanted, rows, -1).astype(np.int32)


class _Unusual(Exception):
    """Left to the reading entry by entry."""


def _pairs(first: Sequence[int], second: Sequence[int]) -> NDArray[np.int32]:
    return np.stack([np.array(first, np.int32), np.array(second, np.int32)], axis=1)


def _number_rows(lists: Sequence[bytes], length: int) -> NDArray[np.float64]:
    """JSON lists of `length` numbers each as rows (len(lists), length)."""
    # Two of five annotations of COCO have the same keypoints, 51 zeros, and nothing is written shorter.
    shortest = min(lists, key=len)
    rows = np.empty((len(lists), length), np.float64)
    rows[:] = _numbers([shortest], length)
    others = np.flatnonzero([text != shortest for text in lists])
    for start in range(0, len(others), _ROWS_AT_ONCE):
        some = others[start : start + _ROWS_AT_ONCE]
        rows[some] = _numbers([lists[row] for row in some.tolist()], length)
    return rows


def _numbers(lists: Sequence[bytes], length: int) -> NDArray[np.float64]:
    # These are JSON already: what begins like a list and has so many commas, one less than numbers, is a list of
    # `length` numbers when all of it is digits, or decodes as numbers.
    if {text[0] for text in lists} != {ord("[")} or {text.count(b",") for text in lists} != {length - 1}:
        raise _Unusual
    text = b",".join([text[1:-1] for text in lists]).translate(None, b" \n\r\t")
    numbers = _whole_numbers(text)
    if numbers is None:
        numbers = np.array(msgspec.json.decode(b"[" + text + b"]", type=list[float]), np.float64)
    return numbers.reshape(len(lists), length)


def _whole_numbers(text: bytes) -> NDArray[np.float64] | None:
    """The numbers of `text`, whole ones without sign and with commas between them; None when there are others."""
    digits = np.frombuffer(text, np.uint8) - np.uint8(ord("0"))  # a comma wraps around to 252
    ends = np.append(np.flatnonzero(digits > 9), len(digits))
    if np.count_nonzero(digits == np.uint8(ord(",") - ord("0") + 256)) != len(ends) - 1:
        return None
    lengths = np.diff(ends, prepend=-1) - 1
    longest = int(lengths.max())
    if longest > _LONGEST_NUMBER or int(lengths.min()) < 1:
        return None
    numbers = digits[ends - 1].astype(np.float64)
    for place in range(1, longest):
        rows = np.flatnonzero(lengths > place)
        numbers[rows] += digits[ends[rows] - 1 - place] * 10.0**place
    return numbers
