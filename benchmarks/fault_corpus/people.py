"""The drawn people of a run, and copies of them with something wrong: new annotation files, the pictures linked."""

from __future__ import annotations

import json
import random
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from sdpose.data.synthetic import make_dataset
from sdpose.skeleton import COCO17

TRAIN = Path("annotations/person_keypoints_train2017.json")
VAL = Path("annotations/person_keypoints_val2017.json")
BOXES = Path("person_detection_results/COCO_val2017_detections_AP_H_56_person.json")
NUM_TRAIN_IMAGES = 400
NUM_VAL_IMAGES = 40

_SEED = 7000  # people that the shipped weights have not seen
_FOREIGN = 5000  # further away than any seed of a run


def draw_people(folder: Path, seed: int) -> Path:
    """About 870 people to train on and 88 to evaluate, drawn once."""
    root = folder / f"people_{seed}"
    make_dataset(
        root,
        num_train_images=NUM_TRAIN_IMAGES,
        num_val_images=NUM_VAL_IMAGES,
        seed=_SEED + seed,
        num_workers=0,
    )
    return root


def spoil_people(folder: Path, seed: int, how: str) -> Path:
    """The people of `seed` after the edit named `how`; made once."""
    whole = draw_people(folder, seed)
    root = folder / f"people_{seed}_{how}"
    if (root / "done").exists():
        return root
    shutil.rmtree(root, ignore_errors=True)
    for part in ("annotations", "person_detection_results"):
        shutil.copytree(whole / part, root / part)
    for part in ("train2017", "val2017"):
        (root / part).symlink_to(whole / part)
    EDITS[how](root, whole, folder, seed)
    (root / "done").touch()
    return root


def _swap_left_and_right(root: Path, *_: object) -> None:
    """Every left joint is annotated as the right one: an export with the viewer's left."""

    def swapped(annotation: dict[str, Any]) -> dict[str, Any]:
        joints = _joints(annotation)
        return {**annotation, "keypoints": [number for row in COCO17.flip_index for number in joints[row]]}

    _edit_annotations(root / TRAIN, swapped)


def _shuffle_labels(root: Path, whole: Path, folder: Path, seed: int) -> None:
    """Poses are dealt out anew among the people, each stretched into its new box."""
    content = json.loads((root / TRAIN).read_text())
    people = [entry for entry in content["annotations"] if entry["num_keypoints"]]
    givers = random.Random(seed).sample(people, len(people))
    poses = [[_relative(giver, joint) for joint in _joints(giver)] for giver in givers]
    for person, giver, pose in zip(people, [g["num_keypoints"] for g in givers], poses, strict=True):
        left, top, width, height = person["bbox"]
        person["keypoints"] = [
            number
            for x, y, v in pose
            for number in ((left + x * width, top + y * height, v) if v else (0, 0, 0))
        ]
        person["num_keypoints"] = giver
    (root / TRAIN).write_text(json.dumps(content))


def _shift_boxes(root: Path, *_: object) -> None:
    """Boxes half a person off to the right and down: centre taken for corner."""
    boxes = json.loads((root / BOXES).read_text())
    for box in boxes:
        left, top, width, height = box["bbox"]
        box["bbox"] = [left + width / 2, top + height / 2, width, height]
    (root / BOXES).write_text(json.dumps(boxes))


def _empty_boxes(root: Path, *_: object) -> None:
    """A detector that found nobody."""
    (root / BOXES).write_text("[]")


def _foreign_boxes(root: Path, whole: Path, folder: Path, seed: int) -> None:
    """The detections of another set whose image numbers are the same."""
    shutil.copyfile(draw_people(folder, seed + _FOREIGN) / BOXES, root / BOXES)


def _foreign_annotations(root: Path, whole: Path, folder: Path, seed: int) -> None:
    """Scored against another set's people, whose image numbers are the same."""
    shutil.copyfile(draw_people(folder, seed + _FOREIGN) / VAL, root / VAL)


def _cut_images_short(root: Path, whole: Path, *_: object) -> None:
    """All but the first third of every picture's bytes is lost, as after an interrupted copy."""
    _edit_pictures(root, whole, lambda content: content[: len(content) // 3])


def _grey_out_images(root: Path, whole: Path, *_: object) -> None:
    """The lower two thirds of every picture are grey, which is what a lenient program saves of a file cut short."""

    def greyed(content: bytes) -> bytes:
        picture = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR)
        assert picture is not None
        picture[picture.shape[0] // 3 :] = 128
        return cv2.imencode(".jpg", picture)[1].tobytes()

    _edit_pictures(root, whole, greyed)


EDITS: Mapping[str, Callable[[Path, Path, Path, int], None]] = {
    "left_right_swapped": _swap_left_and_right,
    "shuffled_labels": _shuffle_labels,
    "shifted_boxes": _shift_boxes,
    "empty_box_file": _empty_boxes,
    "foreign_box_file": _foreign_boxes,
    "wrong_evaluation_file": _foreign_annotations,
    "corrupt_images": _grey_out_images,
    "unreadable_images": _cut_images_short,
}


def _edit_pictures(root: Path, whole: Path, change: Callable[[bytes], bytes]) -> None:
    for part in ("train2017", "val2017"):
        (root / part).unlink()
        (root / part).mkdir()
        for picture in (whole / part).glob("*.jpg"):
            (root / part / picture.name).write_bytes(change(picture.read_bytes()))


def _edit_annotations(path: Path, change: Callable[[dict[str, Any]], dict[str, Any]]) -> None:
    content = json.loads(path.read_text())
    content["annotations"] = [change(annotation) for annotation in content["annotations"]]
    path.write_text(json.dumps(content))


def _joints(annotation: dict[str, Any]) -> list[tuple[float, float, int]]:
    numbers = annotation["keypoints"]
    return list(zip(numbers[::3], numbers[1::3], numbers[2::3], strict=True))


def _relative(annotation: dict[str, Any], joint: tuple[float, float, int]) -> tuple[float, float, int]:
    left, top, width, height = annotation["bbox"]
    return (joint[0] - left) / width, (joint[1] - top) / height, joint[2]
