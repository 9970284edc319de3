"""A crop made from a part of a photograph is the crop made from all of it, or is refused."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from sdpose.data.crop import Picture, Sheet, cut_crop, shown_part
from sdpose.geometry import affine_matrix

SIZE_WH, IMAGE_WH = (24, 32), (90, 70)
IMAGE = np.random.default_rng(0).integers(0, 256, (70, 90, 3), np.uint8)


def placements() -> list[tuple[np.ndarray, bool]]:
    """Inside, over every edge, outside, turned, tiny, huge, and without extent."""
    rng = np.random.default_rng(1)
    found = []
    for number in range(300):
        width = float(np.exp(rng.uniform(np.log(2), np.log(300)))) / 200
        center = rng.uniform(-30, 110, 2).astype(np.float32)
        turn = 0.0 if number % 3 == 0 else float(rng.uniform(-90, 90))
        scale = np.float32([width, width / 0.75])
        found.append((affine_matrix(center, scale, turn, SIZE_WH), number % 2 == 0))
    return [*found, (np.zeros((2, 3)), False), (np.zeros((2, 3)), True)]


def published(matrix: np.ndarray, mirrored: bool) -> np.ndarray:
    image = np.ascontiguousarray(IMAGE[:, ::-1]) if mirrored else IMAGE
    return cv2.cvtColor(cv2.warpAffine(image, matrix, SIZE_WH, flags=cv2.INTER_LINEAR), cv2.COLOR_BGR2RGB)


def test_only_the_shown_part_is_needed() -> None:
    sheet = Sheet()
    sheet.of_size((200, 50))
    num_shown = 0
    for matrix, mirrored in placements():
        left, top, right, bottom = shown_part(matrix, SIZE_WH, IMAGE_WH)
        if mirrored:
            left, right = IMAGE_WH[0] - right, IMAGE_WH[0] - left
        right, bottom = max(right, left), max(bottom, top)
        part = Picture(IMAGE[top:bottom, left:right].copy(), left, top, IMAGE_WH)
        sheet.of_size(IMAGE_WH)[:] = 99  # what lay there before must not be seen
        for picture in (Picture.whole(IMAGE), part):
            out = np.full((SIZE_WH[1], SIZE_WH[0], 3), 7, np.uint8)
            cut_crop(picture, matrix, out, sheet, mirrored=mirrored)
            np.testing.assert_array_equal(out, published(matrix, mirrored))
        num_shown += bool(part.pixels.size)
    assert 200 < num_shown < 302


def test_a_part_that_does_not_hold_the_crop_is_refused() -> None:
    matrix = affine_matrix(np.float32([45, 35]), np.float32([0.1, 0.133]), 0.0, SIZE_WH)
    left, top, right, bottom = shown_part(matrix, SIZE_WH, IMAGE_WH)
    out = np.empty((SIZE_WH[1], SIZE_WH[0], 3), np.uint8)
    for part in (
        Picture(IMAGE[top:bottom, left + 1 : right], left + 1, top, IMAGE_WH),
        Picture(IMAGE[top : bottom - 1, left:right], left, top, IMAGE_WH),
    ):
        with pytest.raises(
            ValueError, match=r"a crop shows columns -?\d+ to \d+ and rows \d+ to \d+ of \d+x\d+ pixels"
        ):
            cut_crop(part, matrix, out)
