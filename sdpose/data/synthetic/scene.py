"""One picture with one to four people in it, and the COCO annotations that follow from what was painted."""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from sdpose.data.synthetic.background import draw_background, draw_occluder
from sdpose.data.synthetic.body import pose_body
from sdpose.data.synthetic.clothing import draw_outfit
from sdpose.data.synthetic.drawing import (
    LABELS_PER_PERSON,
    OCCLUDER,
    PlacedBody,
    draw_person,
    extent_xyxy,
    place_body,
    visibility,
)
from sdpose.data.synthetic.poses import draw_pose, draw_proportions

Image = NDArray[np.uint8]


@dataclass(frozen=True)
class PersonTruth:
    """`keypoints` (17, 3): x, y in image pixels (pixel centres are whole numbers) and the COCO flag; joints
    outside the picture are 0, 0, 0. `area` counts the pixels that show the person, `bbox_xywh` is the box
    around them; `segmentation` are their outlines, polygons x, y, x, y ..."""

    keypoints: NDArray[np.float64]
    area: int
    bbox_xywh: tuple[int, int, int, int]
    segmentation: list[list[float]]


@dataclass(frozen=True)
class Scene:
    """`image` (H, W, 3) BGR; `labels` (H, W): 0 background, then 1 + person * LABELS_PER_PERSON + part."""

    image: Image
    labels: Image
    people: list[PersonTruth]


def draw_scene(rng: np.random.Generator, size_wh: tuple[int, int]) -> Scene:
    """Background, people from far to near, now and then a thing in front."""
    width, height = size_wh
    image = draw_background(rng, size_wh)
    labels = np.zeros((height, width), np.uint8)
    placed = _place_people(rng, size_wh)
    for index, body in enumerate(placed):
        draw_person(image, labels, body, draw_outfit(rng), _base(index))
    if rng.random() < 0.15:
        draw_occluder(rng, image, labels, OCCLUDER)
    if rng.random() < 0.3:
        cv2.GaussianBlur(image, (3, 3), 0.6, dst=image)
    people = [
        truth for index, body in enumerate(placed) if (truth := _read_truth(labels, body, index)) is not None
    ]
    return Scene(image, labels, people)


def person_mask(labels: Image, index: int) -> Image:
    """255 where the `index`-th painted person is what one sees."""
    first = _base(index)
    return np.where((labels >= first) & (labels < first + LABELS_PER_PERSON), 255, 0).astype(np.uint8)


def _base(index: int) -> int:
    return 1 + index * LABELS_PER_PERSON


def _place_people(rng: np.random.Generator, size_wh: tuple[int, int]) -> list[PlacedBody]:
    """Bodies from far (small) to near (large); nobody is covered by more than about half."""
    width, height = size_wh
    wanted = int(rng.choice([1, 2, 3, 4], p=[0.30, 0.34, 0.22, 0.14]))
    largest = {1: 1.0, 2: 0.95, 3: 0.85, 4: 0.75}[wanted]
    placed: list[PlacedBody] = []
    for _ in range(wanted):
        body = pose_body(draw_pose(rng), draw_proportions(rng))
        for _attempt in range(8):
            size = float(rng.uniform(0.34, largest)) * height
            if rng.random() < 0.08:
                size *= 1.35
            candidate = place_body(body, size, (0.0, 0.0))
            x1, y1, x2, y2 = extent_xyxy(candidate)
            cut = rng.random() < 0.15
            x = _anchor(rng, x1, x2, width, cut)
            y = _anchor(rng, y1, y2, height, cut and rng.random() < 0.6)
            candidate = place_body(body, size, (x, y))
            if all(_covered(candidate, other) < 0.45 for other in placed):
                placed.append(candidate)
                break
    return sorted(placed, key=lambda body: body.height)


def _anchor(rng: np.random.Generator, low: float, high: float, size: int, cut: bool) -> float:
    """Where the pelvis goes along one axis: inside the picture, or up to 40 % over its edge when `cut`."""
    extent = high - low
    slack = 0.4 * extent if cut else 0.0
    first, last = -low - slack, size - 1 - high + slack
    if first > last:
        return (first + last) / 2 + float(rng.uniform(-0.15, 0.15)) * extent
    return float(rng.uniform(first, last))


def _covered(a: PlacedBody, b: PlacedBody) -> float:
    """Shared part of the two boxes over the smaller one."""
    ax1, ay1, ax2, ay2 = extent_xyxy(a)
    bx1, by1, bx2, by2 = extent_xyxy(b)
    shared = max(0.0, min(ax2, bx2) - max(ax1, bx1)) * max(0.0, min(ay2, by2) - max(ay1, by1))
    return shared / min((ax2 - ax1) * (ay2 - ay1), (bx2 - bx1) * (by2 - by1))


def _read_truth(labels: Image, body: PlacedBody, index: int) -> PersonTruth | None:
    """The annotation of one painted person; None when not a pixel of them shows."""
    mask = person_mask(labels, index)
    area = cv2.countNonZero(mask)
    if area == 0:
        return None
    flags = visibility(labels, body, _base(index))
    keypoints = np.concatenate([np.round(body.body.joints[:, :2], 2), flags[:, None]], axis=1)
    keypoints[flags == 0] = 0
    x, y, w, h = cv2.boundingRect(mask)
    outlines, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    segmentation = [outline.reshape(-1).astype(float).tolist() for outline in outlines if len(outline) >= 3]
    return PersonTruth(keypoints, area, (x, y, w, h), segmentation)
