"""`sdpose predict` as a person types it: folders, box files, films, bad files, a second time."""

from __future__ import annotations

import csv
import errno
import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch

from sdpose.cli.main import main
from sdpose.data.synthetic import make_dataset
from sdpose.errors import SdposeError
from sdpose.predict import Predictor
from sdpose.predict.box_file import BoxFile
from sdpose.predict.journal import Journal
from sdpose.predict.media import Medium, find_media, read_image

DEMO_CONFIG = Path(__file__).parents[2] / "configs" / "demo" / "sdpose_demo.py"
DEMO = Path(__file__).parents[2] / "sdpose" / "weights" / "sdpose_demo.pth"


@pytest.fixture(scope="module")
def people(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A drawn set in COCO's layout; its validation part is looked at."""
    root = tmp_path_factory.mktemp("drawn") / "set"
    make_dataset(root, num_train_images=1, num_val_images=4, seed=5, num_workers=1)
    return root


def truth(people: Path) -> dict[str, Any]:
    path = people / "annotations" / "person_keypoints_val2017.json"
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return found


def predict(*words: object) -> int:
    return main(["predict", str(DEMO), *map(str, words), "--device", "cpu"])


def test_a_folder_with_its_annotation_file(people: Path, tmp_path: Path) -> None:
    boxes = people / "annotations" / "person_keypoints_val2017.json"
    assert predict(people / "val2017", "--boxes", boxes, "--out", tmp_path / "out", "--csv") == 0
    results = json.loads((tmp_path / "out" / "predictions.json").read_text(encoding="utf-8"))
    annotations = truth(people)["annotations"]
    assert [entry["image_id"] for entry in results] == sorted(entry["image_id"] for entry in annotations)
    assert len(list((tmp_path / "out" / "drawn").iterdir())) == 4
    with (tmp_path / "out" / "predictions.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["image_id"] for row in rows] == [str(entry["image_id"]) for entry in results]
    assert float(rows[0]["nose_x"]) == results[0]["keypoints"][0]


def test_joints_are_those_of_an_evaluation_with_the_same_boxes(people: Path, tmp_path: Path) -> None:
    """To the last of the three decimals, also where a box reaches over the edge or ends between two pixels."""
    content = truth(people)
    for number, each in enumerate(content["annotations"]):
        left, top, width, height = each["bbox"]
        each["bbox"] = [left - 7.3 * (number % 2), top + 0.123457, width + 300.7 * (number % 3 == 0), height]
    ann_file = tmp_path / "annotations.json"
    ann_file.write_text(json.dumps(content), encoding="utf-8")
    options = (
        f"data.test.ann_file={ann_file}",
        f"data.test.img_prefix={people / 'val2017'}/",
        "data.test.data_cfg.use_gt_bbox=True",
        "data.test.data_cfg.use_nms=False",
        "data.workers_per_gpu=0",
    )
    words = (str(DEMO_CONFIG), str(DEMO), "--work-dir", str(tmp_path), "--device", "cpu")
    assert main(["test", *words, "--cfg-options", *options]) == 0
    assert predict(people / "val2017", "--boxes", ann_file, "--out", tmp_path / "out", "--no-draw") == 0
    wanted, found = (
        sorted(
            (entry["image_id"], *entry["keypoints"], entry["score"])
            for entry in json.loads((tmp_path / name).read_text(encoding="utf-8"))
        )
        for name in ("result_keypoints.json", "out/predictions.json")
    )
    assert len(found) == len(wanted) > 4
    np.testing.assert_allclose(found, wanted, rtol=0, atol=0.002)


def test_a_second_time_only_what_is_missing_is_done(
    people: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = (people / "val2017", "--out", tmp_path, "--no-draw")
    assert predict(*words) == 0
    whole = (tmp_path / "predictions.json").read_bytes()
    journal = tmp_path / "predictions.jsonl"
    lines = journal.read_bytes().splitlines(keepends=True)
    journal.write_bytes(b"".join(lines[:3]) + lines[3][:20])  # killed while writing
    capsys.readouterr()
    assert predict(*words) == 0
    assert "in 2 images and frames, 2 done before" in capsys.readouterr().out
    assert (tmp_path / "predictions.json").read_bytes() == whole
    assert predict(*words, "--no-flip-test") == 2
    assert "--again" in capsys.readouterr().err
    assert predict(*words, "--no-flip-test", "--again") == 0


def test_bf16_finds_the_same_joints_and_is_another_setting(
    people: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    boxes = people / "annotations" / "person_keypoints_val2017.json"
    found = {}
    for precision in ("fp32", "bf16"):
        words = (people / "val2017", "--boxes", boxes, "--no-draw", "--precision", precision)
        assert predict(*words, "--out", tmp_path / precision) == 0
        results = json.loads((tmp_path / precision / "predictions.json").read_text(encoding="utf-8"))
        found[precision] = np.array([entry["keypoints"] for entry in results]).reshape(-1, 17, 3)
    seen = found["fp32"][..., 2] > 0.2
    distance = np.linalg.norm(found["bf16"][..., :2] - found["fp32"][..., :2], axis=2)[seen]
    assert 0 < np.median(distance) < 0.5
    capsys.readouterr()
    assert predict(*words[:-1], "fp32", "--out", tmp_path / "bf16") == 2
    assert "made with precision='bf16', now it is 'fp32'" in capsys.readouterr().err


@pytest.mark.parametrize("has_instructions", [True, False])
def test_bf16_on_a_cpu_without_it_is_told(
    people: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    has_instructions: bool,
) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx512_bf16": has_instructions})
    image = next((people / "val2017").iterdir())
    assert predict(image, "--no-draw", "--precision", "bf16", "--out", tmp_path) == 0
    told = "WARNING: this CPU has no bf16 instructions" in capsys.readouterr().out
    assert told is not has_instructions


def test_bad_files_are_named_and_passed_over(
    people: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "mixed"
    folder.mkdir()
    good = next((people / "val2017").iterdir())
    (folder / "good.jpg").write_bytes(good.read_bytes())
    (folder / "half.jpg").write_bytes(good.read_bytes()[:100])
    (folder / "empty.png").write_bytes(b"")
    (folder / "film.mp4").write_bytes(b"no film")
    assert predict(folder, "--out", tmp_path / "out") == 1
    out = capsys.readouterr().out
    for name in ("half.jpg", "empty.png", "film.mp4"):
        assert f"passed over: {folder / name}: " in out
    assert "3 of 4 inputs were passed over" in out
    assert len(json.loads((tmp_path / "out" / "predictions.json").read_text(encoding="utf-8"))) == 1


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["no_such_folder"], "no such file or folder"),
        (["EMPTY"], "no image or film in it"),
        (["VAL", "--boxes", "NOT_JSON"], "is no JSON"),
        (["VAL", "--boxes", "FOREIGN"], "knows none of the 4 inputs"),
        (["VAL", "--config", "no_config.py"], "no_config.py"),
        (["VAL", "--batch-size", "0"], "--batch-size 0; expected at least 1"),
        (["VAL", "--detector", "no_detector.onnx"], "onnx"),
    ],
)
def test_mistakes_end_in_one_line(
    words: list[str], said: str, people: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "not.json").write_text("{", encoding="utf-8")
    (tmp_path / "foreign.json").write_text('[{"image_id": 999999, "bbox": [1, 2, 3, 4]}]', encoding="utf-8")
    places = {
        "EMPTY": tmp_path / "empty",
        "VAL": people / "val2017",
        "NOT_JSON": tmp_path / "not.json",
        "FOREIGN": tmp_path / "foreign.json",
    }
    assert predict(*(places.get(word, word) for word in words), "--out", tmp_path / "out") == 2
    err = capsys.readouterr().err
    assert err.startswith("sdpose: error: ")
    assert said in err
    assert err.count("\n") == 1


def test_a_film_gets_numbers_and_can_be_looked_at(people: Path, tmp_path: Path) -> None:
    frame = cv2.imread(str(next((people / "val2017").iterdir())))
    assert frame is not None
    height, width = frame.shape[:2]
    film = tmp_path / "walk.avi"
    writer = cv2.VideoWriter(str(film), cv2.VideoWriter.fourcc(*"MJPG"), 10.0, (width, height))
    for step in range(6):
        writer.write(np.roll(frame, 2 * step, axis=1))
    writer.release()
    assert predict(film, "--out", tmp_path / "out", "--frames", "5") == 0
    results = json.loads((tmp_path / "out" / "predictions.json").read_text(encoding="utf-8"))
    assert [entry["image_id"] for entry in results] == [f"walk.avi#{number:06d}" for number in range(1, 6)]
    assert {entry["track_id"] for entry in results} == {1}
    drawn = cv2.VideoCapture(str(tmp_path / "out" / "drawn" / "walk.avi.mp4"))
    assert int(drawn.get(cv2.CAP_PROP_FRAME_COUNT)) == 5
    drawn.release()


def test_box_files_of_three_kinds(tmp_path: Path) -> None:
    image = tmp_path / "000000000042.jpg"
    contents: dict[str, Any] = {
        "annotations": {
            "images": [{"id": 42, "file_name": image.name}, {"id": 7, "file_name": "b.jpg"}],
            "annotations": [
                {"image_id": 42, "bbox": [1, 2, 30, 40], "category_id": 1},
                {"image_id": 42, "bbox": [1, 2, 30, 40], "category_id": 3},
                {"image_id": 42, "bbox": [5, 5, 0, 40], "category_id": 1},
            ],
        },
        "detections": [
            {"image_id": 42, "bbox": [1, 2, 30, 40], "score": 1.0, "category_id": 1},
            {"image_id": 42, "bbox": [9, 9, 9, 9], "score": 0.1, "category_id": 1},
        ],
        "table": {image.name: [[1, 2, 30, 40]]},
    }
    for name, content in contents.items():
        path = tmp_path / f"{name}.json"
        path.write_text(json.dumps(content), encoding="utf-8")
        boxes = BoxFile(path, score_threshold=0.3)
        unknown = Medium("image", "unknown.jpg", tmp_path / "unknown.jpg")
        names = boxes.assign([Medium("image", image.name, image), unknown])
        assert list(names) == [image.name]
        assert boxes.boxes_of(names[image.name]).tolist() == [[1, 2, 30, 40, 1]], name
        assert boxes.image_id(names[image.name]) == 42
    (tmp_path / "odd.json").write_text('{"a.jpg": [[1, 2]]}', encoding="utf-8")
    with pytest.raises(SdposeError, match="expected COCO annotations"):
        BoxFile(tmp_path / "odd.json")


def test_patterns_and_folders_are_sorted_and_each_file_comes_once(tmp_path: Path) -> None:
    for name in ("b.jpg", "a.png", "notes.txt", "deep/c.JPG"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
    names = [medium.name for medium in find_media([str(tmp_path), str(tmp_path / "*.jpg")])]
    assert names == ["a.png", "b.jpg", "deep/c.JPG"]
    assert [medium.name for medium in find_media([str(tmp_path / "*" / "c.*")])] == ["deep/c.JPG"]


def test_two_inputs_of_one_name_are_refused(tmp_path: Path) -> None:
    for folder in ("one", "two"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "a.jpg").write_bytes(b"x")
    with pytest.raises(SdposeError, match=r"one/a.jpg and .*two/a.jpg would both be 'a.jpg'"):
        find_media([str(tmp_path / "one"), str(tmp_path / "two")])
    assert [medium.name for medium in find_media([str(tmp_path)])] == ["one/a.jpg", "two/a.jpg"]
    assert [medium.name for medium in find_media([str(tmp_path / "*" / "a.jpg")])] == [
        "one/a.jpg",
        "two/a.jpg",
    ]


def test_a_turned_photograph_is_stood_up_as_in_training(tmp_path: Path) -> None:
    """Its EXIF tag says that the camera was held sideways: orientation 6, to be turned clockwise."""
    lying = np.zeros((40, 60, 3), np.uint8)
    lying[:, :30] = 255
    _, jpeg = cv2.imencode(".jpg", lying)
    exif = b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0"
    content = bytes(jpeg)
    (tmp_path / "a.jpg").write_bytes(
        content[:2] + b"\xff\xe1" + (len(exif) + 2).to_bytes(2, "big") + exif + content[2:]
    )
    upright = read_image(tmp_path / "a.jpg")
    assert upright.shape == (60, 40, 3)
    assert upright[:25].min() > 200 and upright[35:].max() < 50


def test_weights_that_changed_under_their_name_are_other_weights(
    people: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    boxes = tmp_path / "boxes.json"
    words = [people / "val2017", "--boxes", boxes, "--out", tmp_path / "out", "--no-draw"]
    name = next((people / "val2017").iterdir()).name
    boxes.write_text(json.dumps({name: [[1, 2, 30, 40]]}), encoding="utf-8")
    assert predict(*words) == 0
    boxes.write_text(json.dumps({name: [[1, 2, 30, 41]]}), encoding="utf-8")
    assert predict(*words) == 2
    assert "made with boxes='boxes.json " in capsys.readouterr().err
    assert predict(*words[:-1], "--again") == 0


def test_what_is_no_checkpoint_is_named(
    people: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("weights.pth", "weights.onnx"):
        (tmp_path / name).write_text("not weights", encoding="utf-8")
        assert (
            main(["predict", str(tmp_path / name), str(people / "val2017"), "--out", str(tmp_path / "out")])
            == 2
        )
        err = capsys.readouterr().err
        assert name in err
        assert err.count("\n") == 1
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("content", ["", "[1, 2]\n", "no json\n", '{"settings": {}}\n{"image": 1}\n'])
def test_a_foreign_file_in_the_place_of_the_journal_is_named(content: str, tmp_path: Path) -> None:
    (tmp_path / "predictions.jsonl").write_text(content, encoding="utf-8")
    with pytest.raises(SdposeError, match=r"is not what `sdpose predict` writes, or is damaged"):
        Journal(tmp_path, {})
    assert (tmp_path / "predictions.jsonl").read_text(encoding="utf-8") == content
    Journal(tmp_path, {}, again=True).close()


def test_folders_are_searched_without_what_is_hidden_drawn_or_seen_before(tmp_path: Path) -> None:
    for name in (
        "a.jpg",
        ".thumb.jpg",
        ".cache/b.jpg",
        "run/drawn/a.jpg",
        "mine/drawn/c.jpg",
        "elsewhere/d.jpg",
    ):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
    (tmp_path / "run" / "predictions.jsonl").write_bytes(b"")
    (tmp_path / "mine" / "loop").symlink_to(tmp_path)
    (tmp_path / "mine" / "link").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "mine" / "self.jpg").symlink_to("self.jpg")
    folder = [medium.name for medium in find_media([str(tmp_path / "mine")])]
    assert folder == ["drawn/c.jpg", "link/d.jpg", "loop/a.jpg"]
    pattern = [medium.name for medium in find_media([str(tmp_path / "**" / "*.jpg")])]
    assert pattern == ["a.jpg", "elsewhere/d.jpg", "mine/drawn/c.jpg"]
    assert [medium.name for medium in find_media([str(tmp_path / "run" / "drawn")])] == ["a.jpg"]


@pytest.mark.parametrize("text", ["-", "https://example.com/a.jpg", "rtsp://camera/1"])
def test_what_is_no_file_is_said_to_be_none(text: str) -> None:
    with pytest.raises(SdposeError, match="standard input and addresses are not read"):
        find_media([text])


def test_odd_names_and_shapes_are_pictures_like_any_other(people: Path, tmp_path: Path) -> None:
    folder = tmp_path / "odd"
    folder.mkdir()
    good = next((people / "val2017").iterdir()).read_bytes()
    for name in ("\u00b2.jpg", "two\nlines.jpg", "\uac00" * 83 + ".jpg", "%d [x]*.jpg"):
        (folder / name).write_bytes(good)
    with open(bytes(folder) + b"/\xff\xfe.jpg", "wb") as file:
        file.write(good)
    deep = np.full((20, 3000, 4), 40000, np.uint16)
    assert cv2.imwrite(str(folder / "wide.png"), deep)
    assert cv2.imwrite(str(folder / "dot.png"), deep[:1, :1, 0])
    assert predict(folder, "--out", tmp_path / "out", "--csv") == 0
    results = json.loads((tmp_path / "out" / "predictions.json").read_text(encoding="utf-8"))
    assert len({entry["image_id"] for entry in results}) == 7
    assert sorted(path.name for path in (tmp_path / "out" / "drawn").iterdir()) == sorted(
        path.name for path in folder.iterdir()
    )
    with (tmp_path / "out" / "predictions.csv").open(
        encoding="utf-8", errors="surrogateescape", newline=""
    ) as file:
        assert len(list(csv.DictReader(file))) == 7


def test_images_of_one_number_in_two_folders_stay_apart(
    people: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    good = next((people / "val2017").iterdir()).read_bytes()
    for name in ("a/7.jpg", "b/7.jpg"):
        (tmp_path / "in" / name).parent.mkdir(parents=True)
        (tmp_path / "in" / name).write_bytes(good)
    boxes = tmp_path / "boxes.json"
    words = (tmp_path / "in", "--no-draw", "--no-flip-test", "--out")
    assert predict(*words, tmp_path / "whole") == 0
    results = json.loads((tmp_path / "whole" / "predictions.json").read_text(encoding="utf-8"))
    assert [entry["image_id"] for entry in results] == ["a/7.jpg", "b/7.jpg"]
    boxes.write_text('{"b/7.jpg": [[1, 2, 30, 40]]}', encoding="utf-8")
    assert predict(*words, tmp_path / "one", "--boxes", boxes) == 0
    (line,) = (tmp_path / "one" / "predictions.jsonl").read_text(encoding="utf-8").splitlines()[1:]
    assert json.loads(line)["file"] == "b/7.jpg"
    capsys.readouterr()
    for content in ('{"7.jpg": [[1, 2, 30, 40]]}', '[{"image_id": 7, "bbox": [1, 2, 30, 40]}]'):
        boxes.write_text(content, encoding="utf-8")
        assert predict(*words, tmp_path / "both", "--boxes", boxes) == 2
        assert "a/7.jpg and " in capsys.readouterr().err


def test_boxes_that_are_left_out_are_counted(
    people: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    image = next((people / "val2017").iterdir())
    boxes = tmp_path / "boxes.json"
    bad = [
        [float("nan"), 0, 5, 5],
        [0, 0, 0, 9],
        [9000, 0, 9, 9],
        [0, 0, 9, 9, 0.1],
        [-50, -50, 1e9, 1e9],
        [0, 0, 1e99, 1],
    ]
    boxes.write_text(json.dumps({image.name: bad}), encoding="utf-8")
    assert predict(image, "--boxes", boxes, "--out", tmp_path / "out", "--no-draw") == 0
    assert (
        f"boxes of {boxes} left out: 3 without an area or not numbers, 1 outside of their image, 1 with a score below "
        "--box-thr" in capsys.readouterr().out
    )
    (entry,) = json.loads((tmp_path / "out" / "predictions.json").read_text(encoding="utf-8"))
    assert np.isfinite(entry["keypoints"]).all()
    boxes.write_text(
        '{"images": [], "annotations": [{"image_id": 3, "bbox": [1, 2, 3, 4]}]}', encoding="utf-8"
    )
    with pytest.raises(SdposeError, match="of image_id 3, which is not among its 0 images"):
        BoxFile(boxes)


def test_another_picture_under_a_known_name_is_done_anew(
    people: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    one, other, *_ = (people / "val2017").iterdir()
    image = tmp_path / "a.jpg"
    words = (image, "--out", tmp_path / "out", "--no-draw")
    image.write_bytes(one.read_bytes())
    assert predict(*words) == 0
    before = (tmp_path / "out" / "predictions.json").read_bytes()
    image.write_bytes(other.read_bytes())
    assert predict(*words) == 0
    assert (tmp_path / "out" / "predictions.json").read_bytes() != before
    assert predict(*words) == 0
    assert "0 images and frames, 1 done before" in capsys.readouterr().out


def test_a_full_disk_ends_in_one_line_and_the_rest_is_done_later(
    people: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    words = (people / "val2017", "--out", tmp_path)
    write, num_written = Path.write_bytes, 0

    def full(path: Path, content: bytes) -> int:
        nonlocal num_written
        num_written += 1
        if num_written > 2:
            write(path, content[:9])
            raise OSError(errno.ENOSPC, "No space left on device")
        return write(path, content)

    monkeypatch.setattr(Path, "write_bytes", full)
    assert predict(*words) == 2
    err = capsys.readouterr().err
    assert "No space left on device" in err and "--out" in err and err.count("\n") == 1
    monkeypatch.undo()
    assert predict(*words) == 0
    assert "2 done before" in capsys.readouterr().out
    assert len(list((tmp_path / "drawn").iterdir())) == 4


def test_a_config_beside_an_onnx_file_is_refused(people: Path, tmp_path: Path) -> None:
    with pytest.raises(SdposeError, match="would not be obeyed"):
        Predictor(tmp_path / "pose.ONNX", config="config.py")
