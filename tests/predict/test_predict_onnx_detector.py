"""Detectors in ONNX files of the known layouts, made here with persons planted in: found where they are in the image.

The files look at what goes in, too: a score is only given when the pixels are those that the family was trained on.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from sdpose.cli.main import main
from sdpose.errors import SdposeError
from sdpose.predict.detector_layouts import tell_layout
from sdpose.predict.onnx_detector import OnnxDetector

onnx = pytest.importorskip("onnx", reason="detectors need onnx and onnxruntime")
pytest.importorskip("onnxruntime", reason="detectors need onnx and onnxruntime")

WIDTH, HEIGHT = 192, 128
"""Of the detectors' input; 24 x 16 cells of stride 8, 12 x 8 of 16, 6 x 4 of 32."""
CELLS = 24 * 16 + 12 * 8 + 6 * 4
COLOUR_BGR = (20, 90, 200)
PERSONS = np.array([[30, 40, 100, 200, 0.9], [300, 60, 80, 160, 0.6]], np.float32)
"""Left, top, width, height in the image, score; no two in one cell."""
MEAN, STD = np.array([103.53, 116.28, 123.675]), np.array([57.375, 57.12, 58.395])
Array = NDArray[Any]


def image_of(width: int, height: int) -> NDArray[np.uint8]:
    return np.full((height, width, 3), COLOUR_BGR, np.uint8)


IMAGE = image_of(480, 240)
"""Wide: shrunk by 0.4 to 192 x 96, so 32 rows of the input are grey."""


def in_input(*, centred: bool) -> Array:
    """PERSONS as left, top, right, bottom in the detector's input, with their scores."""
    top = 16 if centred else 0
    low, size = PERSONS[:, :2] * 0.4 + [0, top], PERSONS[:, 2:4] * 0.4
    return np.column_stack([low, low + size, PERSONS[:, 4]]).astype(np.float32)


def as_seen(style: str) -> Array:
    """The colour of the image and of the grey, as the channels of the input."""
    bgr = np.array([COLOUR_BGR, (114, 114, 114)], np.float64)
    return {"bgr_255": bgr, "bgr_imagenet": (bgr - MEAN) / STD, "rgb_1": bgr[:, ::-1] / 255}[style]


def make_detector(
    path: Path,
    outputs: Mapping[str, Array],
    scores: tuple[str, tuple[slice, ...]],
    *,
    pixels: str,
    centred: bool,
    sliced: bool = False,
    float16: bool = False,
    metadata: Mapping[str, str] | None = None,
    num_images: int | str = 1,
) -> Path:
    """A file that gives `outputs`; those at `scores` are 0 unless the input is an image of COLOUR_BGR on grey."""
    helper, kinds = onnx.helper, onnx.TensorProto
    place = np.zeros((1, 3, HEIGHT, WIDTH), np.float32)
    colour, grey = as_seen(pixels)
    # Columns 90 to 95 of a row within the image and of one within the grey.
    rows = [(64, colour), (4 if centred else 124, grey)] + ([(124, grey)] if centred else [(4, colour)])
    for row, value in rows:
        place[0, :, row, 90:96] = value[:, None]
    watched = (place != 0).astype(np.float32)
    kind = kinds.FLOAT16 if float16 else kinds.FLOAT
    image = helper.make_tensor_value_info("image", kind, [num_images, 3, HEIGHT, WIDTH])
    nodes = [helper.make_node("Cast", ["image"], ["plain"], to=kinds.FLOAT)]
    constants: dict[str, Array] = {}
    if sliced:
        nodes.append(helper.make_node("Slice", ["image", *SLICE], ["unused"]))
        constants |= {name: np.array(value, np.int64) for name, value in SLICE.items()}
    nodes += [
        helper.make_node("Sub", ["plain", "place"], ["apart"]),
        helper.make_node("Mul", ["apart", "watched"], ["seen"]),
        helper.make_node("Abs", ["seen"], ["distance"]),
        helper.make_node("ReduceMax", ["distance"], ["worst"], keepdims=0),
        helper.make_node("Less", ["worst", "limit"], ["right"]),
        helper.make_node("Cast", ["right"], ["right_as_float"], to=kinds.FLOAT),
    ]
    constants |= {"place": place, "watched": watched, "limit": np.float32(0.02 * np.ptp(place))}
    infos = []
    for name, values in outputs.items():
        constants[f"{name}_planted"] = values
        if name == scores[0]:
            mask = np.zeros(values.shape, np.float32)
            mask[scores[1]] = 1.0
            constants[f"{name}_mask"], constants[f"{name}_rest"] = mask, 1.0 - mask
            nodes += [
                helper.make_node("Mul", [f"{name}_mask", "right_as_float"], [f"{name}_if"]),
                helper.make_node("Add", [f"{name}_if", f"{name}_rest"], [f"{name}_factor"]),
                helper.make_node("Mul", [f"{name}_planted", f"{name}_factor"], [name]),
            ]
        else:
            nodes.append(helper.make_node("Identity", [f"{name}_planted"], [name]))
        infos.append(helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(values.dtype), None))
    weights = [onnx.numpy_helper.from_array(np.asarray(values), name) for name, values in constants.items()]
    graph = helper.make_graph(nodes, "detector", [image], infos, weights)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    helper.set_model_props(model, dict(metadata or {}))
    onnx.save(model, str(path))
    return path


SLICE = {"starts": [0, 0], "ends": [HEIGHT, WIDTH], "axes": [2, 3], "steps": [2, 2]}


def grid() -> tuple[Array, Array]:
    """Column and row of each cell (CELLS, 2), and its stride: row by row, stride after stride."""
    cells = [(x, y, s) for s in (8, 16, 32) for y in range(HEIGHT // s) for x in range(WIDTH // s)]
    array = np.array(cells, np.float32)
    return array[:, :2], array[:, 2:]


def rows_of_cells(*, centred: bool, raw: bool, objectness: float = 0.8) -> Array:
    """(CELLS, 85) as YOLOX gives: each person in the cell of stride 16 that has the centre."""
    cell, stride = grid()
    rows = np.zeros((CELLS, 85), np.float32)
    centers, sizes = (np.zeros((CELLS, 2)), np.zeros((CELLS, 2))) if raw else ((cell + 0.5) * stride, stride)
    rows[:, :2], rows[:, 2:4] = centers, sizes
    for left, top, right, bottom, score in in_input(centred=centred):
        center, size = (
            np.array([(left + right) / 2, (top + bottom) / 2]),
            np.array([right - left, bottom - top]),
        )
        number = 24 * 16 + int(center[1] // 16) * 12 + int(center[0] // 16)
        if raw:
            rows[number, :2], rows[number, 2:4] = center / 16 - cell[number], np.log(size / 16)
        else:
            rows[number, :2], rows[number, 2:4] = center, size
        rows[number, 4], rows[number, 5] = objectness, score / objectness
    rows[7, 4:8] = 0.9, 0.0, 0.9, 0.0  # a bicycle
    return rows


def yolox(path: Path, **more: Any) -> Path:
    rows = rows_of_cells(centred=False, raw=True)
    return make_detector(path, {"output": rows[None]}, SCORES_5, pixels="bgr_255", centred=False, **more)


def yolox_decoded(path: Path, **more: Any) -> Path:
    rows = rows_of_cells(centred=False, raw=False)
    return make_detector(path, {"output": rows[None]}, SCORES_5, pixels="bgr_255", centred=False, **more)


def two_outputs() -> dict[str, Array]:
    """mmdeploy: (1, n, 5) and (1, n), filled up with nothing; among them a dog."""
    dets = np.zeros((1, 100, 5), np.float32)
    dets[0, :2] = in_input(centred=False)
    dets[0, 2] = 10, 10, 60, 60, 0.95
    labels = np.zeros((1, 100), np.int64)
    labels[0, 2] = 16
    labels[0, 3:] = -1
    return {"dets": dets, "labels": labels}


def rtmdet(path: Path, **more: Any) -> Path:
    scores = ("dets", (slice(None), slice(None), slice(4, 5)))
    return make_detector(path, two_outputs(), scores, pixels="bgr_imagenet", centred=False, **more)


def yolox_mmdeploy(path: Path, **more: Any) -> Path:
    scores = ("dets", (slice(None), slice(None), slice(4, 5)))
    return make_detector(path, two_outputs(), scores, pixels="bgr_255", centred=False, sliced=True, **more)


def yolo_v8(path: Path, *, num_classes: int = 80, person: int = 0, **more: Any) -> Path:
    """(1, 4 + C, A): also v11, v12, and their pose models."""
    rows = rows_of_cells(centred=True, raw=False, objectness=1.0)
    columns = np.zeros((4 + num_classes, CELLS), np.float32)
    columns[:4] = rows[:, :4].T
    columns[4 + person] = rows[:, 5]
    scores = ("output0", (slice(None), slice(4, None)))
    return make_detector(path, {"output0": columns[None]}, scores, pixels="rgb_1", centred=True, **more)


def yolo_v5(path: Path, **more: Any) -> Path:
    """(1, 3 A, 85) with three anchors a cell, and the raw maps beside it, as old exports have."""
    rows = rows_of_cells(centred=True, raw=False)
    planted = {
        "output": np.concatenate([np.zeros_like(rows), rows, np.zeros_like(rows)])[None],
        "maps": np.zeros((1, 3, 16, 24, 85), np.float32),
    }
    return make_detector(path, planted, SCORES_5, pixels="rgb_1", centred=True, **more)


def yolo_end_to_end(path: Path, *, columns: int = 6, **more: Any) -> Path:
    """(1, 300, 6): YOLOv10, YOLO26, exports with NMS inside."""
    rows = np.zeros((1, 300, columns), np.float32)
    rows[0, :2, :5] = in_input(centred=True)
    rows[0, 2, :6] = 10, 30, 60, 60, 0.95, 16
    scores = ("output0", (slice(None), slice(None), slice(4, 5)))
    return make_detector(path, {"output0": rows}, scores, pixels="rgb_1", centred=True, **more)


SCORES_5 = ("output", (slice(None), slice(None), slice(4, 5)))
FAMILIES: dict[str, Callable[..., Path]] = {
    "YOLOX": yolox,
    "YOLOX, decoded": yolox_decoded,
    "YOLOX by mmdeploy": yolox_mmdeploy,
    "RTMDet": rtmdet,
    "YOLOv5": yolo_v5,
    "YOLO": yolo_v8,
    "YOLO, end to end": yolo_end_to_end,
}


@pytest.mark.parametrize("family", FAMILIES)
def test_planted_persons_are_found_in_image_pixels(family: str, tmp_path: Path) -> None:
    detector = OnnxDetector(FAMILIES[family](tmp_path / "detector.onnx"))
    assert (detector.layout.name, detector.size_wh) == (family, (WIDTH, HEIGHT))
    np.testing.assert_allclose(detector(IMAGE), PERSONS, rtol=0, atol=2e-3)


@pytest.mark.parametrize("family", FAMILIES)
def test_a_wrong_colour_would_be_noticed(family: str, tmp_path: Path) -> None:
    """The planted files do look at their input: nobody is found in the same image with its channels turned round."""
    detector = OnnxDetector(FAMILIES[family](tmp_path / "detector.onnx"))
    assert detector(np.ascontiguousarray(IMAGE[..., ::-1])).shape == (0, 5)


def test_scores_below_the_threshold_are_left_out_and_boxes_end_with_the_image(tmp_path: Path) -> None:
    detector = OnnxDetector(yolox(tmp_path / "detector.onnx"), score_threshold=0.7)
    np.testing.assert_allclose(detector(IMAGE), PERSONS[:1], rtol=0, atol=2e-3)
    np.testing.assert_allclose(detector(image_of(480, 200)), [[30, 40, 100, 160, 0.9]], rtol=0, atol=2e-3)


def test_of_boxes_that_overlap_the_best_remains(tmp_path: Path) -> None:
    rows = rows_of_cells(centred=False, raw=False)
    first = int(np.flatnonzero(rows[:, 5])[0])
    rows[3] = rows[first]
    rows[3, [0, 4]] += 1, -0.1
    path = make_detector(
        tmp_path / "m.onnx", {"output": rows[None]}, SCORES_5, pixels="bgr_255", centred=False
    )
    np.testing.assert_allclose(OnnxDetector(path)(IMAGE), PERSONS, rtol=0, atol=2e-3)
    np.testing.assert_array_equal(len(OnnxDetector(path, nms_threshold=0.99)(IMAGE)), 3)


def test_half_precision_and_any_number_of_images(tmp_path: Path) -> None:
    for name, more in {"half": {"float16": True}, "free": {"num_images": "batch"}}.items():
        detector = OnnxDetector(yolo_v8(tmp_path / f"{name}.onnx", **more))
        np.testing.assert_allclose(detector(IMAGE), PERSONS, rtol=0, atol=2e-3)
    with pytest.raises(SdposeError, match="export it for one image, or for any number"):
        OnnxDetector(yolo_v8(tmp_path / "eight.onnx", num_images=8))


COCO_NAMES = {0: "person", 1: "bicycle"}


@pytest.mark.parametrize(
    ("metadata", "make", "person"),
    [
        ({"names": str(COCO_NAMES), "task": "detect"}, {"num_classes": 2}, 0),
        ({"names": "{0: 'car', 1: 'bus', 2: 'Person'}"}, {"num_classes": 3, "person": 2}, 2),
        ({"names": "['player']"}, {"num_classes": 1}, 0),
        ({"names": "{0: 'person'}", "task": "pose"}, {"num_classes": 52}, 0),
        ({"names": "{0: '0', 1: '1'}"}, {"num_classes": 2}, 0),
        ({"names": "not a table"}, {}, 0),
    ],
)
def test_a_file_that_names_its_classes_is_believed(
    metadata: dict[str, str], make: dict[str, int], person: int, tmp_path: Path
) -> None:
    detector = OnnxDetector(yolo_v8(tmp_path / "detector.onnx", metadata=metadata, **make))
    assert detector.person == person
    np.testing.assert_allclose(detector(IMAGE), PERSONS, rtol=0, atol=2e-3)


def test_columns_behind_the_class_belong_to_poses_and_masks(tmp_path: Path) -> None:
    words = {"names": "{0: 'person'}", "task": "pose"}
    detector = OnnxDetector(yolo_end_to_end(tmp_path / "detector.onnx", columns=57, metadata=words))
    np.testing.assert_allclose(detector(IMAGE), PERSONS, rtol=0, atol=2e-3)


def other(path: Path, outputs: Mapping[str, Array], **more: Any) -> Path:
    return make_detector(path, outputs, ("", ()), pixels="rgb_1", centred=True, **more)


def tensors(**shapes: Sequence[int]) -> dict[str, Array]:
    return {name: np.zeros(shape, np.float32) for name, shape in shapes.items()}


@pytest.mark.parametrize(
    ("outputs", "said"),
    [
        (tensors(logits=(1, 1000)), "outputs are logits [1, 1000] for an image of 192 x 128"),
        (tensors(logits=(1, 1000)), "no output is a table of boxes and scores: is it a detector?"),
        (tensors(p3=(1, 255, 16, 24), p4=(1, 255, 8, 12)), "feature maps: export with the decoding"),
        (tensors(boxes=(1, 504, 4), scores=(1, 504, 80)), "boxes and scores come apart"),
        (tensors(num=(1, 1), boxes=(1, 100, 4), scores=(1, 100), classes=(1, 100)), "come apart"),
        (tensors(output=(1, 500, 85)), "known are YOLOX [1, 504, 85], YOLOv5 and v7 [1, 1512, 85]"),
    ],
)
def test_other_outputs_are_refused_with_what_is_missing(
    outputs: dict[str, Array], said: str, tmp_path: Path
) -> None:
    with pytest.raises(SdposeError) as raised:
        OnnxDetector(other(tmp_path / "other.onnx", outputs))
    assert said in str(raised.value)


@pytest.mark.parametrize(
    ("metadata", "said"),
    [
        ({"task": "classify"}, "made for the task 'classify'; expected one of detect, pose, segment"),
        ({"names": "{0: 'cat', 1: 'dog'}"}, "finds cat, dog; none of its classes is called person"),
    ],
)
def test_a_file_for_something_else_is_refused(metadata: dict[str, str], said: str, tmp_path: Path) -> None:
    with pytest.raises(SdposeError, match=said):
        OnnxDetector(yolo_v8(tmp_path / "detector.onnx", metadata=metadata))


def test_predict_draws_and_writes_what_a_detector_finds(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    weights = Path(__file__).parents[2] / "sdpose" / "weights" / "sdpose_demo.pth"
    (tmp_path / "photos").mkdir()
    cv2.imwrite(str(tmp_path / "photos" / "7.png"), IMAGE)
    detector = yolox(tmp_path / "yolox.onnx")
    words = [
        "predict",
        str(weights),
        str(tmp_path / "photos"),
        "--out",
        str(tmp_path / "out"),
        "--device",
        "cpu",
    ]
    assert main([*words, "--detector", str(detector)]) == 0
    results = json.loads((tmp_path / "out" / "predictions.json").read_text(encoding="utf-8"))
    found = [[*entry["bbox"]] for entry in results]
    np.testing.assert_allclose(found, PERSONS[:, :4], rtol=0, atol=0.01)
    assert {entry["image_id"] for entry in results} == {7}
    capsys.readouterr()
    (tmp_path / "bad.onnx").write_bytes(b"no model")
    assert main([*words, "--again", "--detector", str(tmp_path / "bad.onnx")]) == 2
    assert "bad.onnx is no ONNX model that onnxruntime can load" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("shape", "name"),
    [
        ((1, 84, 8400), "YOLO"),
        ((1, 84, 8500), "YOLO"),  # four strides, as the P6 models have
        ((1, 25500, 85), "YOLOv5"),
        ((1, 84, 8401), None),
    ],
)
def test_layouts_are_told_by_the_cells_of_three_strides_or_four(
    shape: tuple[int, ...], name: str | None
) -> None:
    layout = tell_layout([np.zeros(shape, np.float32)], (640, 640), image_is_sliced=False, task="detect")
    assert (None if layout is None else layout.name) == name
