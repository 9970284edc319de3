"""Which annotated person each detected box is about: do the boxes belong to these images at all?

Legend: B boxes, P annotated persons. Boxes are left, top, width, height in image pixels.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sdpose.data.persons import PersonTable

NOBODY = -1


@dataclass(frozen=True)
class BoxMatch:
    """owner (B,) int64: row of the person whom the box overlaps most, or NOBODY; best_iou (P,) of any box with them."""

    owner: NDArray[np.int64]
    best_iou: NDArray[np.float64]

    def recall(self, iou: float = 0.5) -> float:
        """Share of the persons who have a box with at least this IoU; 0 without persons."""
        return float((self.best_iou >= iou).mean()) if len(self.best_iou) else 0.0


def match_boxes(boxes: PersonTable, persons: PersonTable) -> BoxMatch:
    """Compare detected `boxes` with annotated `persons` of the same table of images."""
    return _match(boxes.image_index, boxes.boxes_xywh, persons.image_index, persons.boxes_xywh)


def recall_by_chance(boxes: PersonTable, persons: PersonTable, iou: float = 0.5) -> float:
    """The recall if the boxes of each image had been found in another: what a foreign box file reaches.

    Each image gets the boxes of the one before it. 0 when fewer than two images have boxes.
    """
    with_boxes = np.unique(boxes.image_index)
    if len(with_boxes) < 2:
        return 0.0
    next_image = np.roll(with_boxes, -1)
    moved = next_image[np.searchsorted(with_boxes, boxes.image_index)]
    return _match(moved, boxes.boxes_xywh, persons.image_index, persons.boxes_xywh).recall(iou)


def iou_matrix(boxes_xywh: NDArray[np.float64], others_xywh: NDArray[np.float64]) -> NDArray[np.float64]:
    """Shared area over joint area of each pair: (B, P); 0 where a box has no area."""
    low, high = boxes_xywh[:, None, :2], boxes_xywh[:, None, :2] + boxes_xywh[:, None, 2:]
    other_low, other_high = others_xywh[None, :, :2], others_xywh[None, :, :2] + others_xywh[None, :, 2:]
    shared = np.prod(np.clip(np.minimum(high, other_high) - np.maximum(low, other_low), 0, None), axis=2)
    areas = np.prod(np.clip(boxes_xywh[:, 2:], 0, None), axis=1)
    other_areas = np.prod(np.clip(others_xywh[:, 2:], 0, None), axis=1)
    joint = areas[:, None] + other_areas[None] - shared
    return np.divide(shared, joint, out=np.zeros_like(shared), where=joint > 0)


def _match(
    box_image: NDArray[np.int32],
    boxes_xywh: NDArray[np.float64],
    person_image: NDArray[np.int32],
    persons_xywh: NDArray[np.float64],
) -> BoxMatch:
    owner = np.full(len(box_image), NOBODY, np.int64)
    best_iou = np.zeros(len(person_image))
    persons_of = dict(_rows_by_image(person_image))
    for image, rows in _rows_by_image(box_image):
        candidates = persons_of.get(image)
        if candidates is None:
            continue
        iou = iou_matrix(boxes_xywh[rows], persons_xywh[candidates])  # (B, P) of this image
        owner[rows] = np.where(iou.max(1) > 0, candidates[iou.argmax(1)], NOBODY)
        best_iou[candidates] = iou.max(0)
    return BoxMatch(owner, best_iou)


def _rows_by_image(image_index: NDArray[np.int32]) -> Iterator[tuple[int, NDArray[np.intp]]]:
    """Each image that occurs, with the rows that are of it."""
    order = np.argsort(image_index, kind="stable")
    images, starts = np.unique(image_index[order], return_index=True)
    for image, first, end in zip(images.tolist(), starts, [*starts[1:], len(order)], strict=False):
        yield image, order[first:end]
