"""The predictor: images and boxes in, poses out; alone or in company, the same."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from sdpose.data.synthetic import make_dataset
from sdpose.errors import SdposeError
from sdpose.predict import Predictor
from sdpose.trained_model import load_trained_model

DEMO = Path(__file__).parents[2] / "sdpose" / "weights" / "sdpose_demo.pth"
Scene = tuple[NDArray[np.uint8], NDArray[np.float32], NDArray[np.float32]]


@pytest.fixture(scope="module")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> list[Scene]:
    """Drawn photographs with the boxes (P, 4) and joints (P, 17, 3) of their people."""
    root = tmp_path_factory.mktemp("people")
    make_dataset(root / "set", num_train_images=1, num_val_images=8, seed=3, num_workers=1)
    truth = json.loads(
        (root / "set" / "annotations" / "person_keypoints_val2017.json").read_text(encoding="utf-8")
    )
    found = []
    for image in truth["images"]:
        people = [each for each in truth["annotations"] if each["image_id"] == image["id"]]
        pixels = cv2.imread(str(root / "set" / "val2017" / image["file_name"]))
        assert pixels is not None
        boxes = np.array([each["bbox"] for each in people], np.float32).reshape(-1, 4)
        joints = np.array([each["keypoints"] for each in people], np.float32).reshape(-1, 17, 3)
        found.append((np.asarray(pixels, np.uint8), boxes, joints))
    return found


@pytest.fixture(scope="module")
def predictor() -> Predictor:
    return Predictor(DEMO, device="cpu", batch_size=4)


def test_it_finds_the_people(scenes: list[Scene], predictor: Predictor) -> None:
    similar = []
    for (_, boxes, joints), poses in zip(
        scenes, predictor.stream((image, boxes) for image, boxes, _ in scenes), strict=True
    ):
        assert len(poses) == len(boxes)
        assert poses.keypoints.shape == (len(boxes), 17, 2)
        for index in range(len(boxes)):
            seen = joints[index, :, 2] > 0
            distance = np.linalg.norm(poses.keypoints[index] - joints[index, :, :2], axis=1)
            if seen.any():
                similar.append(float(np.median(distance[seen]) / np.sqrt(boxes[index, 2] * boxes[index, 3])))
    assert np.median(similar) < 0.05


def test_company_changes_nothing(scenes: list[Scene], predictor: Predictor) -> None:
    together = list(predictor.stream((image, boxes) for image, boxes, _ in scenes))
    for (image, boxes, _), poses in zip(scenes, together, strict=True):
        alone = predictor(image, boxes)
        np.testing.assert_allclose(alone.keypoints, poses.keypoints, atol=0.05)
        np.testing.assert_array_equal(alone.boxes_xywh, poses.boxes_xywh)


def test_bf16_gives_float32_poses_and_leaves_the_weights_alone(scenes: list[Scene]) -> None:
    trained = load_trained_model(DEMO)
    image, boxes, _ = scenes[0]
    poses = Predictor(trained, device="cpu", precision="bf16")(image, boxes)
    assert (poses.keypoints.dtype, poses.scores.dtype) == (np.float32, np.float32)
    exact = Predictor(trained, device="cpu")(image, boxes)
    assert np.abs(poses.keypoints - exact.keypoints).max() > 0
    assert {parameter.dtype for parameter in trained.model.parameters()} == {torch.float32}


def test_unknown_precisions_and_bf16_for_another_network_are_refused() -> None:
    with pytest.raises(SdposeError, match="precision='fp16'; expected fp32 or bf16"):
        Predictor(DEMO, device="cpu", precision="fp16")  # type: ignore[arg-type]
    with pytest.raises(SdposeError, match="is for checkpoints; this network computes in the numbers"):
        Predictor(DEMO, device="cpu", precision="bf16", network=lambda crops: crops)


def test_no_boxes_mean_the_whole_image_and_none_means_nobody(
    scenes: list[Scene], predictor: Predictor
) -> None:
    image = scenes[0][0]
    height, width = image.shape[:2]
    assert predictor(image).boxes_xywh.tolist() == [[0, 0, width, height]]
    nobody = predictor(image, [])
    assert len(nobody) == 0
    assert nobody.draw(image).tobytes() == image.tobytes()
    assert nobody.to_coco(1) == []


def test_results_are_cocos(scenes: list[Scene], predictor: Predictor) -> None:
    image, boxes, _ = next(scene for scene in scenes if len(scene[1]))
    scored = np.column_stack([boxes, np.full(len(boxes), 0.5, np.float32)])
    (entry, *_) = predictor(image, scored).to_coco(42)
    assert (entry["image_id"], entry["category_id"], len(entry["keypoints"])) == (42, 1, 51)
    assert 0 < entry["score"] < 0.5 * 1.2


@pytest.mark.parametrize(
    ("boxes", "said"),
    [
        ([[1, 2, 3]], "expected .P, 4."),
        ([[0, 0, 0, 5]], "box 0 is"),
        ([[0, 0, 5, 5], [0, 0, float("nan"), 5]], "box 1 is"),
        ([[0, 0, 5, 5], [0, 0]], "boxes are no table of numbers"),
    ],
)
def test_bad_boxes_are_named(predictor: Predictor, boxes: list[list[float]], said: str) -> None:
    with pytest.raises(SdposeError, match=said):
        predictor(np.zeros((40, 30, 3), np.uint8), boxes)


@pytest.mark.parametrize(
    ("image", "said"),
    [
        (np.zeros((40, 30), np.uint8), "expected .H, W, 3. uint8"),
        (np.zeros((0, 30, 3), np.uint8), "uint8"),
        (None, "cv2.imread gives that for a file that is not there"),
        ("photo.jpg", "an image is a str; expected an array"),
    ],
)
def test_what_is_no_image_is_refused(predictor: Predictor, image: Any, said: str) -> None:
    with pytest.raises(SdposeError, match=said):
        predictor(image)


@pytest.mark.parametrize(("device", "said"), [("gpu", "device is 'gpu'"), ("cuda:0", "torch sees no GPU")])
def test_a_device_that_is_not_there_is_named(device: str, said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(SdposeError, match=said):
        Predictor(DEMO, device=device)


def test_supervision_takes_the_poses(scenes: list[Scene], predictor: Predictor) -> None:
    supervision = pytest.importorskip("supervision", reason="needs the package supervision (300 MB)")
    image, boxes, _ = next(scene for scene in scenes if len(scene[1]) > 1)
    scored = np.column_stack([boxes, np.linspace(0.9, 0.5, len(boxes))])
    poses = replace(predictor(image, scored), track_ids=np.arange(len(boxes)) + 7)
    points = poses.to_supervision()
    np.testing.assert_array_equal(points.xy, poses.keypoints)
    np.testing.assert_array_equal(points.keypoint_confidence, poses.scores)
    np.testing.assert_array_equal(points.detection_confidence, poses.box_scores)
    assert points[1:2].data["tracker_id"].tolist() == [8]
    annotator = supervision.EdgeAnnotator(edges=[(a + 1, b + 1) for a, b in poses.skeleton.limbs])
    assert (annotator.annotate(image.copy(), points) != image).any()
    assert predictor(image, []).to_supervision().is_empty()


def test_without_supervision_its_name_is_said(
    scenes: list[Scene], predictor: Predictor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "supervision", None)
    with pytest.raises(SdposeError, match=r"pip install 'sdpose\[supervision\]'"):
        predictor(scenes[0][0]).to_supervision()


def test_a_crowd_is_cut_a_batch_at_a_time(scenes: list[Scene], monkeypatch: pytest.MonkeyPatch) -> None:
    predictor = Predictor(DEMO, device="cpu", batch_size=4)
    image, boxes, _ = next(scene for scene in scenes if len(scene[1]))
    crowd = np.repeat(boxes[:1], 11, axis=0)
    sizes: list[int] = []
    find = predictor._find

    def counted(crops: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        sizes.append(len(crops))
        return find(crops)

    monkeypatch.setattr(predictor, "_find", counted)
    alone, nobody, many, last = predictor.stream(
        [(image, boxes[:1]), (image, []), (image, crowd), (image, boxes[:1])]
    )
    assert sizes == [4, 4, 4, 1]
    assert (len(alone), len(nobody), len(many), len(last)) == (1, 0, 11, 1)
    np.testing.assert_allclose(many.keypoints, np.repeat(alone.keypoints, 11, axis=0), atol=0.05)
    np.testing.assert_allclose(last.keypoints, alone.keypoints, atol=0.05)


def test_images_without_anybody_do_not_pile_up(predictor: Predictor) -> None:
    """Their callers hold them until their poses come."""
    taken = 0

    def nobody() -> Iterator[tuple[NDArray[np.uint8], list[list[float]]]]:
        nonlocal taken
        for _ in range(100):
            taken += 1
            yield np.zeros((40, 30, 3), np.uint8), []

    assert len(next(predictor.stream(nobody()))) == 0
    assert taken == 1
