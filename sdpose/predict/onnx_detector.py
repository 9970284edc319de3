"""Persons found by a detector in an ONNX file: YOLOX-, RTMDet- and YOLO-style outputs.

Legend: N candidates, C classes. Boxes inside are left, top, right, bottom in pixels of the detector's input.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from sdpose.errors import SdposeError
from sdpose.predict.media import Image

Floats = NDArray[np.float32]
Style = Literal["yolox", "rtmdet", "yolo", "yolo_nms"]

_PERSON = 0
_GREY = 114
_STRIDES = (8, 16, 32)
_RTMDET_MEAN, _RTMDET_STD = (103.53, 116.28, 123.675), (57.375, 57.12, 58.395)
_DEFAULT_SIDE = 640


class OnnxDetector:
    """image (H, W, 3) uint8 BGR -> boxes (P, 5): left, top, width, height, score; best first.

    The style is told from the shapes of the outputs:

    yolox     (1, N, 5 + C) raw: centre and size by grid cell, objectness, classes; N counts strides 8, 16, 32
    rtmdet    (1, N, 5) boxes with scores, and (1, N) labels; suppressed already
    yolo      (1, 4 + C, N) centre and size in pixels, classes (Ultralytics v8, v11)
    yolo_nms  (1, N, 6) boxes, score, label; suppressed already (YOLOv10, YOLO26, exports with NMS)
    """

    def __init__(self, path: Path, *, score_threshold: float = 0.3, nms_threshold: float = 0.65) -> None:
        """Raises SdposeError for what is no detector, naming the outputs that were found."""
        try:
            import onnxruntime  # type: ignore[import-not-found,unused-ignore]
        except ImportError as error:
            raise SdposeError("a detector needs onnxruntime: pip install 'sdpose[onnx]'") from error
        if not path.is_file():
            raise SdposeError(f"{path}: no such file")
        try:
            self._session = onnxruntime.InferenceSession(
                str(path), providers=onnxruntime.get_available_providers()
            )
        except Exception as error:  # onnxruntime's errors share no public base
            raise SdposeError(
                f"{path} is no ONNX model that onnxruntime can load: {_first_line(error)}"
            ) from error
        self.path = path
        self.score_threshold = score_threshold
        self.nms_threshold = nms_threshold
        self.size_wh = self._input_size()
        self.style = self._tell_style()

    def __call__(self, image: Image) -> Floats:
        canvas, ratio, offset = self._fit(image)
        outputs = self._run(self._as_input(canvas))
        boxes, scores = _READERS[self.style](outputs, self.size_wh)
        keep = scores >= self.score_threshold
        boxes, scores = boxes[keep], scores[keep]
        if self.style in ("yolox", "yolo"):
            rows = _suppress(boxes, scores, self.nms_threshold)
            boxes, scores = boxes[rows], scores[rows]
        boxes = (boxes - np.tile(offset, 2)) / ratio
        height, width = image.shape[:2]
        boxes = np.clip(boxes, 0.0, np.array([width, height, width, height], np.float32))
        sizes = boxes[:, 2:] - boxes[:, :2]
        order = np.argsort(-scores, kind="stable")
        order = order[(sizes[order] > 1.0).all(axis=1)]
        return np.column_stack([boxes[order, :2], sizes[order], scores[order]]).astype(np.float32)

    def _input_size(self) -> tuple[int, int]:
        inputs = self._session.get_inputs()
        shape = inputs[0].shape
        if len(inputs) != 1 or len(shape) != 4 or shape[1] not in (3, "3", None):
            found = ", ".join(f"{each.name} {each.shape}" for each in inputs)
            raise SdposeError(f"{self.path}: inputs are {found}; expected one image (1, 3, height, width)")
        height, width = (side if isinstance(side, int) and side > 0 else _DEFAULT_SIDE for side in shape[2:])
        return width, height

    def _tell_style(self) -> Style:
        outputs = self._run(np.zeros((1, 3, self.size_wh[1], self.size_wh[0]), np.float32))
        shapes = [output.shape for output in outputs]
        width, height = self.size_wh
        num_cells = sum((height // stride) * (width // stride) for stride in _STRIDES)
        first = shapes[0]
        if len(shapes) == 2 and len(first) == 3 and first[2] == 5 and len(shapes[1]) == 2:
            return "rtmdet"
        if len(shapes) == 1 and len(first) == 3:
            if first[2] == 6 and first[1] <= 1000:
                return "yolo_nms"
            if first[1] == num_cells and first[2] >= 6:
                return "yolox"
            if first[2] == num_cells and first[1] >= 5:
                return "yolo"
        shown = ", ".join(
            f"{each.name} {list(shape)}"
            for each, shape in zip(self._session.get_outputs(), shapes, strict=True)
        )
        raise SdposeError(
            f"{self.path}: its outputs are {shown}; known are YOLOX [1, {num_cells}, 85], RTMDet [1, n, 5] and [1, n], "
            f"YOLO [1, 84, {num_cells}] and YOLO with NMS [1, n, 6]"
        )

    def _fit(self, image: Image) -> tuple[Image, float, Floats]:
        """The image shrunk into the input on grey; its ratio and its left, top place there."""
        width, height = self.size_wh
        ratio = min(width / image.shape[1], height / image.shape[0])
        size = (max(1, round(image.shape[1] * ratio)), max(1, round(image.shape[0] * ratio)))
        canvas = np.full((height, width, 3), _GREY, np.uint8)
        # Ultralytics centres the image, the others put it at the top left.
        centred = self.style in ("yolo", "yolo_nms")
        left, top = ((width - size[0]) // 2, (height - size[1]) // 2) if centred else (0, 0)
        canvas[top : top + size[1], left : left + size[0]] = cv2.resize(
            image, size, interpolation=cv2.INTER_LINEAR
        )
        return canvas, ratio, np.array([left, top], np.float32)

    def _as_input(self, canvas: Image) -> Floats:
        """As each family was trained: YOLOX 0..255 BGR, RTMDet normalised BGR, YOLO 0..1 RGB."""
        pixels: Any = canvas.astype(np.float32)
        if self.style == "rtmdet":
            pixels = (pixels - np.array(_RTMDET_MEAN, np.float32)) / np.array(_RTMDET_STD, np.float32)
        elif self.style != "yolox":
            pixels = pixels[..., ::-1] / 255.0
        return np.ascontiguousarray(pixels.transpose(2, 0, 1)[None], np.float32)

    def _run(self, pixels: Floats) -> list[NDArray[Any]]:
        try:
            return list(self._session.run(None, {self._session.get_inputs()[0].name: pixels}))
        except Exception as error:  # onnxruntime's errors share no public base
            raise SdposeError(f"{self.path} does not run on an image: {_first_line(error)}") from error


def _read_yolox(outputs: Sequence[NDArray[Any]], size_wh: tuple[int, int]) -> tuple[Floats, Floats]:
    raw = outputs[0][0].astype(np.float32)  # (N, 5 + C)
    cells, strides = [], []
    for stride in _STRIDES:
        columns, rows = size_wh[0] // stride, size_wh[1] // stride
        x, y = np.meshgrid(np.arange(columns), np.arange(rows))
        cells.append(np.stack([x, y], axis=-1).reshape(-1, 2))
        strides.append(np.full((columns * rows, 1), stride))
    cell, stride_of = np.concatenate(cells).astype(np.float32), np.concatenate(strides).astype(np.float32)
    centers = (raw[:, :2] + cell) * stride_of
    sizes = np.exp(np.clip(raw[:, 2:4], -20.0, 20.0)) * stride_of
    return _corners(centers, sizes), raw[:, 4] * raw[:, 5 + _PERSON]


def _read_rtmdet(outputs: Sequence[NDArray[Any]], size_wh: tuple[int, int]) -> tuple[Floats, Floats]:
    rows, labels = outputs[0][0].astype(np.float32), outputs[1][0]
    people = rows[labels == _PERSON]
    return people[:, :4], people[:, 4]


def _read_yolo(outputs: Sequence[NDArray[Any]], size_wh: tuple[int, int]) -> tuple[Floats, Floats]:
    rows = outputs[0][0].T.astype(np.float32)  # (N, 4 + C)
    return _corners(rows[:, :2], rows[:, 2:4]), rows[:, 4 + _PERSON]


def _read_yolo_nms(outputs: Sequence[NDArray[Any]], size_wh: tuple[int, int]) -> tuple[Floats, Floats]:
    rows = outputs[0][0].astype(np.float32)
    people = rows[rows[:, 5] == _PERSON]
    return people[:, :4], people[:, 4]


_READERS: Mapping[str, Any] = {
    "yolox": _read_yolox,
    "rtmdet": _read_rtmdet,
    "yolo": _read_yolo,
    "yolo_nms": _read_yolo_nms,
}


def _corners(centers: Floats, sizes: Floats) -> Floats:
    return np.concatenate([centers - sizes / 2, centers + sizes / 2], axis=1)


def _suppress(boxes: Floats, scores: Floats, threshold: float) -> NDArray[np.int64]:
    """Rows that remain after non-maximum suppression."""
    if not len(boxes):
        return np.zeros(0, np.int64)
    sides = np.column_stack([boxes[:, :2], boxes[:, 2:] - boxes[:, :2]])
    rows = cv2.dnn.NMSBoxes(sides.tolist(), scores.tolist(), 0.0, threshold)
    return np.asarray(rows, np.int64).reshape(-1)


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0][:200] if str(error).strip() else type(error).__name__
