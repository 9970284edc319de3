"""Annotation files: who is kept, in which order, and what is refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from small_coco import content, write_annotations

from sdpose.data.coco import load_coco
from sdpose.errors import SdposeError
from sdpose.skeleton import COCO17, CROWDPOSE14


def load(folder: Path, value: Any) -> Any:
    return load_coco(write_annotations(folder, value), folder / "images", COCO17)


@pytest.mark.parametrize(
    ("dataset", "part", "num_images", "num_persons", "num_joints"),
    [
        ("coco_tiny", "train", 195, 589, 6307),
        ("coco_tiny", "val", 68, 177, 1918),
        ("lsp400", "train", 320, 320, 3344),
        ("lsp400", "val", 80, 80, 814),
    ],
)
def test_real_sets_have_the_people_their_readme_promises(
    shared: Path, dataset: str, part: str, num_images: int, num_persons: int, num_joints: int
) -> None:
    folder = shared / "data" / dataset
    table = load_coco(folder / f"person_keypoints_{part}.json", folder / "images", COCO17)
    persons = table.ground_truth_persons()
    assert (len(table.image_ids), len(persons), int(persons.visible.sum())) == (
        num_images,
        num_persons,
        num_joints,
    )
    table.check_images_exist()
    assert all(Path(path).is_file() for path in table.image_paths)


def test_real_val2017_has_all_its_people(shared: Path) -> None:
    folder = shared / "data" / "coco_val2017_eval"
    table = load_coco(folder / "person_keypoints_val2017_rebuilt.json", folder, COCO17)
    assert (len(table.image_ids), len(table.ground_truth_persons())) == (2331, 6142)


def test_values_arrive_as_annotated(tmp_path: Path) -> None:
    value = content(num_images=2, people_per_image=2)
    table = load(tmp_path, value)
    persons = table.ground_truth_persons()
    expected = np.array([a["keypoints"] for a in value["annotations"]], np.float32).reshape(4, 17, 3)
    np.testing.assert_array_equal(persons.joints, expected[..., :2])
    np.testing.assert_array_equal(persons.visible, np.ones((4, 17)))  # flag 1, occluded, counts as labelled
    np.testing.assert_array_equal(persons.boxes_xywh, [a["bbox"] for a in value["annotations"]])
    np.testing.assert_array_equal(persons.image_index, [0, 0, 1, 1])
    np.testing.assert_array_equal(persons.bbox_ids, [0, 1, 0, 1])
    np.testing.assert_array_equal(persons.box_scores, [1, 1, 1, 1])
    np.testing.assert_array_equal(table.image_ids, [10, 11])
    assert [persons.joints.dtype, persons.visible.dtype, persons.boxes_xywh.dtype] == ["f4", "f4", "f8"]
    assert list(table.image_paths) == [str(tmp_path / "images" / f"0000000000{i}.jpg") for i in (10, 11)]
    assert table.image_paths[-1] == table.image_paths[0:2][1]


def test_persons_follow_the_order_of_images_then_of_annotations(tmp_path: Path) -> None:
    value = content(num_images=3, people_per_image=2)
    value["annotations"] = value["annotations"][::-1]
    persons = load(tmp_path, value).ground_truth_persons()
    np.testing.assert_array_equal(persons.image_index, [0, 0, 1, 1, 2, 2])
    np.testing.assert_array_equal(persons.bbox_ids, [0, 1] * 3)
    second_first = np.array(value["annotations"][4]["keypoints"]).reshape(17, 3)[:, :2]
    np.testing.assert_array_equal(persons.joints[0], second_first)


@pytest.mark.parametrize(
    "change",
    [
        {"iscrowd": 1},
        {"bbox": None},
        {"area": 0},
        {"bbox": [20, 20, 0, 10]},
        {"bbox": [200, 20, 10, 10]},
        {"bbox": [20, 20, 10, -5]},
        {"keypoints": None},
        {"keypoints": []},
        {"keypoints": [0] * 51},
        {"num_keypoints": 0},
    ],
    ids=str,
)
def test_annotations_without_a_person_to_learn_from_are_left_out(
    tmp_path: Path, change: dict[str, Any]
) -> None:
    value = content(num_images=1, people_per_image=3)
    value["annotations"][1].update(change)
    for key in [key for key, new in change.items() if new is None]:
        del value["annotations"][1][key]
    persons = load(tmp_path, value).ground_truth_persons()
    np.testing.assert_array_equal(persons.bbox_ids, [0, 1])
    third = np.array(value["annotations"][2]["keypoints"]).reshape(17, 3)[:, :2]
    np.testing.assert_array_equal(persons.joints[1], third)


def test_what_the_file_does_not_say_does_not_leave_a_person_out(tmp_path: Path) -> None:
    value = content(num_images=1, people_per_image=1)
    for key in ("area", "num_keypoints", "iscrowd", "category_id"):
        del value["annotations"][0][key]
    assert len(load(tmp_path, value).ground_truth_persons()) == 1


@pytest.mark.parametrize(
    ("box", "clipped"),
    [
        ([10, 20, 30, 40], [10, 20, 30, 40]),
        ([-10, -20, 30, 60], [0, 0, 30, 60]),
        ([80, 60, 30, 40], [80, 60, 15, 11]),
        ([0, 0, 96, 72], [0, 0, 95, 71]),
        ([10.25, 20.5, 30.125, 40], [10.25, 20.5, 30.125, 40]),
    ],
)
def test_boxes_are_clipped_as_the_published_code_does(
    tmp_path: Path, box: list[float], clipped: list[float]
) -> None:
    value = content(num_images=1, people_per_image=1)
    value["annotations"][0]["bbox"] = box
    np.testing.assert_array_equal(load(tmp_path, value).ground_truth_persons().boxes_xywh, [clipped])


def test_outlines_do_not_change_what_is_read(tmp_path: Path) -> None:
    value = content(num_images=2)
    plain = load(tmp_path, value).ground_truth_persons()
    for annotation in value["annotations"]:
        annotation["segmentation"] = [[1.5, -2e-05, 3.0], [4, 5, 6]]
    value["annotations"][1]["segmentation"] = {"counts": [1, 2, 3], "size": [72, 96]}
    value["images"][0]["comment"] = 'says "segmentation":[1'
    for indent in (None, 2):
        path = tmp_path / "outlined.json"
        path.write_text(json.dumps(value, indent=indent))
        outlined = load_coco(path, tmp_path, COCO17).ground_truth_persons()
        np.testing.assert_array_equal(outlined.joints, plain.joints)
        np.testing.assert_array_equal(outlined.boxes_xywh, plain.boxes_xywh)


def test_crowdpose_files_are_read_with_their_own_skeleton(tmp_path: Path) -> None:
    value = content(num_images=2, people_per_image=1, skeleton=CROWDPOSE14)
    for image in value["images"]:
        image["crowdIndex"] = 0.4
    for annotation in value["annotations"]:
        del annotation["area"]
    persons = load_coco(write_annotations(tmp_path, value), tmp_path, CROWDPOSE14).ground_truth_persons()
    assert persons.joints.shape == (2, 14, 2)


def test_annotations_of_unlisted_images_are_left_out_and_told(tmp_path: Path) -> None:
    value = content(num_images=3, people_per_image=2)
    del value["images"][1]
    table = load(tmp_path, value)
    np.testing.assert_array_equal(table.ground_truth_persons().image_index, [0, 0, 1, 1])
    assert table.notes == (f"{table.ann_file}: 2 annotations belong to images that are not listed; left out",)


def test_a_file_without_annotations_serves_detections_only(tmp_path: Path) -> None:
    value = content()
    del value["annotations"]
    table = load(tmp_path, value)
    assert not table.has_annotations
    with pytest.raises(
        SdposeError, match=r"has no 'annotations', so it gives no boxes and no joints; use a file"
    ):
        table.ground_truth_persons()


def test_zero_persons_are_refused_where_persons_are_needed(tmp_path: Path) -> None:
    value = content(num_images=2)
    value["annotations"] = []
    with pytest.raises(
        SdposeError, match="has no person with a labelled joint in its 2 images; expected at least"
    ):
        load(tmp_path, value).ground_truth_persons()


def changed(change: Callable[[dict[str, Any]], Any]) -> dict[str, Any]:
    value = content(num_images=2, people_per_image=1)
    change(value)
    return value


def without_keypoints(value: dict[str, Any]) -> None:
    for annotation in value["annotations"]:
        del annotation["keypoints"]


def swap_names(value: dict[str, Any]) -> None:
    names = value["categories"][0]["keypoints"]
    names[1], names[2] = "right eye", "left eye"


REFUSED: dict[str, tuple[Any, str]] = {
    "list": (
        [],
        "{file} holds a list, expected a COCO annotation file: a dict with the keys images, annotations, ",
    ),
    "number": (3, "{file} holds a number, expected a COCO annotation file"),
    "no images": (
        changed(lambda v: v.pop("images")),
        "{file} has no 'images' (it has: annotations, categories); expected a COCO keypoint file with "
        "images, annotations and categories.",
    ),
    "misspelt": (changed(lambda v: v.update(image=v.pop("images"))), "Did you mean 'image'?"),
    "images a dict": (changed(lambda v: v.update(images={})), "'images' in {file} is not a list of dicts"),
    "zero images": (changed(lambda v: v.update(images=[])), "{file} lists no images"),
    "annotations null": (
        changed(lambda v: v.update(annotations=None)),
        "'annotations' in {file} is not a list",
    ),
    "no width": (
        changed(lambda v: v["images"][1].pop("width")),
        "{file}: image 1 (000000000011.jpg) has no 'width'; every image needs id, width and height as whole "
        "numbers and file_name as text",
    ),
    "text id": (changed(lambda v: v["images"][0].update(id="10")), "has 'id': '10'; every image needs id"),
    "same id": (changed(lambda v: v["images"][1].update(id=10)), "{file} lists image id 10 twice"),
    "no size": (changed(lambda v: v["images"][1].update(height=0)), "{file}: image id 11 is 96x0 pixels"),
    "detection only": (
        changed(without_keypoints),
        "{file} has 2 annotations but none with 'keypoints', so it is for detection; use the "
        "person_keypoints_*.json of the set",
    ),
    "14 joints": (
        content(num_images=1, people_per_image=1, skeleton=CROWDPOSE14),
        "{file}: annotation id 100 has 14 joints, skeleton 'coco' has 17; give the matching dataset_info, or "
        "the annotation file of this skeleton",
    ),
    "cut keypoints": (
        changed(lambda v: v["annotations"][1]["keypoints"].pop()),
        "{file}: annotation id 101 has 'keypoints': [",
    ),
    "NaN joint": (
        changed(lambda v: v["annotations"][1]["keypoints"].__setitem__(4, float("nan"))),
        "{file}: annotation id 101 has a value in 'keypoints' that is not finite: [",
    ),
    "text joint": (
        changed(lambda v: v["annotations"][0]["keypoints"].__setitem__(4, "left")),
        "expected 51 numbers (x, y, visibility for each of the 17 joints of skeleton 'coco')",
    ),
    "infinite box": (
        changed(lambda v: v["annotations"][0]["bbox"].__setitem__(2, float("inf"))),
        "{file}: annotation id 100 has a value in 'bbox' that is not finite: [",
    ),
    "short box": (
        changed(lambda v: v["annotations"][0].update(bbox=[1, 2, 3])),
        "{file}: annotation id 100 has 'bbox': [1, 2, 3]; expected 4 numbers (left, top, width, height)",
    ),
    "text area": (
        changed(lambda v: v["annotations"][0].update(area="big")),
        "{file}: annotation id 100 has 'area': 'big'; expected a number",
    ),
    "other images": (
        changed(lambda v: [a.update(image_id=[7]) for a in v["annotations"]]),
        "{file}: none of the 2 annotations belongs to a listed image (image_id [7], for example, is not "
        "among",
    ),
    "other order": (
        changed(swap_names),
        "{file} has the joints in another order than skeleton 'coco': joint 1 is 'right_eye', expected "
        "'left_eye'; put dataset_info in the file's order",
    ),
}


@pytest.mark.parametrize(("value", "message"), REFUSED.values(), ids=REFUSED.keys())
def test_what_is_not_coco_keypoints_is_refused_with_the_reason(
    tmp_path: Path, value: Any, message: str
) -> None:
    path = write_annotations(tmp_path, value)
    with pytest.raises(SdposeError) as error:
        load_coco(path, tmp_path, COCO17)
    assert message.replace("{file}", str(path)) in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "the annotation file {file} is empty (0 bytes); copy or download it again"),
        ("  \n", "the annotation file {file} is empty (3 bytes); copy or download it again"),
        (
            '{"images": [\n{"id": 1, "file_name"',
            "the annotation file {file} is not valid JSON: Expecting ':' delimiter in line 2, column 22 (the "
            "file seems cut short); copy or download it again",
        ),
        (
            '{"images": [,]}',
            "the annotation file {file} is not valid JSON: Expecting value in line 1, column 13; copy or "
            "download",
        ),
        ("\x89PNG\xff", "the annotation file {file} is not"),
    ],
    ids=["empty", "blank", "cut short", "malformed", "binary"],
)
def test_unreadable_files_say_why(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "a.json"
    path.write_bytes(text.encode("latin-1"))
    with pytest.raises(SdposeError) as error:
        load_coco(path, tmp_path, COCO17)
    assert message.replace("{file}", str(path)) in str(error.value)


def test_a_wrong_path_names_the_nearest_file(tmp_path: Path) -> None:
    write_annotations(tmp_path, content(), "person_keypoints_val2017.json")
    with pytest.raises(SdposeError) as error:
        load_coco(tmp_path / "person_keypoints_val2071.json", tmp_path, COCO17)
    assert str(error.value) == (
        f"the annotation file {tmp_path}/person_keypoints_val2071.json does not exist; check the path in the "
        "config, or --data-root. Did you mean 'person_keypoints_val2017.json'?"
    )
    with pytest.raises(SdposeError, match=r"cannot be read \(Is a directory\); expected a JSON file"):
        load_coco(tmp_path, tmp_path, COCO17)


def test_a_wrong_image_folder_is_said_before_training(tmp_path: Path) -> None:
    table = load(tmp_path, content())
    with pytest.raises(SdposeError, match=r"the image folder .*/images does not exist .*; check img_prefix"):
        table.check_images_exist()
    (tmp_path / "images").mkdir()
    with pytest.raises(
        SdposeError, match=r"none of the 4 images looked for exists, for example .*010\.jpg; img_pr"
    ):
        table.check_images_exist()
    (tmp_path / "images" / "000000000012.jpg").touch()
    table.check_images_exist()
