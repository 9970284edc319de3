"""Photographs from disk, decoded as by the published pipeline; a broken one is described, not raised."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from sdpose.data.crop import Picture


class ImageReader:
    """Decodes the images of a set and remembers the last one.

    One image is enough to remember: evaluation asks for the persons of an image one after the other, training
    asks in random order.
    """

    def __init__(self, paths: Sequence[str], sizes_wh: NDArray[np.int32]) -> None:
        self.paths = paths
        self.sizes_wh = sizes_wh
        self._last_row = -1
        self._last: tuple[Picture | None, str | None] = (None, None)

    def read(self, row: int) -> tuple[Picture | None, str | None]:
        """The image, or None and a sentence about what is wrong with it.

        Grey images come as three equal channels. A camera's orientation tag is obeyed, as by mmcv's cv2
        backend, so boxes and joints are meant in the upright picture.
        """
        if row != self._last_row:
            width, height = self.sizes_wh[row].tolist()
            image, problem = decode(self.paths[row], (width, height))
            self._last = (None if image is None else Picture.whole(image), problem)
            self._last_row = row
        return self._last


def decode(path: str, annotated_size_wh: tuple[int, int]) -> tuple[NDArray[np.uint8] | None, str | None]:
    """The image (H, W, 3) uint8 at `path` in cv2's BGR order, or None and what is wrong with it.

    That is: missing, corrupt or not of the annotated size.
    """
    try:
        with open(path, "rb") as file:
            content = file.read()
    except FileNotFoundError:
        return None, f"{path}: the file is missing"
    except OSError as error:
        return None, f"{path}: the file cannot be read ({error.strerror})"
    if not content:
        return None, f"{path}: the file is empty"
    try:
        image = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR)
    except cv2.error as error:  # an image of more than 2^30 pixels, for one
        return None, f"{path}: the image cannot be decoded ({error.err})"
    if image is None:
        return None, f"{path}: the image cannot be decoded ({len(content)} bytes; not an image, or cut short)"
    height, width = image.shape[:2]
    if (width, height) == annotated_size_wh:
        return np.asarray(image, np.uint8), None
    turned = (height, width) == annotated_size_wh
    return None, (
        f"{path}: the image is {width}x{height} pixels, its annotation says "
        f"{annotated_size_wh[0]}x{annotated_size_wh[1]}"
        + (
            " (its EXIF orientation may turn it: write the image upright and without the tag)"
            if turned
            else ""
        )
    )
