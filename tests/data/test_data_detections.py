"""Boxes of a person detector."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from small_coco import content, write_annotations

from sdpose.data.coco import CocoKeypoints, load_coco
from sdpose.data.persons import PersonTable
from sdpose.data.plain_columns import read_detection_columns
from sdpose.errors import SdposeError
from sdpose.skeleton import COCO17


@pytest.fixture
def table(tmp_path: Path) -> CocoKeypoints:
    return load_coco(write_annotations(tmp_path, content(num_images=3)), tmp_path, COCO17)


def detection(**changes: Any) -> dict[str, Any]:
    return {"image_id": 11, "category_id": 1, "bbox": [-3.5, 2.0, 500.25, 40.0], "score": 0.5} | changes


def test_boxes_stay_as_they_are_and_keep_their_order(tmp_path: Path, table: CocoKeypoints) -> None:
    entries = [
        detection(image_id=12, score=0.25),
        detection(category_id=2, score=0.9),
        detection(image_id=10, score=0.1),
        detection(score=0.75),
    ]
    persons = table.detected_persons(write_annotations(tmp_path, entries, "boxes.json"), 0.25)
    np.testing.assert_array_equal(persons.image_index, [2, 1])
    np.testing.assert_array_equal(persons.boxes_xywh, [[-3.5, 2.0, 500.25, 40.0]] * 2)
    np.testing.assert_array_equal(persons.box_scores, np.float32([0.25, 0.75]))
    np.testing.assert_array_equal(persons.bbox_ids, [0, 1])
    assert persons.visible.sum() == persons.joints.sum() == 0
    assert persons.joints.shape == (2, 17, 2)


def test_the_well_known_detections_are_read(shared: Path) -> None:
    folder = shared / "data" / "coco_val2017_eval"
    table = load_coco(folder / "person_keypoints_val2017_official_subset.json", folder, COCO17)
    boxes = folder / "COCO_val2017_detections_AP_H_56_person_part.json"
    assert len(table.detected_persons(boxes)) == 16321
    assert 0 < len(table.detected_persons(boxes, 0.9)) < 16321


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        (
            [],
            "{file} is an empty list: no detections to evaluate; run the detector again, or set "
            "use_gt_bbox=True",
        ),
        (
            {"images": []},
            "{file} is not a list of detections; expected [{image_id, category_id, bbox, score}, ...]",
        ),
        ([1, 2], "{file} is not a list of detections"),
        (
            [detection(), {"image_id": 11, "bbox": [0, 0, 1, 1]}],
            "{file}: detection 1 has no category_id, score (it has: image_id, bbox); expected image_id, "
            "category_id, ",
        ),
        (
            [detection(), detection(image_id=7), detection(image_id=8)],
            "{file}: 2 of 3 detections are in images that {ann} does not list (image_id 7, for example); use "
            "the detection file made for this set",
        ),
        (
            [detection(image_id=["11"])],
            "{file}: 1 of 1 detections are in images that {ann} does not list (image_",
        ),
        (
            [detection(category_id=3)],
            "{file}: no detection is a person with a score of at least 0 (there is no entry with category_id "
            "1)",
        ),
        (
            [detection(bbox=[1, 2])],
            "{file}: the entry of image_id 11 has 'bbox': [1, 2]; expected 4 numbers (left,",
        ),
        (
            [detection(score=float("nan"))],
            "{file}: the entry of image_id 11 has a value in 'score' that is not fin",
        ),
        (
            [detection(score="high")],
            "{file}: the entry of image_id 11 has 'score': ['high']; expected a number (a",
        ),
    ],
    ids=["empty", "dict", "numbers", "keys", "unknown images", "list id", "category", "box", "nan", "text"],
)
def test_other_files_are_refused_with_the_reason(
    tmp_path: Path, table: CocoKeypoints, entries: Any, message: str
) -> None:
    path = write_annotations(tmp_path, entries, "boxes.json")
    with pytest.raises(SdposeError) as error:
        table.detected_persons(path)
    assert message.replace("{file}", str(path)).replace("{ann}", str(table.ann_file)) in str(error.value)


def test_a_threshold_that_leaves_nothing_names_the_best_score(tmp_path: Path, table: CocoKeypoints) -> None:
    path = write_annotations(tmp_path, [detection(), detection(score=0.625)], "boxes.json")
    with pytest.raises(SdposeError) as error:
        table.detected_persons(path, 0.9)
    assert str(error.value) == (
        f"{path}: no detection is a person with a score of at least 0.9 (the best score is 0.625); lower "
        "det_bbox_thr or use another file"
    )


def test_a_missing_file_is_named(tmp_path: Path, table: CocoKeypoints) -> None:
    with pytest.raises(SdposeError, match=r"the detection file .*boxes\.json does not exist; check the path"):
        table.detected_persons(tmp_path / "boxes.json")


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"bbox": [-1e-3, 2, 5.5e1, 40], "extra": [1, {"a": None}]},
        {"score": 1},
        {"score": True},
        {"category_id": 1.0},
        {"category_id": 7, "bbox": None, "score": 0},
    ],
    ids=["as it is", "numbers of all kinds", "whole score", "true score", "1.0", "another category"],
)
def test_the_quick_way_gives_what_reading_entry_by_entry_gives(
    tmp_path: Path, table: CocoKeypoints, monkeypatch: pytest.MonkeyPatch, changes: dict[str, Any]
) -> None:
    path = write_annotations(tmp_path, [detection(), detection(**changes), detection(image_id=10)], "b.json")
    quick = table.detected_persons(path, 0.1)
    monkeypatch.setattr("sdpose.data.detections.read_detection_columns", lambda text: None)
    assert_same(quick, table.detected_persons(path, 0.1))


def test_the_well_known_detections_are_read_the_quick_way(
    shared: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = shared / "data" / "coco_val2017_eval"
    table = load_coco(folder / "person_keypoints_val2017_official_subset.json", folder, COCO17)
    path = folder / "COCO_val2017_detections_AP_H_56_person_part.json"
    assert read_detection_columns(path.read_bytes()) is not None
    quick = table.detected_persons(path, 0.3)
    monkeypatch.setattr("sdpose.data.detections.read_detection_columns", lambda text: None)
    assert_same(quick, table.detected_persons(path, 0.3))


def assert_same(left: PersonTable, right: PersonTable) -> None:
    for column in fields(PersonTable):
        one, other = getattr(left, column.name), getattr(right, column.name)
        np.testing.assert_array_equal(one, other)
        assert one.dtype == other.dtype, column.name
