"""Boxes against the persons they should be about."""

from __future__ import annotations

import numpy as np
import pytest

from sdpose.data.box_match import NOBODY, iou_matrix, match_boxes, recall_by_chance
from sdpose.data.persons import PersonTable


def table(image_index: list[int], boxes_xywh: list[list[float]]) -> PersonTable:
    number = len(image_index)
    return PersonTable(
        image_index=np.array(image_index, np.int32),
        boxes_xywh=np.array(boxes_xywh, np.float64).reshape(number, 4),
        joints=np.zeros((number, 17, 2), np.float32),
        visible=np.zeros((number, 17), np.float32),
        box_scores=np.ones(number, np.float32),
        bbox_ids=np.arange(number, dtype=np.int64),
    )


def test_overlap_is_shared_over_joint_area() -> None:
    iou = iou_matrix(np.array([[0.0, 0, 2, 2]]), np.array([[1.0, 0, 2, 2], [5, 5, 1, 1], [0, 0, 0, 0]]))
    assert iou == pytest.approx(np.array([[1 / 3, 0, 0]]))


def test_nothing_matches_nothing() -> None:
    match = match_boxes(table([], []), table([], []))
    assert (match.owner.tolist(), match.best_iou.tolist(), match.recall()) == ([], [], 0.0)


def test_each_box_is_about_the_person_it_overlaps_most() -> None:
    persons = table([0, 0, 2], [[0, 0, 10, 10], [20, 0, 10, 10], [0, 0, 10, 10]])
    boxes = table([0, 0, 1, 2], [[19, 0, 10, 10], [50, 50, 5, 5], [0, 0, 10, 10], [0, 0, 10, 5]])
    match = match_boxes(boxes, persons)
    assert match.owner.tolist() == [1, NOBODY, NOBODY, 2]
    assert match.best_iou.tolist() == pytest.approx([0, 90 / 110, 0.5])
    assert match.recall() == pytest.approx(2 / 3)


def test_boxes_of_other_images_match_by_chance_only() -> None:
    rng = np.random.default_rng(0)
    corner, size = rng.uniform(0, 500, (300, 2)), rng.uniform(20, 90, (300, 2))
    persons = table((np.arange(300) // 3).tolist(), np.hstack([corner, size]).tolist())
    assert match_boxes(persons, persons).recall() == 1
    assert recall_by_chance(persons, persons) < 0.05
    assert recall_by_chance(table([0], [[0, 0, 1, 1]]), persons) == 0


def test_the_persons_of_some_images_can_be_taken() -> None:
    persons = table([0, 1, 1, 3], [[0, 0, 1, 1], [1, 0, 1, 1], [2, 0, 1, 1], [3, 0, 1, 1]])
    some = persons.in_images([1, 2])
    assert some.image_index.tolist() == [1, 1]
    assert some.bbox_ids.tolist() == [1, 2]
    assert len(persons.in_images([])) == 0
