"""Boxes of persons from a JSON file, by image."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sdpose.errors import SdposeError

PERSON_CATEGORY = 1
Boxes = NDArray[np.float32]
_WANTED = (
    "expected COCO annotations (images, annotations), COCO detections [{image_id, bbox, score}, ...] or "
    '{"file.jpg": [[left, top, width, height], ...]}'
)


class BoxFile:
    """Boxes (P, 5) left, top, width, height, score for each image that the file knows."""

    def __init__(self, path: Path, *, score_threshold: float = 0.0) -> None:
        """Reads COCO annotations, COCO detections, or a table of file names. Raises SdposeError for anything else."""
        self.path = path
        self._ids: dict[str, int] = {}
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
        except OSError as error:
            raise SdposeError(f"{path}: cannot be read: {error.strerror}") from error
        except ValueError as error:
            raise SdposeError(f"{path} is no JSON ({error}); {_WANTED}") from error
        boxes: dict[str, list[list[float]]] = {}
        for key, row in self._rows(content):
            boxes.setdefault(key, []).append(row)
        self._boxes = {key: _array(path, key, rows, score_threshold) for key, rows in boxes.items()}

    def _rows(self, content: Any) -> Iterable[tuple[str, list[float]]]:
        try:
            if isinstance(content, Mapping) and "annotations" in content:
                names = {each["id"]: str(each["file_name"]) for each in content["images"]}
                self._ids = {Path(name).name: int(number) for number, name in names.items()}
                for name in names.values():
                    yield Path(name).name, []
                for each in content["annotations"]:
                    if each.get("category_id", PERSON_CATEGORY) == PERSON_CATEGORY and not each.get(
                        "iscrowd"
                    ):
                        yield Path(names[each["image_id"]]).name, [*each["bbox"], each.get("score", 1.0)]
            elif isinstance(content, list):
                for each in content:
                    if each.get("category_id", PERSON_CATEGORY) == PERSON_CATEGORY:
                        yield _key(each["image_id"]), [*each["bbox"], each.get("score", 1.0)]
            elif isinstance(content, Mapping):
                for name, rows in content.items():
                    yield Path(name).name, []
                    for row in rows:
                        yield Path(name).name, [*row, 1.0][:5]
            else:
                raise TypeError("neither a table nor a list")
        except (KeyError, TypeError, AttributeError, ValueError) as error:
            raise SdposeError(f"{self.path}: {type(error).__name__} {error}; {_WANTED}") from error

    def __len__(self) -> int:
        return sum(len(each) for each in self._boxes.values())

    def boxes_of(self, path: Path) -> Boxes | None:
        """(P, 5) of an image, by its name or the number that its name is; None when the file does not know it."""
        found = self._boxes.get(path.name)
        return found if found is not None else self._boxes.get(_key(path.stem))

    def knows_film(self, name: str) -> bool:
        """Whether it has boxes for frames of a film: they are called 'film.mp4#000001', as in the results."""
        return any(key.startswith(f"{Path(name).name}#") for key in self._boxes)

    def boxes_of_frame(self, name: str) -> Boxes:
        """(P, 5) of a frame; none where the file does not name it."""
        return self._boxes.get(Path(name).name, np.zeros((0, 5), np.float32))

    def image_id(self, path: Path) -> int | str:
        """The number that COCO results call the image by: the file's, else that in its name, else its name."""
        known = self._ids.get(path.name)
        return known if known is not None else number_in(path)


def number_in(path: Path) -> int | str:
    """000000000139.jpg -> 139; other names as they are."""
    return int(path.stem) if path.stem.isdigit() else path.name


def _key(image_id: Any) -> str:
    text = str(image_id)
    return f"#{int(text)}" if text.isdigit() else Path(text).name


def _array(path: Path, key: str, rows: list[list[float]], score_threshold: float) -> Boxes:
    rows = [row for row in rows if row]
    try:
        array = np.array(rows, np.float32).reshape(len(rows), 5)
    except ValueError as error:
        raise SdposeError(f"{path}: a box of {key} is not four numbers and a score; {_WANTED}") from error
    usable = np.isfinite(array).all(axis=1) & (array[:, 2] > 0) & (array[:, 3] > 0)
    return array[usable & (array[:, 4] >= score_threshold)]
