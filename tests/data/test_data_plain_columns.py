"""The quick way to read annotations gives what reading entry by entry gives, or leaves the file to that."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from small_coco import content

from benchmarks.coco_size import write_annotations
from sdpose.data.annotation_file import interpret_annotations, read_annotation_file
from sdpose.data.json_file import read_json
from sdpose.data.plain_columns import read_columns
from sdpose.errors import SdposeError
from sdpose.skeleton import COCO17


def assert_read_alike(path: Path) -> None:
    quick = read_annotation_file(path, COCO17)
    plain = interpret_annotations(path, read_json(path, "annotation file"), COCO17)
    for field in fields(plain):
        left, right = getattr(quick, field.name), getattr(plain, field.name)
        np.testing.assert_array_equal(left, right)
        assert getattr(left, "dtype", None) == getattr(right, "dtype", None), field.name


def decimals(value: dict[str, Any]) -> None:
    for annotation in value["annotations"]:
        annotation["keypoints"] = [x + 0.25 if x > 2 else x for x in annotation["keypoints"]]


def negative(value: dict[str, Any]) -> None:
    value["annotations"][1]["keypoints"][3:6] = [-7, 2.5e1, 1]
    value["annotations"][1]["bbox"] = [-3.5, -1e-3, 40, 50]


def crowds_and_gaps(value: dict[str, Any]) -> None:
    value["annotations"][0].update(
        iscrowd=1, segmentation={"counts": [3, 4], "size": [9, 9]}, keypoints=[0] * 51
    )
    value["annotations"][1]["bbox"] = []
    value["annotations"][2]["keypoints"] = None
    del value["annotations"][3]["bbox"]
    del value["annotations"][4]["area"], value["annotations"][5]["num_keypoints"]
    value["annotations"][6]["image_id"] = 99
    value["images"].reverse()


def large(value: dict[str, Any]) -> None:
    value["annotations"][0]["keypoints"][:3] = [123456789012, 5, 2]


PLAIN: dict[str, Callable[[dict[str, Any]], None]] = {
    "as it is": lambda value: None,
    "decimals": decimals,
    "negative": negative,
    "crowds and gaps": crowds_and_gaps,
    "large numbers": large,
}


@pytest.mark.parametrize("indent", [None, 2])
@pytest.mark.parametrize("change", PLAIN.values(), ids=PLAIN)
def test_common_files_are_read_the_quick_way_and_alike(
    tmp_path: Path, change: Callable[[dict[str, Any]], None], indent: int | None
) -> None:
    value = content()
    change(value)
    path = tmp_path / "a.json"
    path.write_text(json.dumps(value, indent=indent))
    assert read_columns(path.read_bytes(), 17) is not None
    assert_read_alike(path)


@pytest.mark.parametrize(
    "change",
    [
        lambda value: value["annotations"][3].update(area="12"),
        lambda value: value["annotations"][3].update(image_id="x"),
        lambda value: value["annotations"][3].update(iscrowd="yes"),
        lambda value: value["annotations"][3].update(bbox={}),
        lambda value: value["annotations"][3].update(bbox=False),
        lambda value: value.update(annotations=[]),
        lambda value: value.pop("annotations"),
    ],
    ids=["text area", "text image id", "text crowd", "dict box", "false box", "no person", "no annotations"],
)
def test_unusual_files_are_left_to_the_thorough_way(
    tmp_path: Path, change: Callable[[dict[str, Any]], None]
) -> None:
    value = content()
    change(value)
    path = tmp_path / "a.json"
    path.write_text(json.dumps(value))
    assert read_columns(path.read_bytes(), 17) is None
    assert_read_alike(path)


@pytest.mark.parametrize(
    "numbers",
    [
        "[1,2,3]",
        "[1,2,3,4,5]",
        "[[1,2],[3,4]]",
        '["1",2,3,4]',
        '[1,2,3,","]',
        "[1,2,null,4]",
        "[1,2,3,NaN]",
        "12",
    ],
)
def test_lists_of_anything_but_so_many_numbers_are_unusual(numbers: str) -> None:
    value = content(num_images=1, people_per_image=1)
    value["annotations"][0]["bbox"] = "HERE"
    text = json.dumps(value).replace('"HERE"', numbers)
    assert read_columns(text.encode(), 17) is None


def test_names_that_are_not_utf8_are_said(tmp_path: Path) -> None:
    text = json.dumps(content(num_images=1)).encode().replace(b"000000000010", b"\xff")
    path = tmp_path / "a.json"
    path.write_bytes(text)
    with pytest.raises(SdposeError, match=r"a\.json is not JSON text \(invalid start byte\); is it packed\?"):
        read_annotation_file(path, COCO17)


def test_real_annotations_are_read_alike(shared: Path) -> None:
    for part in ("train", "val"):
        assert_read_alike(shared / f"data/coco_tiny/person_keypoints_{part}.json")


def test_files_of_cocos_shape_are_read_alike(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    write_annotations(path, num_persons=300, seed=3)
    assert read_columns(path.read_bytes(), 17) is not None
    assert_read_alike(path)
    assert (read_annotation_file(path, COCO17).num_keypoints > 0).sum() == 300
