"""Boxes of persons from a JSON file, by image."""

from __future__ import annotations

import json
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sdpose.data.plain_columns import PERSON_CATEGORY
from sdpose.errors import SdposeError
from sdpose.geometry import are_boxes, clip_to_images
from sdpose.predict.media import Medium

Boxes = NDArray[np.float64]
"""Double, as an evaluation has them: half a bit decides which way a crop's pixels are rounded."""
_WANTED = (
    "expected COCO annotations (images, annotations), COCO detections [{image_id, bbox, score}, ...] or "
    '{"file.jpg": [[left, top, width, height], ...]}'
)


class BoxFile:
    """Boxes (P, 5) left, top, width, height, score for each image that the file knows.

    Annotated boxes are cut to their images, as an evaluation does, so that both find the same joints.
    """

    def __init__(self, path: Path, *, score_threshold: float = 0.0) -> None:
        """Reads COCO annotations, COCO detections, or a table of file names. Raises SdposeError for anything else."""
        self.path = path
        self.num_without_area = 0
        """Boxes left out since they have no area or are not numbers."""
        self.num_below_threshold = 0
        self._ids: dict[str, int] = {}
        self._sizes_wh: dict[str, tuple[int, int]] = {}
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
        except OSError as error:
            raise SdposeError(f"{path}: cannot be read: {error.strerror}") from error
        except (ValueError, RecursionError) as error:
            raise SdposeError(f"{path} is no JSON ({error}); {_WANTED}") from error
        boxes: dict[str, list[list[float]]] = {}
        for key, row in self._rows(content):
            boxes.setdefault(key, []).append(row)
        self._boxes = {key: self._array(key, rows, score_threshold) for key, rows in boxes.items()}
        self._by_last_part: dict[str, list[str]] = defaultdict(list)
        for name in {_without_frame(key) for key in self._boxes}:
            self._by_last_part[Path(name).name].append(name)

    def _rows(self, content: Any) -> Iterable[tuple[str, list[float]]]:
        try:
            if isinstance(content, Mapping) and "annotations" in content:
                names = {each["id"]: Path(each["file_name"]).as_posix() for each in content["images"]}
                self._ids = {name: int(number) for number, name in names.items()}
                self._sizes_wh = {
                    names[each["id"]]: (int(each["width"]), int(each["height"]))
                    for each in content["images"]
                    if "width" in each and "height" in each
                }
                for name in names.values():
                    yield name, []
                for each in content["annotations"]:
                    if each.get("category_id", PERSON_CATEGORY) == PERSON_CATEGORY and not each.get(
                        "iscrowd"
                    ):
                        if each["image_id"] not in names:
                            raise SdposeError(
                                f"{self.path}: an annotation is of image_id {each['image_id']}, which is not among "
                                f"its {len(names)} images; are these annotations of another set?"
                            )
                        yield names[each["image_id"]], [*each["bbox"], each.get("score", 1.0)]
            elif isinstance(content, list):
                for each in content:
                    if each.get("category_id", PERSON_CATEGORY) == PERSON_CATEGORY:
                        yield _key(each["image_id"]), [*each["bbox"], each.get("score", 1.0)]
            elif isinstance(content, Mapping):
                for name, rows in content.items():
                    yield Path(name).as_posix(), []
                    for row in rows:
                        yield Path(name).as_posix(), [*row, 1.0][:5]
            else:
                raise TypeError("neither a table nor a list")
        except (KeyError, TypeError, AttributeError, ValueError) as error:
            raise SdposeError(f"{self.path}: {type(error).__name__} {error}; {_WANTED}") from error

    def __len__(self) -> int:
        return sum(len(each) for each in self._boxes.values())

    def assign(self, media: Sequence[Medium]) -> dict[str, str]:
        """The file's name for each medium that it knows, by the medium's name.

        Folders count where the file names them, else the last part of the path, or the number that an image's name is.
        Raises SdposeError where one could be meant by two.
        """
        num_of_last_part = Counter(medium.path.name for medium in media)
        found: dict[str, Medium] = {}
        for medium in media:
            name = self._name_of(medium, alone=num_of_last_part[medium.path.name] == 1)
            if name is None:
                continue
            if name in found:
                raise SdposeError(
                    f"{found[name].path} and {medium.path} could both be '{name.removeprefix('#')}' of {self.path}; "
                    "give names with their folders in it, or predict one folder after the other"
                )
            found[name] = medium
        return {medium.name: name for name, medium in found.items()}

    def _name_of(self, medium: Medium, *, alone: bool) -> str | None:
        names = self._by_last_part.get(medium.path.name, [])
        whole = medium.path.absolute().as_posix()
        ending = [name for name in names if name == whole or whole.endswith(f"/{name}")]
        if ending:
            return max(ending, key=len)
        if alone and len(names) > 1:
            raise SdposeError(
                f"{medium.path} could be {' or '.join(sorted(names)[:3])} of {self.path}; give the folder above it, "
                "with the folders that the file names"
            )
        if alone and names:
            return names[0]
        by_number = _key(medium.path.stem)
        return by_number if by_number.startswith("#") and by_number in self._boxes else None

    def boxes_of(self, name: str) -> Boxes:
        """(P, 5) of an image, by the name that `assign` gives it."""
        return self._boxes[name]

    def boxes_of_frame(self, name: str, number: int) -> Boxes:
        """(P, 5) of a film's frame, the first is 1; none where the file does not name it."""
        return self._boxes.get(f"{name}#{number:06d}", np.zeros((0, 5)))

    def image_id(self, name: str) -> int | str:
        """The number that COCO results call the image by: the file's, else that in its name, else its name."""
        known = self._ids.get(name)
        return known if known is not None else number_in(name.removeprefix("#"))

    def _array(self, key: str, rows: list[list[float]], score_threshold: float) -> Boxes:
        rows = [row for row in rows if row]
        try:
            array = np.array(rows, np.float64).reshape(len(rows), 5)
        except (ValueError, TypeError, OverflowError) as error:
            raise SdposeError(
                f"{self.path}: a box of {key.removeprefix('#')} is not four numbers and a score; {_WANTED}"
            ) from error
        usable = are_boxes(array)
        scored = array[:, 4] >= score_threshold
        self.num_without_area += int((~usable).sum())
        self.num_below_threshold += int((usable & ~scored).sum())
        array = array[usable & scored]
        if size_wh := self._sizes_wh.get(key):
            cut = clip_to_images(array[:, :4], np.full((len(array), 2), size_wh))
            inside = (cut[:, 2:] > 0).all(axis=1)  # the others are named where their image is read
            array[inside, :4] = cut[inside]
        return array


def number_in(name: str) -> int | str:
    """'val/000000000139.jpg' -> 139; other names without their folders."""
    path = Path(name)
    return int(path.stem) if path.stem.isascii() and path.stem.isdigit() else path.name


def _key(image_id: Any) -> str:
    text = str(image_id)
    return f"#{int(text)}" if text.isascii() and text.isdigit() else Path(text).as_posix()


def _without_frame(key: str) -> str:
    """'film.mp4#000001' -> 'film.mp4'."""
    return re.sub(r"(?<=.)#\d+$", "", key)
