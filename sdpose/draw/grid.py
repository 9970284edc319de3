"""Panels on one sheet of paper: a line above each, a heading above all."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from sdpose.draw.poses import Color, Image

PAPER: Color = (250, 250, 250)
INK: Color = (40, 40, 40)
MOUNT: Color = (225, 225, 225)
FONT = cv2.FONT_HERSHEY_SIMPLEX
GAP = 12
LINE_HEIGHT = 22


def side_by_side(panels: Sequence[Image], title: str) -> Image:
    """Panels of one height in a row, with a line of text above."""
    middle = np.full((panels[0].shape[0], GAP // 3, 3), PAPER, np.uint8)
    parts = [part for panel in panels for part in (middle, panel)][1:]
    row = np.concatenate(parts, axis=1)
    strip = np.full((LINE_HEIGHT, row.shape[1], 3), PAPER, np.uint8)
    cv2.putText(strip, ascii_text(title), (2, 15), FONT, 0.45, INK, 1, cv2.LINE_AA)
    return np.concatenate([strip, row])


def grid(
    tiles: Sequence[Image], heading: str, legend: str, *, columns: int, empty_size_wh: tuple[int, int]
) -> Image:
    """Tiles of one size row by row on one sheet, below the heading and what its colours mean."""
    width, height = (tiles[0].shape[1], tiles[0].shape[0]) if tiles else empty_size_wh
    rows = max(1, -(-len(tiles) // columns))
    top = GAP + (2 * LINE_HEIGHT if heading else 0)
    sheet = np.full((top + rows * (height + GAP), GAP + columns * (width + GAP), 3), PAPER, np.uint8)
    if heading:
        cv2.putText(sheet, ascii_text(heading), (GAP, 28), FONT, 0.65, INK, 1, cv2.LINE_AA)
        cv2.putText(sheet, ascii_text(legend), (GAP, 48), FONT, 0.4, INK, 1, cv2.LINE_AA)
    for number, tile in enumerate(tiles):
        y = top + number // columns * (height + GAP)
        x = GAP + number % columns * (width + GAP)
        sheet[y : y + height, x : x + width] = tile
    return sheet


def ascii_text(text: str) -> str:
    """cv2's built-in font has no other letters."""
    return text.encode("ascii", "replace").decode()
