"""Cutting one person out of a photograph."""

from __future__ import annotations

import math
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray


class Picture(NamedTuple):
    """What is at hand of a photograph: `pixels` (h, w, 3) uint8, whose upper left pixel lies at (left, top)."""

    pixels: NDArray[np.uint8]
    left: int
    top: int
    size_wh: tuple[int, int]
    """Of the whole photograph."""
    is_rgb: bool = False
    """The order of the channels; otherwise cv2's, BGR."""

    @classmethod
    def whole(cls, pixels: NDArray[np.uint8]) -> Picture:
        """All of it is at hand, in BGR."""
        return cls(pixels, 0, 0, (pixels.shape[1], pixels.shape[0]))

    @property
    def is_whole(self) -> bool:
        return self.pixels.shape[1::-1] == self.size_wh


class Sheet:
    """Room for a photograph of any size, to lay a part of it in its place."""

    def __init__(self) -> None:
        self._room = np.empty((0, 0, 3), np.uint8)

    def of_size(self, size_wh: tuple[int, int]) -> NDArray[np.uint8]:
        """(h, w, 3) uint8 with anything in it."""
        width, height = size_wh
        if height > self._room.shape[0] or width > self._room.shape[1]:
            self._room = np.empty(
                (max(height, self._room.shape[0]), max(width, self._room.shape[1]), 3), np.uint8
            )
        return self._room[:height, :width]


def cut_crop(
    picture: Picture,
    matrix: NDArray[np.float64],
    out: NDArray[np.uint8],
    sheet: Sheet | None = None,
    *,
    mirrored: bool = False,
) -> None:
    """Write the crop of a picture into `out` (H, W, 3) uint8 RGB; outside the photograph it is black.

    matrix (2, 3) maps pixels of the photograph to crop pixels; with `mirrored`, pixels of the photograph mirrored
    left to right. Bilinear, in cv2's fixed-point arithmetic, as in the published pipeline. `sheet` is room to work in.
    Raises ValueError when the crop shows something that is not at hand.
    """
    # Folding the mirror, or where a part lies, into the matrix would save a copy, but cv2 then rounds the other way at
    # half steps: 0.6 % of the values change, by up to 8 grey levels. So what the crop shows is laid where it belongs,
    # on a sheet as large as the photograph, and nothing else of the sheet is looked at.
    source = picture.pixels
    if mirrored or not picture.is_whole:
        source = (sheet or Sheet()).of_size(picture.size_wh)
        left, top, right, bottom = shown_part(matrix, (out.shape[1], out.shape[0]), picture.size_wh)
        if left >= right or top >= bottom:
            out[:] = 0
            return
        if mirrored:
            width = picture.size_wh[0]
            part = _part(picture, width - right, top, width - left, bottom)
            cv2.flip(part, 1, dst=source[top:bottom, left:right])
        else:
            source[top:bottom, left:right] = _part(picture, left, top, right, bottom)
    cv2.warpAffine(source, matrix, (out.shape[1], out.shape[0]), dst=out, flags=cv2.INTER_LINEAR)
    if not picture.is_rgb:
        cv2.cvtColor(out, cv2.COLOR_BGR2RGB, dst=out)


def shown_part(
    matrix: NDArray[np.float64], crop_size_wh: tuple[int, int], size_wh: tuple[int, int]
) -> tuple[int, int, int, int]:
    """Left, top, right, bottom (exclusive) of the pixels that a crop is made of, with some to spare."""
    (a, b, c), (d, e, f) = matrix.tolist()
    # As warpAffine inverts it; a matrix without extent maps every crop pixel to the origin.
    determinant = a * e - b * d
    scale = 1 / determinant if determinant else 0.0
    a, b, d, e = e * scale, -b * scale, -d * scale, a * scale
    x, y = -a * c - b * f, -d * c - e * f
    across, down = crop_size_wh[0] - 1, crop_size_wh[1] - 1
    left, right = x + min(a * across, 0) + min(b * down, 0), x + max(a * across, 0) + max(b * down, 0)
    top, bottom = y + min(d * across, 0) + min(e * down, 0), y + max(d * across, 0) + max(e * down, 0)
    # A neighbour to the right and below takes part; one more for the rounding of the coordinates.
    return (
        max(math.floor(left) - 1, 0),
        max(math.floor(top) - 1, 0),
        min(math.ceil(right) + 2, size_wh[0]),
        min(math.ceil(bottom) + 2, size_wh[1]),
    )


def _part(picture: Picture, left: int, top: int, right: int, bottom: int) -> NDArray[np.uint8]:
    height, width = picture.pixels.shape[:2]
    left, top, right, bottom = (
        left - picture.left,
        top - picture.top,
        right - picture.left,
        bottom - picture.top,
    )
    if left < 0 or top < 0 or right > width or bottom > height:
        raise ValueError(
            f"a crop shows columns {left} to {right} and rows {top} to {bottom} of {width}x{height} pixels at hand"
        )
    return picture.pixels[top:bottom, left:right]
