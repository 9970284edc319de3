"""The written set: valid COCO, the same bytes with any number of workers, whole after an interruption."""

import hashlib
import io
import json
import signal
import subprocess
import sys
import time
from contextlib import redirect_stdout
from pathlib import Path

import cv2
import numpy as np
import pytest
from pycocotools.coco import COCO

from sdpose.data.synthetic import DatasetSummary, make_dataset
from sdpose.data.synthetic.dataset import DETECTION_FILE, STAMP
from sdpose.errors import SdposeError


def make(out: Path, *, train: int = 6, val: int = 4, seed: int = 0, workers: int = 0) -> DatasetSummary:
    return make_dataset(
        out,
        num_train_images=train,
        num_val_images=val,
        image_size_wh=(160, 120),
        seed=seed,
        num_workers=workers,
    )


def digests(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def load(path: Path) -> COCO:
    with redirect_stdout(io.StringIO()):
        return COCO(str(path))


def test_the_same_settings_give_the_same_bytes_with_any_number_of_workers(tmp_path: Path) -> None:
    make(tmp_path / "one", train=20, workers=0)
    make(tmp_path / "two", train=20, workers=2)
    assert digests(tmp_path / "one") == digests(tmp_path / "two")


def test_a_longer_set_begins_with_the_shorter_one_and_another_seed_differs(tmp_path: Path) -> None:
    for name, train, seed in (("short", 3, 0), ("long", 5, 0), ("other", 3, 1)):
        make(tmp_path / name, train=train, seed=seed)
    pictures = {
        name: {key: value for key, value in digests(tmp_path / name).items() if key.startswith("train2017")}
        for name in ("short", "long", "other")
    }
    assert pictures["short"].items() <= pictures["long"].items()
    assert not set(pictures["short"].values()) & set(pictures["other"].values())


def test_pycocotools_reads_it_and_its_outlines_enclose_the_area(tmp_path: Path) -> None:
    summary = make(tmp_path / "set")
    for split, people in (("train", summary.num_train_people), ("val", summary.num_val_people)):
        coco = load(tmp_path / "set" / "annotations" / f"person_keypoints_{split}2017.json")
        assert len(coco.getAnnIds(catIds=[1], iscrowd=False)) == people
        for annotation in coco.anns.values():
            image = coco.imgs[annotation["image_id"]]
            assert (tmp_path / "set" / f"{split}2017" / image["file_name"]).stat().st_size > 0
            x, y, w, h = annotation["bbox"]
            assert 0 <= x < x + w <= image["width"]
            assert 0 <= y < y + h <= image["height"]
            flags = annotation["keypoints"][2::3]
            assert set(flags) <= {0, 1, 2}
            assert annotation["num_keypoints"] == sum(flag > 0 for flag in flags)
            mask = np.zeros((image["height"], image["width"]), np.uint8)
            for polygon in annotation["segmentation"]:
                cv2.fillPoly(mask, [np.array(polygon, np.int32).reshape(-1, 2)], 1)
            # Outlines carry no holes, and specks of one or two pixels are no polygons.
            assert mask.sum() == pytest.approx(annotation["area"], rel=0.2, abs=20)


def test_ids_are_unique_over_both_splits(tmp_path: Path) -> None:
    make(tmp_path / "set")
    ids: list[int] = []
    for split in ("train", "val"):
        content = json.loads(
            (tmp_path / "set/annotations" / f"person_keypoints_{split}2017.json").read_text()
        )
        ids += [annotation["id"] for annotation in content["annotations"]]
    assert len(ids) == len(set(ids))


def test_detections_name_every_person_and_lie_near(tmp_path: Path) -> None:
    make(tmp_path / "set", val=8)
    content = json.loads((tmp_path / "set/annotations/person_keypoints_val2017.json").read_text())
    detections = json.loads((tmp_path / "set/person_detection_results" / DETECTION_FILE).read_text())
    assert all(0 < detection["score"] < 1 and detection["category_id"] == 1 for detection in detections)
    for annotation in content["annotations"]:
        x, y, w, h = annotation["bbox"]
        assert any(
            detection["image_id"] == annotation["image_id"]
            and abs(detection["bbox"][0] - x) <= 0.15 * w + 1
            and abs(detection["bbox"][1] - y) <= 0.15 * h + 1
            for detection in detections
        )


def test_a_second_call_finds_the_set_and_touches_nothing(tmp_path: Path) -> None:
    first = make(tmp_path / "set")
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "set").rglob("*")}
    second = make(tmp_path / "set")
    assert (first.cached, second.cached) == (False, True)
    assert second.num_train_people == first.num_train_people
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "set").rglob("*")} == before


@pytest.mark.parametrize("damage", ["picture gone", "picture empty", "annotations cut", "stamp cut"])
def test_a_damaged_set_is_made_anew(tmp_path: Path, damage: str) -> None:
    out = tmp_path / "set"
    make(out)
    whole = digests(out)
    if damage == "picture gone":
        (out / "train2017" / "000000000001.jpg").unlink()
    elif damage == "picture empty":
        (out / "val2017" / "000000000002.jpg").write_bytes(b"")
    elif damage == "annotations cut":
        path = out / "annotations" / "person_keypoints_val2017.json"
        path.write_bytes(path.read_bytes()[:100])
    else:
        (out / STAMP).write_text("{")
    assert not make(out).cached
    assert digests(out) == whole


def test_other_settings_replace_our_own_set(tmp_path: Path) -> None:
    make(tmp_path / "set")
    assert make(tmp_path / "set", train=7).num_train_images == 7
    assert [path.name for path in tmp_path.iterdir() if path.is_dir()] == ["set"]


def test_a_run_killed_half_way_leaves_nothing_under_the_name_and_the_next_one_recovers(
    tmp_path: Path,
) -> None:
    out = tmp_path / "set"
    code = (
        "from sdpose.data.synthetic import make_dataset\n"
        f"make_dataset({str(out)!r}, num_train_images=4000, num_val_images=2, image_size_wh=(160, 120),"
        " num_workers=0)"
    )
    process = subprocess.Popen([sys.executable, "-c", code])
    partial = tmp_path / ".set.partial" / "train2017"
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and not (partial.is_dir() and len(list(partial.iterdir())) > 3):
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert len(list(partial.iterdir())) > 3
    assert not out.exists()
    make(out)
    make(tmp_path / "fresh")
    assert digests(out) == digests(tmp_path / "fresh")
    assert not partial.exists()


@pytest.mark.parametrize("foreign", ["notes.txt", "train2017/holiday.jpg"])
def test_a_folder_that_is_not_ours_is_refused_and_kept(tmp_path: Path, foreign: str) -> None:
    path = tmp_path / "set" / foreign
    path.parent.mkdir(parents=True)
    path.write_text("mine")
    with pytest.raises(SdposeError, match="did not write"):
        make(tmp_path / "set")
    assert path.read_text() == "mine"


def test_a_set_with_a_pack_beside_its_images_is_left_alone(tmp_path: Path) -> None:
    make(tmp_path / "set")
    (tmp_path / "set" / "train2017.pack").mkdir()
    (tmp_path / "set" / ".train2017.pack.lock").write_text("")
    assert make(tmp_path / "set").cached
    assert (tmp_path / "set" / "train2017.pack").is_dir()


def test_a_file_in_the_place_of_the_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "set").write_text("mine")
    with pytest.raises(SdposeError, match="is a file"):
        make(tmp_path / "set")


def test_a_folder_that_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(SdposeError, match="could not be written") as caught:
        make(tmp_path / "file" / "set")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"num_train_images": 0}, "at least one of each"),
        ({"image_size_wh": (32, 240)}, "out of range"),
        ({"seed": -1}, "seed is -1"),
        ({"num_workers": -2}, "workers is -2"),
    ],
)
def test_senseless_settings_are_refused(tmp_path: Path, changes: dict, message: str) -> None:
    settings = {"num_train_images": 1, "num_val_images": 1, "image_size_wh": (160, 120)} | changes
    with pytest.raises(SdposeError, match=message):
        make_dataset(tmp_path / "set", **settings)
    assert not list(tmp_path.iterdir())


def test_progress_counts_every_picture(tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []
    make_dataset(
        tmp_path / "set",
        num_train_images=20,
        num_val_images=3,
        image_size_wh=(160, 120),
        num_workers=0,
        progress=lambda done, total: seen.append((done, total)),
    )
    assert seen == [(16, 23), (20, 23), (23, 23)]
