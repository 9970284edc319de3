"""The outputs of the detector families, told apart by their shapes.

Legend: A cells of all strides of the input (8400 for 640 x 640), N rows, C classes. Boxes that a reader gives are left,
top, right, bottom in pixels of the detector's input.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Array = NDArray[Any]
Pixels = Literal["bgr_255", "bgr_imagenet", "rgb_1"]
Reader = Callable[[Sequence[Array], tuple[int, int], int], tuple[Floats, Floats]]
"""outputs, input size (width, height), the person's class -> boxes (N, 4) and scores (N,)."""

_STRIDES = (8, 16, 32)
_STRIDES_P6 = (8, 16, 32, 64)


@dataclass(frozen=True)
class Layout:
    """How a family wants its images and what its outputs mean."""

    name: str
    read: Reader
    pixels: Pixels
    """BGR 0..255; BGR with ImageNet's mean and deviation; RGB 0..1."""
    centred: bool
    """The shrunk image lies in the middle of the grey input; else at its top left."""
    suppressed: bool
    """Overlapping boxes of one person have been removed inside of the file."""


def tell_layout(
    outputs: Sequence[Array], size_wh: tuple[int, int], *, image_is_sliced: bool, task: str
) -> Layout | None:
    """The layout of a file that gave `outputs` for a grey image; None when it is none of the known ones.

    `image_is_sliced`: the first thing that the file does is to take every other pixel, as YOLOX does. `task` is
    Ultralytics' word for what is found besides boxes: 'pose' and 'segment' add columns.
    """
    shapes = [output.shape for output in outputs]
    table = [shape for shape in shapes if len(shape) <= 3]  # besides it: raw maps (YOLOv5), mask prototypes
    if len(table) == 2 and len(table[0]) == 3 and table[0][2] == 5 and table[1] == table[0][:2]:
        return _YOLOX_MMDEPLOY if image_is_sliced else _RTMDET
    if len(table) != 1 or shapes[0] != table[0] or len(table[0]) != 3 or table[0][0] != 1:
        return None
    rows, columns = table[0][1:]
    cells = [num_cells(size_wh, strides) for strides in (_STRIDES, _STRIDES_P6)]
    if rows == cells[0] and columns >= 6:
        return _YOLOX_DECODED if _is_decoded(outputs[0][0], size_wh) else _YOLOX
    if rows in [3 * number for number in cells] and columns >= 6:
        return _YOLO_V5
    if columns in cells and rows >= 5:
        return _YOLO
    if rows <= 1000 and (columns == 6 or (columns > 6 and task != "detect")):
        return _YOLO_END_TO_END
    return None


def what_is_known(size_wh: tuple[int, int]) -> str:
    """The layouts, with the numbers that they would have for this input."""
    cells = num_cells(size_wh, _STRIDES)
    return (
        f"YOLOX [1, {cells}, 85], YOLOv5 and v7 [1, {3 * cells}, 85], YOLOv8 to v12 [1, 84, {cells}], YOLOv10 "
        "and YOLO26 [1, 300, 6], RTMDet or YOLOX by mmdeploy [1, n, 5] and [1, n]"
    )


def what_is_missing(shapes: Sequence[tuple[int, ...]]) -> str:
    """What stands between these outputs and boxes, for a person."""
    if all(len(shape) > 3 for shape in shapes):
        return "these are feature maps: export with the decoding of boxes inside"
    if any(shape[-1:] == (4,) for shape in shapes):
        return "boxes and scores come apart: export them as one table, or with RTMDet's two outputs"
    return "no output is a table of boxes and scores: is it a detector?"


def num_cells(size_wh: tuple[int, int], strides: Sequence[int] = _STRIDES) -> int:
    """How many cells the grids of all strides have together."""
    return sum((size_wh[0] // stride) * (size_wh[1] // stride) for stride in strides)


def _grid(size_wh: tuple[int, int]) -> tuple[Floats, Floats]:
    """Column and row (A, 2) of each cell, and its stride (A, 1)."""
    cells, strides = [], []
    for stride in _STRIDES:
        columns, rows = size_wh[0] // stride, size_wh[1] // stride
        x, y = np.meshgrid(np.arange(columns), np.arange(rows))
        cells.append(np.stack([x, y], axis=-1).reshape(-1, 2))
        strides.append(np.full((columns * rows, 1), stride))
    return np.concatenate(cells).astype(np.float32), np.concatenate(strides).astype(np.float32)


def _is_decoded(rows: Array, size_wh: tuple[int, int]) -> bool:
    """Whether YOLOX's centres are pixels, not offsets from a cell: in either case they lie near their cell."""
    cell, stride = _grid(size_wh)
    as_offsets = np.median(np.abs(rows[:, :2]))
    as_pixels = np.median(np.abs(rows[:, :2] / stride - cell))
    return bool(as_pixels < as_offsets)


def _read_yolox(outputs: Sequence[Array], size_wh: tuple[int, int], person: int) -> tuple[Floats, Floats]:
    rows = outputs[0][0].astype(np.float32)  # (A, 5 + C)
    cell, stride = _grid(size_wh)
    centers, sizes = (rows[:, :2] + cell) * stride, np.exp(np.clip(rows[:, 2:4], -20.0, 20.0)) * stride
    return _corners(centers, sizes), rows[:, 4] * rows[:, 5 + person]


def _read_center_rows(
    outputs: Sequence[Array], size_wh: tuple[int, int], person: int
) -> tuple[Floats, Floats]:
    rows = outputs[0][0].astype(np.float32)  # (N, 5 + C)
    return _corners(rows[:, :2], rows[:, 2:4]), rows[:, 4] * rows[:, 5 + person]


def _read_center_columns(
    outputs: Sequence[Array], size_wh: tuple[int, int], person: int
) -> tuple[Floats, Floats]:
    rows = outputs[0][0].T.astype(np.float32)  # (A, 4 + C)
    return _corners(rows[:, :2], rows[:, 2:4]), rows[:, 4 + person]


def _read_end_to_end(
    outputs: Sequence[Array], size_wh: tuple[int, int], person: int
) -> tuple[Floats, Floats]:
    rows = outputs[0][0].astype(np.float32)  # (N, 6 and more): corners, score, class
    people = rows[rows[:, 5] == person]
    return people[:, :4], people[:, 4]


def _read_two_outputs(
    outputs: Sequence[Array], size_wh: tuple[int, int], person: int
) -> tuple[Floats, Floats]:
    rows, labels = outputs[0][0].astype(np.float32), outputs[1][0]  # (N, 5), (N,)
    people = rows[labels == person]
    return people[:, :4], people[:, 4]


def _corners(centers: Floats, sizes: Floats) -> Floats:
    return np.concatenate([centers - sizes / 2, centers + sizes / 2], axis=1)


_YOLOX = Layout("YOLOX", _read_yolox, "bgr_255", centred=False, suppressed=False)
_YOLOX_DECODED = Layout("YOLOX, decoded", _read_center_rows, "bgr_255", centred=False, suppressed=False)
_YOLOX_MMDEPLOY = Layout("YOLOX by mmdeploy", _read_two_outputs, "bgr_255", centred=False, suppressed=True)
_RTMDET = Layout("RTMDet", _read_two_outputs, "bgr_imagenet", centred=False, suppressed=True)
_YOLO_V5 = Layout("YOLOv5", _read_center_rows, "rgb_1", centred=True, suppressed=False)
_YOLO = Layout("YOLO", _read_center_columns, "rgb_1", centred=True, suppressed=False)
_YOLO_END_TO_END = Layout("YOLO, end to end", _read_end_to_end, "rgb_1", centred=True, suppressed=True)
