"""A sheet of pictures with their joints drawn in, to look at before training on them."""

from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from sdpose.skeleton import COCO17

Image = NDArray[np.uint8]

_LEFT, _RIGHT, _MIDDLE = (80, 200, 80), (60, 140, 255), (230, 200, 90)


def write_preview(folder: Path, records: list[dict[str, Any]], path: Path, num_columns: int = 4) -> None:
    """Writes up to 16 pictures as one JPEG: left limbs green, right limbs orange, hidden joints as rings."""
    chosen = records[: num_columns * 4]
    tiles = [_draw(folder / "train2017", record) for record in chosen]
    tiles += [np.full_like(tiles[0], 255)] * (-len(tiles) % num_columns)
    rows = [np.hstack(tiles[start : start + num_columns]) for start in range(0, len(tiles), num_columns)]
    _, encoded = cv2.imencode(".jpg", np.vstack(rows), [cv2.IMWRITE_JPEG_QUALITY, 90])
    path.write_bytes(encoded.tobytes())


def _draw(image_folder: Path, record: dict[str, Any]) -> Image:
    content = np.frombuffer((image_folder / record["image"]["file_name"]).read_bytes(), np.uint8)
    image = cv2.imdecode(content, cv2.IMREAD_COLOR)
    assert image is not None, "a picture that was just written"
    zoom = max(0.25, 320 / image.shape[1])
    image = cv2.resize(image, None, fx=zoom, fy=zoom, interpolation=cv2.INTER_AREA)
    for annotation in record["annotations"]:
        keypoints = np.array(annotation["keypoints"], float).reshape(-1, 3)
        places = [(round(x * zoom), round(y * zoom)) for x, y in keypoints[:, :2]]
        for a, b in COCO17.limbs:
            if keypoints[a, 2] and keypoints[b, 2]:
                cv2.line(image, places[a], places[b], _color(a, b), 1, cv2.LINE_AA)
        for joint, place in enumerate(places):
            if keypoints[joint, 2]:
                thickness = cv2.FILLED if keypoints[joint, 2] == 2 else 1
                cv2.circle(image, place, 2, _color(joint, joint), thickness, cv2.LINE_AA)
    return np.asarray(image, np.uint8)


def _color(a: int, b: int) -> tuple[int, int, int]:
    names = COCO17.keypoints[a], COCO17.keypoints[b]
    if all(name.startswith("left") for name in names):
        return _LEFT
    return _RIGHT if all(name.startswith("right") for name in names) else _MIDDLE
