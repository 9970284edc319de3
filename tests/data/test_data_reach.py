"""The rectangle of a person holds every crop that the augmentation can draw, and is not much larger."""

from __future__ import annotations

from dataclasses import replace
from itertools import product

import numpy as np
import pytest
from numpy.typing import NDArray

from sdpose.data.augment import Augmentation, draw
from sdpose.data.persons import PersonTable
from sdpose.data.reach import image_rectangles, reach
from sdpose.geometry import affine_matrix, apply_affine, box_to_center_scale
from sdpose.skeleton import COCO17, Skeleton

SIZE_WH, ASPECT_RATIO, IMAGE_WIDTH = (48, 64), 0.75, 640
# Halves that are not their own mirror images: left arm and leg, and what a mirrored person has there.
LOPSIDED = replace(COCO17, upper_body=(0, 5, 7, 9), lower_body=(11, 13, 15))


class Extreme:
    """Draws the ends of every distribution."""

    def __init__(self, shift: tuple[float, ...], scale: float, turn: float, upper: bool) -> None:
        self._shift, self._normal = shift, [-9.0 if upper else 9.0, scale, turn]

    def random(self) -> float:
        return 1e-9  # whatever has a probability happens

    def uniform(self, low: float, high: float, size: int) -> NDArray[np.float64]:
        return np.array(self._shift)

    def standard_normal(self) -> float:
        return self._normal.pop(0) if len(self._normal) < 4 else 0.0


def person(num_visible: int) -> PersonTable:
    rng = np.random.default_rng(7)
    joints = rng.uniform((200, 100), (400, 300), (1, 17, 2)).astype(np.float32)
    return PersonTable(
        image_index=np.zeros(1, np.int32),
        boxes_xywh=np.array([[200.0, 100, 200, 200]]),
        joints=joints,
        visible=(np.arange(17) < num_visible).astype(np.float32)[None],
        box_scores=np.ones(1, np.float32),
        bbox_ids=np.zeros(1, np.int64),
    )


def corners(
    persons: PersonTable, augmentation: Augmentation, skeleton: Skeleton, rng: Extreme
) -> NDArray[np.float64]:
    """Of one crop, (4, 2) in pixels of the image as it is stored."""
    centers, scales = box_to_center_scale(persons.boxes_xywh, aspect_ratio=ASPECT_RATIO)
    place = draw(
        rng,  # type: ignore[arg-type]
        augmentation,
        skeleton,
        center=centers[0],
        scale=scales[0],
        joints=persons.joints[0],
        visible=persons.visible[0],
        image_width=IMAGE_WIDTH,
        aspect_ratio=ASPECT_RATIO,
    )
    matrix = affine_matrix(place.center, place.scale, place.rotation_deg, SIZE_WH, inverse=True)
    width, height = SIZE_WH
    points = apply_affine([(0, 0), (width, 0), (0, height), (width, height)], matrix)
    if place.mirrored:
        points[:, 0] = IMAGE_WIDTH - 1 - points[:, 0]
    return points


@pytest.mark.parametrize("skeleton", [COCO17, LOPSIDED], ids=["COCO", "lopsided"])
@pytest.mark.parametrize("num_visible", [8, 9, 13])
@pytest.mark.parametrize(
    "recipe",
    [
        Augmentation(),
        Augmentation(half_body_num_joints=0),
        Augmentation(shift_prob=0, rot_prob=0),
        Augmentation(half_body_prob=0, rot_factor=20),
        Augmentation(flip_prob=-1, scale_factor=0.1),
    ],
    ids=["published", "half bodies", "upright", "whole bodies", "unmirrored"],
)
def test_it_holds_the_widest_crops(recipe: Augmentation, num_visible: int, skeleton: Skeleton) -> None:
    persons = person(num_visible)
    centers, scales = box_to_center_scale(persons.boxes_xywh, aspect_ratio=ASPECT_RATIO)
    (rectangle,) = reach(
        persons, centers, scales, aspect_ratio=ASPECT_RATIO, augmentation=recipe, skeleton=skeleton
    )
    shown = [
        corners(persons, replace(recipe, flip_prob=flip), skeleton, Extreme(shift, 9.0, turn, upper))
        for shift in product((-1.0, 1.0), repeat=2)
        for turn in np.linspace(-2, 2, 17)
        for upper in (True, False)
        for flip in {recipe.flip_prob, -1.0}
    ]
    points = np.concatenate(shown)
    low, high = points.min(0), points.max(0)
    assert (low >= rectangle[:2] - 0.1).all()
    assert (high <= rectangle[2:] + 0.1).all()
    # No photograph is packed in vain: half bodies, shifted or not, are what the rest is for.
    if recipe.half_body_prob == 0:
        np.testing.assert_allclose([*low, *high], rectangle, atol=1)


def test_without_augmentation_it_is_the_crop() -> None:
    persons = person(17)
    centers, scales = box_to_center_scale(persons.boxes_xywh, aspect_ratio=ASPECT_RATIO)
    found = reach(persons, centers, scales, aspect_ratio=ASPECT_RATIO, augmentation=None, skeleton=COCO17)
    np.testing.assert_allclose(found, [[300 - 125, 200 - 125 / 0.75, 300 + 125, 200 + 125 / 0.75]], rtol=1e-6)


def test_an_image_needs_what_its_persons_need_within_its_edges() -> None:
    rectangles = np.array([[-50.0, 20.2, 60.5, 90.0], [10, 10, 30, 400], [700, 0, 800, 50]])
    found = image_rectangles(rectangles, np.array([0, 0, 2], np.int32), np.array([[100, 200]] * 3, np.int32))
    assert found.tolist() == [[0, 5, 66, 200], [0, 0, 0, 0], [0, 0, 0, 0]]
