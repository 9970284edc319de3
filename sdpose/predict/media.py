"""What there is to look at: images, folders of them, patterns, films, a camera."""

from __future__ import annotations

import glob
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from sdpose.errors import SdposeError
from sdpose.predict.journal import DRAWN, JOURNAL

Image = NDArray[np.uint8]
Kind = Literal["image", "video", "camera"]

IMAGE_SUFFIXES = frozenset([".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff"])
VIDEO_SUFFIXES = frozenset(
    [".mp4", ".avi", ".mov", ".mkv", ".webm", ".m4v", ".mpg", ".mpeg", ".wmv", ".flv", ".ts", ".mts", ".3gp"]
)
_FALLBACK_FPS = 25.0


@dataclass(frozen=True)
class Medium:
    """One image, film or camera; `name` is what it is called in the results."""

    kind: Kind
    name: str
    path: Path

    @property
    def state(self) -> list[int] | None:
        """Size and time of change of the file, to notice when another one has its name; None for a camera."""
        try:
            found = self.path.stat()
        except OSError:
            return None
        return [found.st_size, found.st_mtime_ns]


def find_media(inputs: Sequence[str]) -> list[Medium]:
    """All media of the inputs, sorted within each, each once. Raises SdposeError where an input gives none.

    An input is a file, a folder (searched through), a pattern such as 'shots/*.jpg', or a camera: 0, 1 ... Folders are
    searched without what is hidden in them and without what a prediction wrote there.
    """
    found: dict[str, Medium] = {}
    names: dict[str, Medium] = {}
    for text in inputs:
        media = list(_media_of(text))
        if not media:
            raise SdposeError(
                f"{text}: no image or film in it; looked for {', '.join(sorted(IMAGE_SUFFIXES | VIDEO_SUFFIXES))}"
            )
        for medium in media:
            found[str(medium.path)] = medium
            namesake = names.setdefault(medium.name, medium)
            if namesake.path != medium.path:
                raise SdposeError(
                    f"{namesake.path} and {medium.path} would both be '{medium.name}' in the results; give the folder "
                    "above them, or predict them one after the other with different --out"
                )
    return list(found.values())


def _media_of(text: str) -> Iterator[Medium]:
    path = Path(text)
    if text.isdigit() and not path.exists():
        yield Medium("camera", f"camera {text}", path)
        return
    if path.is_dir():
        for each in _files_under(path):
            kind = _kind(each)
            if kind is not None and each.is_file():
                yield Medium(kind, each.relative_to(path).as_posix(), each)
        return
    if path.is_file():
        yield Medium(_kind(path) or "image", path.name, path)
        return
    matches = _once_each(sorted(glob.glob(text, recursive=True)))  # noqa: PTH207 - Path.glob refuses absolute patterns
    if not matches:
        raise SdposeError(f"{text}: {_why_nothing(text)}")
    fixed = _before_wildcards(path)
    for match in matches:
        kind = _kind(match)
        if kind is not None and match.is_file() and not _is_drawn(match, below=fixed):
            yield Medium(kind, match.relative_to(fixed).as_posix(), match)


def _why_nothing(text: str) -> str:
    if "://" in text or text == "-":
        return "standard input and addresses are not read; save it as a file and name that"
    return "no such file or folder, and no file fits it as a pattern"


def _files_under(folder: Path) -> list[Path]:
    """Sorted; links to folders are followed, each folder once. Raises SdposeError for a folder that cannot be read."""

    def refuse(error: OSError) -> None:
        raise SdposeError(
            f"{error.filename}: cannot be read: {error.strerror}; make it readable, or name the folders that are meant"
        ) from error

    found: list[Path] = []
    seen: set[tuple[int, int]] = set()
    for root, folders, files in os.walk(folder, followlinks=True, onerror=refuse):
        place = os.stat(root)  # noqa: PTH116 - as os.walk gives it
        if (place.st_dev, place.st_ino) in seen:
            folders.clear()
            continue
        seen.add((place.st_dev, place.st_ino))
        ours = DRAWN if JOURNAL in files else None
        folders[:] = sorted(name for name in folders if not name.startswith(".") and name != ours)
        found += [Path(root, name) for name in files if not name.startswith(".")]
    return sorted(found)


def _once_each(matches: Sequence[str]) -> list[Path]:
    """Without those that a link to a folder above leads to again."""
    found: dict[tuple[str, str], Path] = {}
    for match in sorted(map(Path, matches), key=lambda path: len(path.parts)):
        found.setdefault((os.path.realpath(match.parent), match.name), match)
    return sorted(found.values())


def _is_drawn(path: Path, *, below: Path) -> bool:
    """Whether a prediction wrote it, into a folder that the pattern does not name."""
    folders = path.relative_to(below).parents
    return any(each.name == DRAWN and (below / each.parent / JOURNAL).exists() for each in folders)


def _before_wildcards(pattern: Path) -> Path:
    """The folder in which a pattern begins to vary."""
    fixed = Path()
    for part in pattern.parent.parts:
        if glob.has_magic(part):
            break
        fixed /= part
    return fixed


def _kind(path: Path) -> Kind | None:
    suffix = path.suffix.lower()
    return "image" if suffix in IMAGE_SUFFIXES else "video" if suffix in VIDEO_SUFFIXES else None


def read_image(path: Path) -> Image:
    """(H, W, 3) uint8 BGR, upright by its EXIF tag, as in training. Raises SdposeError if it is no image."""
    try:
        data = np.frombuffer(path.read_bytes(), np.uint8)
    except OSError as error:
        raise SdposeError(f"{path}: cannot be read: {error.strerror}") from error
    image = cv2.imdecode(data, cv2.IMREAD_COLOR) if len(data) else None
    if image is None:
        raise SdposeError(f"{path}: is no image that OpenCV can decode; save it anew as JPEG or PNG")
    return np.asarray(image, np.uint8)


class Film:
    """Frames of a film or a camera, one after the other."""

    def __init__(self, medium: Medium) -> None:
        """Raises SdposeError when it cannot be opened."""
        source: str | int = int(medium.path.name) if medium.kind == "camera" else str(medium.path)
        self.medium = medium
        self._capture = cv2.VideoCapture(source)
        if not self._capture.isOpened():
            raise SdposeError(
                f"{medium.name}: no such camera; they are counted from 0, and another program may hold it"
                if medium.kind == "camera"
                else f"{medium.path}: is no film that OpenCV can decode; if it is whole, convert it to MP4"
            )
        fps = float(self._capture.get(cv2.CAP_PROP_FPS))
        self.fps = fps if 1.0 <= fps <= 1000.0 else _FALLBACK_FPS
        count = int(self._capture.get(cv2.CAP_PROP_FRAME_COUNT))
        self.num_frames = count if count > 0 else None
        """As the file claims; None for a camera."""

    def __iter__(self) -> Iterator[Image]:
        while True:
            ok, frame = self._capture.read()
            if not ok:
                return
            yield np.asarray(frame, np.uint8)

    def missing(self, num_decoded: int) -> str | None:
        """What to say when the file claims clearly more frames than could be decoded. Counts are often off by one."""
        if self.num_frames is None or num_decoded >= 0.99 * self.num_frames - 1:
            return None
        return (
            f"{self.medium.path}: only {num_decoded} of {self.num_frames} frames could be decoded; the file is cut "
            "off or damaged, copy it anew"
        )

    def close(self) -> None:
        """Let the file or camera go."""
        self._capture.release()
