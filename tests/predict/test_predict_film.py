"""Films through `sdpose predict`: numbers stay, joints tremble less without lagging, broken ones are named."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import warm_python
from numpy.typing import NDArray
from walking_film import NUM_FRAMES, DrawnFilm

from sdpose.cli.main import main
from sdpose.predict import Predictor
from sdpose.predict.box_file import BoxFile
from sdpose.predict.poses import Poses
from sdpose.predict.tracking import PoseTracker

DEMO = Path(__file__).parents[2] / "sdpose" / "weights" / "sdpose_demo.pth"


def predict(*words: object) -> int:
    return main(["predict", str(DEMO), *map(str, words), "--device", "cpu", "--no-flip-test"])


def results(out: Path) -> Any:
    return json.loads((out / "predictions.json").read_text(encoding="utf-8"))


def frames_of(path: Path) -> list[NDArray[np.uint8]]:
    capture, frames = cv2.VideoCapture(str(path)), []
    while (read := capture.read())[0]:
        frames.append(np.asarray(read[1], np.uint8))
    capture.release()
    return frames


@pytest.fixture(scope="module")
def raw(drawn_film: DrawnFilm) -> list[Poses]:
    """What the network finds in each frame by itself."""
    boxes = BoxFile(drawn_film.boxes)
    predictor = Predictor(DEMO, device="cpu", flip_test=False)
    return list(
        predictor.stream(
            (frame, boxes.boxes_of_frame(f"{drawn_film.path.name}#{number:06d}"))
            for number, frame in enumerate(frames_of(drawn_film.path), start=1)
        )
    )


def in_order(film: DrawnFilm, poses: list[Poses]) -> NDArray[np.float64]:
    """Joints (F, 2, 17, 2) of the first person, who is the larger one, and of the second."""
    found = np.zeros_like(film.joints)
    for frame, each in enumerate(poses):
        found[frame] = each.keypoints[np.argsort(-each.boxes_xywh[:, 3])]
    return found


def test_numbers_stay_with_people_who_pass_each_other(drawn_film: DrawnFilm, raw: list[Poses]) -> None:
    tracker = PoseTracker()
    numbers = []
    for poses in raw:
        ids = tracker.update(poses, 1 / 24).track_ids
        assert ids is not None
        numbers.append(tuple(ids[np.argsort(-poses.boxes_xywh[:, 3])].tolist()))
    assert len(set(numbers)) == 1
    assert sorted(numbers[0]) == [1, 2]


def test_joints_tremble_half_as_much_and_are_as_right_as_before(
    drawn_film: DrawnFilm, raw: list[Poses]
) -> None:
    tracker = PoseTracker()
    steadied = [tracker.update(poses, 1 / 24) for poses in raw]
    off = {
        name: in_order(drawn_film, poses) - drawn_film.joints
        for name, poses in {"raw": raw, "steadied": steadied}.items()
    }
    trembling = {name: np.abs(np.diff(each, n=2, axis=0)).mean() for name, each in off.items()}
    wrong = {name: np.linalg.norm(each, axis=-1).mean() for name, each in off.items()}
    assert trembling["steadied"] < 0.6 * trembling["raw"]
    assert wrong["steadied"] < 1.02 * wrong["raw"]


def test_a_killed_run_goes_on_and_ends_as_if_it_had_not_been(drawn_film: DrawnFilm, tmp_path: Path) -> None:
    words = [drawn_film.path, "--boxes", drawn_film.boxes, "--frames", 16]
    assert predict(*words, "--out", tmp_path / "whole") == 0
    out = tmp_path / "killed"
    command = ["predict", DEMO, *words, "--out", out, "--device", "cpu", "--no-flip-test"]
    process = warm_python.begin(
        [sys.executable, "-m", "sdpose.cli.main", *command],
        cwd=tmp_path,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    journal = out / "predictions.jsonl"
    while not (journal.exists() and journal.read_bytes().count(b"\n") > 5):
        assert process.poll() is None
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not (out / "predictions.json").exists()
    assert predict(*words, "--out", out) == 0
    assert (out / "predictions.json").read_bytes() == (tmp_path / "whole" / "predictions.json").read_bytes()
    assert [path.name for path in (out / "drawn").iterdir()] == ["walk.avi.mp4"]
    assert len(frames_of(out / "drawn" / "walk.avi.mp4")) == 16


def test_a_film_that_is_cut_off_is_used_as_far_as_it_goes_and_named_each_time(
    drawn_film: DrawnFilm, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    content = drawn_film.path.read_bytes()
    (tmp_path / "walk.avi").write_bytes(content[: len(content) // 2])
    words = [tmp_path / "walk.avi", "--boxes", drawn_film.boxes, "--out", tmp_path / "out"]
    assert predict(*words) == 1
    said = capsys.readouterr().out
    num_frames = len({entry["image_id"] for entry in results(tmp_path / "out")})
    assert 5 < num_frames < NUM_FRAMES
    assert f"only {num_frames} of {NUM_FRAMES} frames could be decoded; the file is cut off" in said
    assert len(frames_of(tmp_path / "out" / "drawn" / "walk.avi.mp4")) == num_frames
    assert predict(*words) == 1
    assert f"only {num_frames} of {NUM_FRAMES} frames" in capsys.readouterr().out


def test_a_camera_that_is_not_there_is_named_and_the_rest_is_done(
    drawn_film: DrawnFilm, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert predict("93", drawn_film.path, "--frames", "2", "--out", tmp_path / "out", "--no-draw") == 1
    assert "passed over: camera 93: no such camera; they are counted from 0" in capsys.readouterr().out
    assert [entry["image_id"] for entry in results(tmp_path / "out")] == [
        "walk.avi#000001",
        "walk.avi#000002",
    ]
    assert predict("93", "--boxes", drawn_film.boxes, "--out", tmp_path / "other") == 2
    assert "for a camera give a --detector" in capsys.readouterr().err


def test_boxes_of_other_films_are_a_mistake(
    drawn_film: DrawnFilm, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "other.json").write_text('{"run.avi#000001": [[1, 2, 30, 40]]}', encoding="utf-8")
    assert predict(drawn_film.path, "--boxes", tmp_path / "other.json", "--out", tmp_path / "out") == 2
    assert "Frames of films are called film.mp4#000001" in capsys.readouterr().err
