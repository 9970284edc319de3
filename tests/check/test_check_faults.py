"""Each planted fault is named by the line that it belongs to, with a cure."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from checked import annotation_path, box_path, change_json, check, write_config

from sdpose.cli.main import main
from sdpose.skeleton import COCO17

FLIP = list(COCO17.flip_index)
Annotation = dict[str, Any]


def persons(content: dict[str, Any]) -> list[Annotation]:
    return [annotation for annotation in content["annotations"] if annotation["num_keypoints"]]


def joints_of(annotation: Annotation) -> np.ndarray:
    return np.array(annotation["keypoints"], float).reshape(-1, 3)


def each(change: Callable[[np.ndarray], np.ndarray], share: float = 1.0) -> Callable[[Any], None]:
    """Change the joints (17, 3) of a share of the people."""

    def apply(content: dict[str, Any]) -> None:
        rng = np.random.default_rng(0)
        for annotation in persons(content):
            if rng.random() < share:
                annotation["keypoints"] = change(joints_of(annotation)).reshape(-1).tolist()

    return apply


def exchanged(first: int, second: int) -> Callable[[np.ndarray], np.ndarray]:
    order = list(range(17))
    order[first], order[second] = second, first
    return lambda joints: joints[order]


def shifted(by: float) -> Callable[[np.ndarray], np.ndarray]:
    return lambda joints: np.where(joints[:, 2:] > 0, joints + np.array([by, by, 0]), joints)


def one_far_away(content: dict[str, Any]) -> None:
    """One joint of one person: a slip of the mouse."""
    persons(content)[0]["keypoints"][:3] = [400.0, 20.0, 2]


def boxes_as_corners(content: dict[str, Any]) -> None:
    for annotation in persons(content):
        x, y, width, height = annotation["bbox"]
        annotation["bbox"] = [x + width, y + height, width, height]


def shuffled_labels(content: dict[str, Any]) -> None:
    people = persons(content)
    order = np.random.default_rng(0).permutation(len(people))
    labels = [(person["keypoints"], person["num_keypoints"]) for person in people]
    for person, row in zip(people, order, strict=True):
        person["keypoints"], person["num_keypoints"] = labels[row]


def doubled(content: dict[str, Any]) -> None:
    more = [{**person, "id": 10_000_000 + number} for number, person in enumerate(persons(content)[::4])]
    content["annotations"] += more


def wrong_flags(content: dict[str, Any]) -> None:
    for person in persons(content)[::3]:
        person["keypoints"][2::3] = [3 if flag else 0 for flag in person["keypoints"][2::3]]


@pytest.mark.parametrize(
    ("change", "line", "status", "told"),
    [
        (each(lambda joints: joints[FLIP]), "left and right", "fail", "the person's own left"),
        (each(lambda joints: joints[FLIP], 0.5), "left and right", "fail", "a part of the labels"),
        (each(exchanged(5, 6)), "left and right", "fail", "(shoulder"),
        (each(exchanged(9, 10)), "left and right", "fail", "(elbow-wrist"),
        (each(exchanged(1, 2)), "left and right", "fail", "eye"),
        (
            each(lambda joints: joints[np.random.default_rng(0).permutation(17)]),
            "joint order",
            "fail",
            "order",
        ),
        (each(shifted(25)), "labels", "fail", "outside the crop"),
        (each(shifted(300)), "labels", "fail", "outside their image"),
        (one_far_away, "labels", "warn", "outside their image"),
        (boxes_as_corners, "labels", "fail", "bbox [left, top, width, height]"),
        (shuffled_labels, "labels", "fail", "box and joints are of two people"),
        (doubled, "labels", "fail", "duplicates"),
        (wrong_flags, "labels", "fail", "COCO's flags are 0 unlabelled"),
    ],
    ids=[
        "all exchanged",
        "half exchanged",
        "shoulders exchanged",
        "wrists exchanged",
        "eyes exchanged",
        "joints in another order",
        "joints shifted",
        "joints far away",
        "some joints far away",
        "boxes shifted",
        "labels shuffled",
        "persons twice",
        "unknown flags",
    ],
)
@pytest.mark.parametrize("split", ["train", "val"])
def test_a_fault_in_the_labels_is_named(
    tmp_path: Path,
    broken: Path,
    capsys: pytest.CaptureFixture[str],
    change: Callable[[Any], Any],
    line: str,
    status: str,
    told: str,
    split: str,
) -> None:
    change_json(annotation_path(broken, split), change)
    answers = check(capsys, write_config(tmp_path, broken), "--only", "annotations")
    found = answers.lines[f"{line} ({split})"]
    assert found["status"] == status, found
    assert told in found["text"] + found["cure"]
    assert found["cure"]
    assert answers.code == (1 if status == "fail" else 0)
    other = "val" if split == "train" else "train"
    assert not [name for name in answers.named("fail") | answers.named("warn") if other in name]


def no_boxes(content: Any) -> list[Any]:
    return []


def boxes_beyond(content: list[dict[str, Any]]) -> None:
    for entry in content:
        x, y, width, height = entry["bbox"]
        entry["bbox"] = [x, y, x + width, y + height]


def boxes_beside(content: list[dict[str, Any]]) -> None:
    for entry in content:
        entry["bbox"][0] = (entry["bbox"][0] + 60) % 100


def percent(content: list[dict[str, Any]]) -> None:
    for entry in content:
        entry["score"] *= 100


def without_scores(content: list[dict[str, Any]]) -> None:
    for entry in content:
        entry["score"] = 1.0


def every_other(content: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return content[::2]


@pytest.mark.parametrize(
    ("change", "line", "status", "told"),
    [
        (no_boxes, "boxes", "fail", "is an empty list"),
        (boxes_beyond, "boxes", "fail", "not [left, top, right, bottom]"),
        (boxes_beside, "boxes find people", "fail", "look like boxes of other images"),
        (percent, "box scores", "fail", "confidences from 0 to 1"),
        (without_scores, "box scores", "warn", "ranks poses"),
        (every_other, "boxes find people", "warn", "cannot be found"),
    ],
)
def test_a_fault_in_the_box_file_is_named(
    tmp_path: Path,
    broken: Path,
    capsys: pytest.CaptureFixture[str],
    change: Callable[[Any], Any],
    line: str,
    status: str,
    told: str,
) -> None:
    change_json(box_path(broken), change)
    answers = check(capsys, write_config(tmp_path, broken), "--only", "boxes", "round-trip")
    found = answers.lines[line]
    assert found["status"] == status, answers.content
    assert told in found["text"] + found["cure"]
    assert answers.status("round trip") == "pass"


def test_an_empty_box_file_is_named(tmp_path: Path, broken: Path, capsys: pytest.CaptureFixture[str]) -> None:
    box_path(broken).write_text("")
    answers = check(capsys, write_config(tmp_path, broken), "--only", "boxes", "data")
    assert answers.named("fail") == {"boxes", "validation data"}
    assert "is empty" in answers.lines["boxes"]["text"]


def test_boxes_of_another_set_are_named_though_the_image_ids_fit(
    tmp_path: Path, broken: Path, strangers: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copy(box_path(strangers), box_path(broken))
    answers = check(capsys, write_config(tmp_path, broken), "--only", "boxes", "round-trip")
    assert answers.status("boxes") == "pass"
    assert answers.status("boxes find people") == "fail"
    assert "boxes of other images" in answers.lines["boxes find people"]["text"]
    assert answers.status("round trip") == "pass"
    assert answers.status("round trip, detected") == "fail"


def test_boxes_of_images_that_are_not_listed_are_named(
    tmp_path: Path, broken: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def renumber(content: list[dict[str, Any]]) -> None:
        for entry in content:
            entry["image_id"] += 1_000_000

    change_json(box_path(broken), renumber)
    answers = check(capsys, write_config(tmp_path, broken), "--only", "boxes")
    assert answers.named("fail") == {"boxes"}
    assert "does not list" in answers.lines["boxes"]["text"]


def images_of(data_root: Path, split: str = "train") -> list[Path]:
    return sorted((data_root / f"{split}2017").iterdir())


def test_missing_images_are_named(tmp_path: Path, broken: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for path in images_of(broken)[:3]:
        path.unlink()
    answers = check(capsys, write_config(tmp_path, broken), "--only", "images")
    found = answers.lines["image files (train)"]
    assert found["status"] == "fail"
    assert "3 of 60 missing" in found["text"]
    assert str(images_of(broken)[0].parent) in found["text"]
    assert "57 of 60 decoded" in answers.lines["images open (train)"]["text"]
    assert not [name for name in answers.named("fail") if "val" in name]


@pytest.mark.parametrize(
    ("damage", "told"),
    [
        (lambda path: path.write_bytes(path.read_bytes()[:50]), "cannot be decoded"),
        (lambda path: path.write_bytes(b""), "the file is empty"),
        (lambda path: path.write_text("<html>not found</html>"), "not an image"),
    ],
)
def test_images_that_do_not_open_are_named(
    tmp_path: Path,
    broken: Path,
    capsys: pytest.CaptureFixture[str],
    damage: Callable[[Path], Any],
    told: str,
) -> None:
    damaged = images_of(broken)[5:8]
    for path in damaged:
        damage(path)
    answers = check(capsys, write_config(tmp_path, broken), "--only", "images")
    assert answers.status("image files (train)") == "pass"
    found = answers.lines["images open (train)"]
    assert found["status"] == "fail"
    assert told in found["text"]
    assert all(path.name in found["text"] for path in damaged)


def test_one_bad_image_of_many_is_a_warning(
    tmp_path: Path, broken: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = annotation_path(broken, "train")

    def list_more(content: dict[str, Any]) -> None:
        first = content["images"][0]
        content["images"] += [{**first, "id": 5_000_000 + number} for number in range(150)]

    change_json(path, list_more)
    images_of(broken)[20].write_bytes(b"")
    answers = check(capsys, write_config(tmp_path, broken), "--only", "images")
    assert answers.status("images open (train)") == "warn"
    assert answers.code == 0


def test_images_of_another_size_are_named(
    tmp_path: Path, broken: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def enlarge(content: dict[str, Any]) -> None:
        for image in content["images"]:
            image["width"] *= 2

    change_json(annotation_path(broken, "val"), enlarge)
    answers = check(capsys, write_config(tmp_path, broken), "--only", "images")
    assert answers.named("fail") == {"images open (val)"}
    assert "its annotation says 256x128" in answers.lines["images open (val)"]["text"]


def test_an_image_folder_that_is_none_is_named(
    tmp_path: Path, broken: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.rmtree(broken / "train2017")
    (broken / "train2017").write_text("a file")
    answers = check(capsys, write_config(tmp_path, broken), "--only", "data", "images", "picture")
    assert answers.status("training data") == "fail"
    assert "train2017 does not exist" in answers.lines["training data"]["text"]
    assert answers.status("image files (train)") == "fail"
    assert answers.status("picture") == "warn"
    assert "not asked" in answers.lines["picture"]["text"]


@pytest.mark.skipif(os.geteuid() == 0, reason="nothing is unreadable for root")
def test_an_image_folder_that_may_not_be_read_is_named(
    tmp_path: Path, broken: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (broken / "train2017").chmod(0)
    try:
        answers = check(capsys, write_config(tmp_path, broken), "--only", "data", "images")
    finally:
        (broken / "train2017").chmod(0o755)
    assert {"training data", "image files (train)"} <= answers.named("fail")


def test_images_out_of_reach_are_named(
    tmp_path: Path, broken: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def lengthen(content: dict[str, Any]) -> None:
        for image in content["images"]:
            image["file_name"] = 300 * "x" + image["file_name"]

    change_json(annotation_path(broken, "val"), lengthen)
    answers = check(capsys, write_config(tmp_path, broken), "--only", "data", "images")
    assert {"validation data", "image files (val)"} == answers.named("fail")
    assert "cannot be reached (File name too long" in answers.lines["validation data"]["text"]
    assert "(File name too long)" in answers.lines["image files (val)"]["text"]
    assert "none of 40 is there" in answers.lines["images open (val)"]["text"]


def test_annotations_of_another_skeleton_are_named(
    tmp_path: Path, broken: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def shorten(content: dict[str, Any]) -> None:
        content["categories"][0].pop("keypoints", None)
        for annotation in content["annotations"]:
            annotation["keypoints"] = annotation["keypoints"][: 3 * 14]

    change_json(annotation_path(broken, "train"), shorten)
    answers = check(capsys, write_config(tmp_path, broken), "--only", "data", "annotations")
    assert answers.status("training data") == "fail"
    assert "has 14 joints, skeleton 'coco' has 17" in answers.lines["training data"]["text"]


def test_a_wrong_number_of_joints_in_the_config_is_refused(
    tmp_path: Path, people: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = write_config(tmp_path, people)
    assert main(["check", str(config), "--cfg-options", "data.train.data_cfg.num_joints=16"]) == 2
    assert "num_joints: got 16" in capsys.readouterr().err


WRONG_PAIRS = """
dataset_info = dict(keypoint_info={
    1: dict(swap='right_ear'), 4: dict(swap='left_eye'), 2: dict(swap='left_ear'), 3: dict(swap='right_eye'),
})
"""


def with_dataset_info(text: str) -> str:
    """`dataset_info` of all splits: COCO's, changed."""
    splits = ", ".join(f"{split}=dict(dataset_info=changed)" for split in ("train", "val", "test"))
    return f"{text.replace('dataset_info = ', 'changed = ')}\ndata = dict({splits})\n"


@pytest.mark.parametrize(
    ("info", "line", "status", "told"),
    [
        (WRONG_PAIRS, "flip pairs", "fail", "left_eye with right_ear instead of right_eye"),
        (
            "dataset_info = dict(keypoint_info={5: dict(swap=''), 6: dict(swap='')})",
            "flip pairs",
            "fail",
            "left_shoulder with left_shoulder instead of right_shoulder",
        ),
        ("dataset_info = dict(sigmas=[0.1] * 17)", "OKS sigmas", "warn", "unlike COCO's"),
        ("dataset_info = dict(sigmas=[0.8] * 17)", "OKS sigmas", "fail", "out of the question"),
    ],
)
def test_a_skeleton_that_contradicts_itself_is_named(
    tmp_path: Path,
    people: Path,
    capsys: pytest.CaptureFixture[str],
    info: str,
    line: str,
    status: str,
    told: str,
) -> None:
    config = write_config(tmp_path, people, with_dataset_info(info))
    answers = check(capsys, config, "--only", "config")
    assert answers.status(line) == status, answers.content
    assert told in answers.lines[line]["text"]
    assert answers.lines[line]["cure"]


@pytest.mark.parametrize(
    ("options", "line", "status", "told"),
    [
        (["total_epochs=3", "evaluation.interval=5"], "schedule", "warn", "no evaluation"),
        (["total_epochs=21", "evaluation.interval=5"], "schedule", "warn", "never evaluated"),
        (["lr_config.warmup_iters=1000"], "schedule", "warn", "warm-up takes 1000 of"),
        (["optimizer.lr=0.5"], "schedule", "warn", "lr 0.5 is very high"),
        (
            ["checkpoint_config.interval=-1", "checkpoint_config.save_last=False"],
            "schedule",
            "warn",
            "no epoch is",
        ),
        (["data.samples_per_gpu=8"], "batch size", "warn", "GradientCumulativeOptimizerHook"),
        (["load_from=/nowhere/weights.pth"], "load_from", "fail", "does not exist"),
        (["model.pretrained=/nowhere/hrnet.pth"], "model.pretrained", "fail", "does not exist"),
        (["resume_from=/nowhere/epoch_1.pth"], "resume_from", "fail", "/nowhere/epoch_1.pth"),
        (["work_dir=/proc/nowhere/run"], "work_dir", "fail", "--work-dir"),
        (["work_dir=/dev/null/run"], "work_dir", "fail", "is a file"),
    ],
)
def test_settings_that_make_no_sense_are_named(
    config: Path,
    capsys: pytest.CaptureFixture[str],
    options: list[str],
    line: str,
    status: str,
    told: str,
) -> None:
    answers = check(capsys, config, "--only", "config", "--cfg-options", *options)
    assert answers.status(line) == status, answers.content
    assert told in answers.lines[line]["text"] + answers.lines[line]["cure"]
    assert answers.lines[line]["cure"]


def test_a_target_too_wide_is_named(tmp_path: Path, people: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = write_config(tmp_path, people)
    demo = tmp_path / "demo.py"
    demo.write_text(demo.read_text().replace("sigma=2", "sigma=8"))
    answers = check(capsys, config, "--only", "config", "round-trip")
    assert answers.status("sizes") == "warn"
    assert "sigma=1 fits 24 columns" in answers.lines["sizes"]["cure"]


@pytest.mark.parametrize(
    ("mean", "std", "status"),
    [
        ("[123.675, 116.28, 103.53]", "[58.395, 57.12, 57.375]", "warn"),
        ("[123.675, 116.28, 103.53]", "[0.229, 0.224, 0.225]", "fail"),
        ("[0.0, 0.0, 0.0]", "[1.0, 1.0, 1.0]", "warn"),
    ],
)
def test_a_wrong_normalisation_is_named(
    tmp_path: Path,
    people: Path,
    capsys: pytest.CaptureFixture[str],
    mean: str,
    std: str,
    status: str,
) -> None:
    config = write_config(tmp_path, people)
    demo = tmp_path / "demo.py"
    published = "mean=[0.485, 0.456, 0.406], std=[0.229, 0.224, 0.225]"
    demo.write_text(demo.read_text().replace(published, f"mean={mean}, std={std}"))
    answers = check(capsys, config, "--only", "model", "--iterations", 1)
    assert answers.status("normalisation") == status
    assert "works on 0..1" in answers.lines["normalisation"]["cure"]


def test_a_loss_that_explodes_ends_the_iterations(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = ["optimizer.lr=1e30", "lr_config.warmup=None", "optimizer_config.grad_clip=None"]
    answers = check(capsys, config, "--only", "model", "--cfg-options", *options)
    assert answers.code == 1
    assert any("is not finite: lower optimizer.lr" in line["cure"] for line in answers.content["lines"])
    assert "NOT all finite" in answers.lines["loss terms"]["text"]


@pytest.mark.parametrize(
    ("option", "told"),
    [
        ("model.keypoint_head.loss_kpt_token_dist.loss_weight=0", "zero: kpt_dist_loss"),
        ("model.keypoint_head.loss_vis_token_dist.loss_weight=100", "vis_dist_loss is"),
    ],
)
def test_a_loss_weight_out_of_place_is_named(
    config: Path, capsys: pytest.CaptureFixture[str], option: str, told: str
) -> None:
    answers = check(capsys, config, "--only", "model", "--iterations", 1, "--cfg-options", option)
    assert answers.status("loss terms") == "warn"
    assert told in answers.lines["loss terms"]["text"]
    assert answers.lines["loss terms"]["cure"]


def test_black_images_cannot_be_learnt(
    tmp_path: Path, broken: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for path in images_of(broken):
        path.write_bytes(b"")
    answers = check(capsys, write_config(tmp_path, broken), "--only", "images", "overfit", "--time-box", 5)
    assert answers.status("images open (train)") == "fail"
    assert answers.status("overfit") == "fail"
    assert "no joint in their crops" in answers.lines["overfit"]["text"]


def test_validation_images_that_are_trained_on_are_named(
    config: Path, people: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    option = f"data.val.ann_file={annotation_path(people, 'train')}"
    answers = check(
        capsys, config, "--only", "data", "--cfg-options", option, "data.val.data_cfg.use_gt_bbox=True"
    )
    assert answers.status("train and val") == "warn"


def test_an_annotation_file_that_is_none_is_named_once(
    tmp_path: Path, broken: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    annotation_path(broken, "train").write_text(json.dumps([1, 2]))
    answers = check(capsys, write_config(tmp_path, broken), "--skip", "model", "memory", "loader", "cost")
    assert answers.named("fail") == {"training data", "annotations (train)"}
    assert {"images", "picture", "flip", "overfit", "resume"} <= answers.named("warn")
