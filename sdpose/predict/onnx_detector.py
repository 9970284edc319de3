"""Persons found by a detector in an ONNX file: YOLOX-, RTMDet- and YOLO-style outputs."""

from __future__ import annotations

import ast
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from sdpose.errors import SdposeError
from sdpose.predict.detector_layouts import Layout, tell_layout, what_is_known, what_is_missing
from sdpose.predict.media import Image
from sdpose.predict.onnx_session import OnnxSession

Floats = NDArray[np.float32]

_GREY = 114
_IMAGENET_BGR_MEAN = np.array([103.53, 116.28, 123.675], np.float32)
_IMAGENET_BGR_STD = np.array([57.375, 57.12, 58.395], np.float32)
_DEFAULT_SIDE = 640
_TASKS = ("detect", "pose", "segment")
_PERSON_NAMES = ("person", "people", "pedestrian", "human")
_NUMBERS = {"tensor(float)": np.float32, "tensor(float16)": np.float16}


class OnnxDetector:
    """image (H, W, 3) uint8 BGR -> boxes (P, 5): left, top, width, height, score; best first.

    What the file is stands in `layout`; `detector_layouts` has the known ones. COCO's first class is the person,
    unless the file names its classes (Ultralytics).
    """

    def __init__(
        self, path: Path, *, score_threshold: float = 0.3, nms_threshold: float = 0.65, on_gpu: bool = False
    ) -> None:
        """Raises SdposeError for what is no detector of persons, naming what was found."""
        self.path = path
        self.score_threshold = score_threshold
        self.nms_threshold = nms_threshold
        self._session = OnnxSession(path, on_gpu=on_gpu)
        self._numbers, self.size_wh = self._input()
        self.person = _person_class(path, self._session.metadata)
        self.layout = self._tell_layout()

    def __call__(self, image: Image) -> Floats:
        canvas, ratio, offset = self._fit(image)
        outputs = self._session.run(self._as_input(canvas))
        boxes, scores = self.layout.read(outputs, self.size_wh, self.person)
        keep = scores >= self.score_threshold
        boxes, scores = boxes[keep], scores[keep]
        if not self.layout.suppressed:
            rows = _suppress(boxes, scores, self.nms_threshold)
            boxes, scores = boxes[rows], scores[rows]
        boxes = (boxes - np.tile(offset, 2)) / ratio
        height, width = image.shape[:2]
        boxes = np.clip(boxes, 0.0, np.array([width, height, width, height], np.float32))
        sizes = boxes[:, 2:] - boxes[:, :2]
        order = np.argsort(-scores, kind="stable")
        order = order[(sizes[order] > 1.0).all(axis=1)]
        return np.column_stack([boxes[order, :2], sizes[order], scores[order]]).astype(np.float32)

    def _input(self) -> tuple[Any, tuple[int, int]]:
        """The type of its numbers, and the width and height that it wants."""
        inputs = self._session.inputs
        shape = inputs[0].shape
        found = ", ".join(f"{each.name} {each.type} {each.shape}" for each in inputs)
        wanted = f"{self.path}: its inputs are {found}; expected one image (1, 3, height, width) of floats"
        if len(inputs) != 1 or len(shape) != 4 or inputs[0].type not in _NUMBERS:
            raise SdposeError(wanted)
        if isinstance(shape[1], int) and shape[1] != 3:
            raise SdposeError(wanted)
        if isinstance(shape[0], int) and shape[0] != 1:
            raise SdposeError(f"{wanted}; export it for one image, or for any number of them")
        height, width = (side if isinstance(side, int) and side > 0 else _DEFAULT_SIDE for side in shape[2:])
        return _NUMBERS[inputs[0].type], (width, height)

    def _tell_layout(self) -> Layout:
        width, height = self.size_wh
        grey = np.full((1, 3, height, width), _GREY, self._numbers)
        outputs = self._session.run(grey)
        layout = tell_layout(
            outputs,
            self.size_wh,
            image_is_sliced=_image_is_sliced(self.path),
            task=_task(self._session.metadata),
        )
        if layout is not None:
            return layout
        shapes = [output.shape for output in outputs]
        shown = ", ".join(
            f"{each.name} {list(shape)}" for each, shape in zip(self._session.outputs, shapes, strict=True)
        )
        raise SdposeError(
            f"{self.path}: its outputs are {shown} for an image of {width} x {height}; known are "
            f"{what_is_known(self.size_wh)}; {what_is_missing(shapes)}"
        )

    def _fit(self, image: Image) -> tuple[Image, float, Floats]:
        """The image shrunk into the input on grey; its ratio and its left, top place there."""
        width, height = self.size_wh
        ratio = min(width / image.shape[1], height / image.shape[0])
        size = (max(1, round(image.shape[1] * ratio)), max(1, round(image.shape[0] * ratio)))
        canvas = np.full((height, width, 3), _GREY, np.uint8)
        left, top = ((width - size[0]) // 2, (height - size[1]) // 2) if self.layout.centred else (0, 0)
        canvas[top : top + size[1], left : left + size[0]] = cv2.resize(
            image, size, interpolation=cv2.INTER_LINEAR
        )
        return canvas, ratio, np.array([left, top], np.float32)

    def _as_input(self, canvas: Image) -> NDArray[Any]:
        pixels: Any = canvas.astype(np.float32)
        if self.layout.pixels == "bgr_imagenet":
            pixels = (pixels - _IMAGENET_BGR_MEAN) / _IMAGENET_BGR_STD
        elif self.layout.pixels == "rgb_1":
            pixels = pixels[..., ::-1] / 255.0
        return np.ascontiguousarray(pixels.transpose(2, 0, 1)[None], self._numbers)


def _person_class(path: Path, metadata: Mapping[str, str]) -> int:
    """The number of the person's class: what Ultralytics' metadata says, else 0, as in COCO."""
    task = _task(metadata)
    if task not in _TASKS:
        raise SdposeError(f"{path} is made for the task '{task}'; expected one of {', '.join(_TASKS)}")
    try:
        names = ast.literal_eval(metadata.get("names", "None"))
    except (ValueError, SyntaxError):
        names = None
    if not isinstance(names, (dict, list)) or not names:
        return 0
    by_number = names if isinstance(names, dict) else dict(enumerate(names))
    if all(str(name) in (str(number), f"class{number}") for number, name in by_number.items()):
        return 0  # Ultralytics' placeholders
    if len(by_number) == 1:  # whatever it is called, its maker means who is to be found
        return int(next(iter(by_number)))
    for number, name in by_number.items():
        if str(name).lower() in _PERSON_NAMES:
            return int(number)
    shown = ", ".join(map(str, list(by_number.values())[:8]))
    raise SdposeError(f"{path} finds {shown}; none of its classes is called {', '.join(_PERSON_NAMES)}")


def _task(metadata: Mapping[str, str]) -> str:
    return metadata.get("task", "detect")


def _image_is_sliced(path: Path) -> bool:
    """Whether the file begins by taking every other pixel (YOLOX's "focus"): mmdeploy gives YOLOX and RTMDet the same
    outputs, but one wants plain pixels and the other normalised ones."""
    try:
        import onnx
    except ImportError as error:
        raise SdposeError("a detector needs the package onnx: pip install 'sdpose[onnx]'") from error
    graph = onnx.load(str(path), load_external_data=False).graph
    weights = {tensor.name for tensor in graph.initializer}
    image = next(each.name for each in graph.input if each.name not in weights)
    return any(node.op_type == "Slice" and image in node.input for node in graph.node)


def _suppress(boxes: Floats, scores: Floats, threshold: float) -> NDArray[np.int64]:
    """Rows that remain after non-maximum suppression."""
    if not len(boxes):
        return np.zeros(0, np.int64)
    sides = np.column_stack([boxes[:, :2], boxes[:, 2:] - boxes[:, :2]])
    rows = cv2.dnn.NMSBoxes(sides.tolist(), scores.tolist(), 0.0, threshold)
    return np.asarray(rows, np.int64).reshape(-1)
