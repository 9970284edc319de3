"""Photographs decoded beforehand: of each image the rectangle in which all crops of its persons lie.

A pack is a folder:

    pack.json           what it was made for, and the hash of the index
    index.npz           where the pixels of each image lie
    parts/00000.bin     pixels of some images each, uint8 RGB, one image after the other, memory-mapped

Nothing of the pixels is changed, so a crop from a pack is the crop from the photograph, bit for bit. Made by `packing`.

Legend: I images of the annotation file.
"""

from __future__ import annotations

import hashlib
import io
import json
import mmap
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sdpose.data.augment import Augmentation
from sdpose.data.crop import Picture
from sdpose.data.image_paths import PathList
from sdpose.errors import SdposeError

FORMAT = 2  # 1 had BGR
STAMP, INDEX, PARTS = "pack.json", "index.npz", "parts"
PAGE = 4096  # every image begins on a page of its own
_NUM_LOOKED_AT = 50
_KEYS = {
    "images",
    "num_listed",
    "num_images",
    "num_bytes",
    "made_for",
    "index_sha256",
    "part_bytes",
    "problems",
}


@dataclass(frozen=True)
class Contents:
    """What shall be packed: the images of an annotation file, and of each the rectangle (I, 4) that crops can show.

    `made_for`: the settings behind the rectangles, by name.
    """

    paths: PathList
    sizes_wh: NDArray[np.int32]
    rectangles: NDArray[np.int32]
    made_for: Mapping[str, float]

    @property
    def rows(self) -> NDArray[np.intp]:
        """The images of which something is packed."""
        return np.flatnonzero((self.rectangles[:, 2:] > self.rectangles[:, :2]).all(1))

    @property
    def image_bytes(self) -> NDArray[np.int64]:
        """(I,) what each image takes, without the rest of its last page."""
        extent = (self.rectangles[:, 2:] - self.rectangles[:, :2]).astype(np.int64)
        return extent.prod(1) * 3

    @property
    def num_bytes(self) -> int:
        """What all pixels take on the disk."""
        return int(num_paged(self.image_bytes).sum())


class Pack:
    """A pack that fits the images of an annotation file; see `open_pack`."""

    def __init__(self, folder: Path, stamp: Mapping[str, Any], index: Mapping[str, NDArray[Any]]) -> None:
        self.folder = folder
        self.made_for: Mapping[str, float] = stamp["made_for"]
        self.rectangles: NDArray[np.int32] = index["rectangles"]  # (I, 4) left, top, right, bottom
        self._sizes_wh: NDArray[np.int32] = index["sizes_wh"]
        self._part_of: NDArray[np.int32] = index["part_of"]  # (I,) -1 where nothing is packed
        self._starts: NDArray[np.int64] = index["starts"]
        self._checksums: NDArray[np.uint32] = index["checksums"]
        self._file_bytes: NDArray[np.int64] = index["file_bytes"]
        self._problems: Mapping[str, str] = stamp["problems"]
        self._is_checked = np.zeros(len(self.rectangles), bool)
        self._maps: dict[int, mmap.mmap] = {}

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_maps": {}}

    def read(self, row: int) -> tuple[Picture | None, str | None]:
        """What is packed of the image in this row, or None and a sentence about what is wrong with it.

        The pixels are compared with their checksum when this process sees them first.
        """
        if (problem := self._problems.get(str(row))) is not None:
            return None, problem
        left, top, right, bottom = self.rectangles[row].tolist()
        try:
            pixels = self._pixels(row, (bottom - top) * (right - left) * 3).reshape(
                bottom - top, right - left, 3
            )
        except OSError as error:
            return None, f"{self._part(row)}: cannot be read ({error.strerror})"
        if not self._is_checked[row]:
            if zlib.crc32(pixels.data) != self._checksums[row]:
                return (
                    None,
                    f"{self._part(row)}: image {row} is damaged; `sdpose data pack` of the same config mends it",
                )
            self._is_checked[row] = True
        width, height = self._sizes_wh[row].tolist()
        return Picture(pixels, left, top, (width, height), is_rgb=True), None

    def _pixels(self, row: int, count: int) -> NDArray[np.uint8]:
        """The bytes of an image, straight from the file."""
        if count == 0:
            return np.zeros(0, np.uint8)
        part = int(self._part_of[row])
        if part not in self._maps:
            with open(self._part(row), "rb") as file:
                self._maps[part] = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        return np.frombuffer(self._maps[part], np.uint8, count, int(self._starts[row]))

    def require(self, rectangles: NDArray[np.int32], settings: Mapping[str, float], ann_file: Path) -> None:
        """Raise SdposeError when crops can reach beyond what is packed: `rectangles` (I, 4) of whole pixels."""
        outside = (rectangles[:, :2] < self.rectangles[:, :2]) | (rectangles[:, 2:] > self.rectangles[:, 2:])
        beyond = np.flatnonzero(outside.any(1) & (rectangles[:, 2:] > rectangles[:, :2]).all(1))
        if not len(beyond):
            return
        changed = [
            f"{name} is {value:g}, packed for {self.made_for[name]:g}"
            for name, value in settings.items()
            if value != self.made_for.get(name, value)
        ]
        why = ", ".join(changed) or f"the persons in {ann_file} are not those it was made for"
        raise SdposeError(
            f"the pack {self.folder} does not fit: in {len(beyond)} of {len(rectangles)} images crops can reach "
            f"beyond what is packed ({why}); make another with `sdpose data pack`, or train without it"
        )

    def check_images(self, paths: Sequence[str]) -> None:
        """Raise SdposeError when an image file has changed since; some are looked at, and they may be gone."""
        rows = np.flatnonzero(self._part_of >= 0)
        for place in np.unique(np.linspace(0, len(rows) - 1, _NUM_LOOKED_AT).astype(int)).tolist():
            row = int(rows[place])
            size = length_of(paths[row])
            if size not in (self._file_bytes[row], None) and str(row) not in self._problems:
                raise SdposeError(
                    f"the pack {self.folder} does not fit: {paths[row]} has {size} bytes, it had "
                    f"{self._file_bytes[row]} when it was packed; `sdpose data pack` of the same config mends it"
                )

    def _part(self, row: int) -> Path:
        return self.folder / PARTS / part_name(int(self._part_of[row]))


def length_of(path: str) -> int | None:
    """Bytes of a photograph's file; None where there is none."""
    try:
        return Path(path).stat().st_size
    except OSError:
        return None


def part_name(number: int) -> str:
    """`"00012.bin"`"""
    return f"{number:05d}.bin"


def images_digest(paths: PathList, sizes_wh: NDArray[np.int32]) -> str:
    """Of the names, sizes and order of the images of an annotation file."""
    return hashlib.sha256(paths.digest().encode() + sizes_wh.astype("<i4").tobytes()).hexdigest()


def crop_settings(
    image_size_wh: tuple[int, int], padding: float, augmentation: Augmentation | None
) -> dict[str, float]:
    """The settings that decide how far crops reach."""
    recipe = augmentation or Augmentation(
        shift_factor=0, shift_prob=0, flip_prob=0, half_body_prob=0, rot_factor=0, scale_factor=0, rot_prob=0
    )
    return {
        "image_size[0] / image_size[1]": image_size_wh[0] / image_size_wh[1],
        "padding": padding,
        "shift_factor": recipe.shift_factor if recipe.shift_prob > 0 else 0.0,
        "rot_factor": recipe.rot_factor if recipe.rot_prob > 0 else 0.0,
        "scale_factor": recipe.scale_factor,
        "prob_half_body": recipe.half_body_prob,
        "num_joints_half_body": recipe.half_body_num_joints if recipe.half_body_prob > 0 else 0,
    }


def open_pack(folder: Path, paths: PathList, sizes_wh: NDArray[np.int32]) -> Pack:
    """The pack in `folder`, whole and of these images. Raises SdposeError, with the reason, for anything else."""
    stamp = read_stamp(folder)
    cure = "`sdpose data pack` of the same config mends it"
    if stamp["images"] != images_digest(paths, sizes_wh):
        raise SdposeError(
            f"the pack {folder} does not fit: it was made for {stamp['num_listed']} images of other names, sizes or "
            f"order than the {len(paths)} of the annotation file; make one for this file with `sdpose data pack`"
        )
    try:
        content = (folder / INDEX).read_bytes()
    except OSError as error:
        raise SdposeError(f"the pack {folder} has no {INDEX} ({error.strerror}); {cure}") from None
    if hashlib.sha256(content).hexdigest() != stamp["index_sha256"]:
        raise SdposeError(f"the pack {folder} is damaged: {INDEX} is not what was written; {cure}")
    with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
        index = {name: arrays[name] for name in arrays.files}
    for number, num_bytes in enumerate(stamp["part_bytes"]):
        path = folder / PARTS / part_name(number)
        there = path.stat().st_size if path.is_file() else 0
        if there != num_bytes:
            raise SdposeError(
                f"the pack {folder} is damaged: {path.name} has {there} bytes of {num_bytes}; `sdpose data pack` of "
                "the same config mends it"
            )
    return Pack(folder, stamp, index)


def read_stamp(folder: Path) -> dict[str, Any]:
    """What a pack says about itself. Raises SdposeError when there is none that can be read."""
    path = folder / STAMP
    try:
        stamp = json.loads(path.read_bytes())
    except FileNotFoundError:
        begun = "finish the one that was begun" if partial_folder(folder).exists() else "make one"
        raise SdposeError(
            f"there is no pack in {folder}; {begun} with `sdpose data pack CONFIG --out {folder}`"
        ) from None
    except (OSError, ValueError) as error:
        raise SdposeError(f"{path} cannot be read ({error}); delete the pack and make it again") from None
    if not isinstance(stamp, dict) or stamp.get("format") != FORMAT or not stamp.keys() >= _KEYS:
        found = stamp.get("format") if isinstance(stamp, dict) else None
        raise SdposeError(
            f"the pack {folder} has format {found!r}, expected {FORMAT} with all its entries; delete it and make it "
            "again with `sdpose data pack`"
        )
    return stamp


def num_paged(num_bytes: Any) -> Any:
    """Bytes of the whole pages that so many bytes take."""
    return -(-num_bytes // PAGE) * PAGE


def usual_folder(images: Path) -> Path:
    """Where the pack of the images in a folder lies unless the user says otherwise: beside it."""
    return images.with_name(f"{images.name}.pack")


def partial_folder(folder: Path) -> Path:
    """Where a pack lies while it is made."""
    return folder.with_name(f".{folder.name}.partial")
