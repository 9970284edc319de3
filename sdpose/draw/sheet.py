"""One picture that shows what a model found beside what is true."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from sdpose.draw.grid import FONT, INK, MOUNT, PAPER, grid, side_by_side
from sdpose.draw.poses import Color, Image, draw_poses, truth_scores
from sdpose.skeleton import Skeleton

_LEGEND = "orange: the person's left   blue: right   hollow: unsure or hidden   numbers: OKS"


def comparison_sheet(
    images_bgr: Sequence[Image],
    predicted: Sequence[NDArray[Any]],
    truth: Sequence[NDArray[Any]],
    skeleton: Skeleton,
    *,
    oks: Sequence[Sequence[float]] | None = None,
    titles: Sequence[str] | None = None,
    heading: str = "",
    columns: int = 2,
    panel_size_wh: tuple[int, int] = (360, 270),
    score_threshold: float = 0.2,
) -> Image:
    """A sheet of pairs, each the prediction on the left and the truth on the right of the same image.

    predicted: for each image (P, K, 3) with x, y in pixels of the image, score. truth: for each image (T, K,
    3) with COCO's visibility flag. oks: for each image P numbers, written at the predicted persons, with
    their mean in the title. titles: a line for each image.

    A panel of `panel_size_wh` pixels shows the part of the image where the true persons are. Text is ASCII;
    other letters become '?'. Raises ValueError when the sequences differ in length.
    """
    num = len(images_bgr)
    titles = titles if titles is not None else [""] * num
    all_oks = oks if oks is not None else [[]] * num
    pairs = [
        _pair(
            image,
            np.asarray(found, dtype=np.float64).reshape(-1, skeleton.num_keypoints, 3),
            np.asarray(true, dtype=np.float64).reshape(-1, skeleton.num_keypoints, 3),
            panel_size_wh,
            skeleton,
            score_threshold,
            scores,
            title,
        )
        for image, found, true, scores, title in zip(
            images_bgr, predicted, truth, all_oks, titles, strict=True
        )
    ]
    return grid(pairs, heading, _LEGEND, columns=max(1, min(columns, num)), empty_size_wh=panel_size_wh)


@dataclass(frozen=True)
class _Panel:
    """A part of an image scaled into the middle of a panel.

    A point of the image is at `scale` * point + `offset` (2,) of the panel.
    """

    canvas: Image
    scale: float
    offset: NDArray[np.float64]

    @classmethod
    def showing(cls, image_bgr: Image, truth: NDArray[np.float64], size_wh: tuple[int, int]) -> _Panel:
        """The part around the labelled joints of `truth` (T, K, 3), or the whole image."""
        left, top, right, bottom = _surroundings(image_bgr, truth, size_wh[0] / size_wh[1])
        part = image_bgr[top:bottom, left:right]
        width, height = size_wh
        scale = min(width / part.shape[1], height / part.shape[0])
        fitted = (max(1, round(part.shape[1] * scale)), max(1, round(part.shape[0] * scale)))
        scaled = cv2.resize(part, fitted, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC)
        x, y = (width - fitted[0]) // 2, (height - fitted[1]) // 2
        canvas = np.full((height, width, 3), MOUNT, np.uint8)
        canvas[y : y + fitted[1], x : x + fitted[0]] = scaled
        # Pixel centres are at whole numbers: half a pixel is half a scaled one after scaling.
        offset = np.array([x, y]) - 0.5 + scale * (0.5 - np.array([left, top]))
        return cls(canvas, scale, offset)

    def place(self, keypoints: NDArray[np.float64]) -> NDArray[np.float64]:
        """Keypoints (P, K, 3) from pixels of the image to pixels of the panel."""
        placed = keypoints.copy()
        placed[..., :2] = keypoints[..., :2] * self.scale + self.offset
        return placed


def _surroundings(
    image_bgr: Image, truth: NDArray[np.float64], aspect_ratio: float
) -> tuple[int, int, int, int]:
    """Left, top, right, bottom of the part to show.

    That is the labelled joints with a margin, grown to the panel's shape as far as the image goes.
    """
    height, width = image_bgr.shape[:2]
    labelled = truth[truth[..., 2] > 0][:, :2]
    if not len(labelled):
        return 0, 0, width, height
    low, high = labelled.min(0), labelled.max(0)
    size = (high - low) * 1.4 + 40
    size = np.maximum(size, [size[1] * aspect_ratio, size[0] / aspect_ratio])
    size = np.minimum(size, [width, height])
    start = np.clip((low + high - size) / 2, 0, [width, height] - size)
    left, top = np.floor(start).astype(int).tolist()
    right, bottom = np.ceil(start + size).astype(int).tolist()
    return left, top, min(right, width), min(bottom, height)


def _pair(
    image_bgr: Image,
    predicted: NDArray[np.float64],
    truth: NDArray[np.float64],
    panel_size_wh: tuple[int, int],
    skeleton: Skeleton,
    score_threshold: float,
    oks: Sequence[float],
    title: str,
) -> Image:
    """Title, prediction and truth of one image."""
    panel = _Panel.showing(image_bgr, truth, panel_size_wh)
    found = panel.place(predicted)
    left = draw_poses(panel.canvas, found, skeleton, score_threshold=score_threshold)
    if len(oks):
        _write_oks(left, found, oks, score_threshold)
        title = f"{title}   mean OKS {float(np.mean(oks)):.2f}".strip()
    right = draw_poses(panel.canvas, panel.place(truth_scores(truth)), skeleton)
    for side, word in ((left, "predicted"), (right, "truth")):
        _label(side, word, (6, side.shape[0] - 8), INK, PAPER)
    return side_by_side([left, right], title)


def _write_oks(panel: Image, keypoints: NDArray[np.float64], oks: Sequence[float], threshold: float) -> None:
    """The OKS above each person, moved down where it would cover the one of another."""
    taken: list[tuple[int, int]] = []
    for joints, value in zip(keypoints, oks, strict=True):
        shown = joints[(joints[:, 2] > threshold) & np.isfinite(joints).all(1), :2]
        x, y = (shown.min(0) if len(shown) else np.zeros(2)) - [0, 6]
        left = int(np.clip(x, 2, panel.shape[1] - 40))
        base = int(np.clip(y, 14, panel.shape[0] - 26))
        while any(abs(left - other_x) < 40 and abs(base - other_y) < 15 for other_x, other_y in taken):
            base += 15
        taken.append((left, base))
        _label(panel, f"{value:.2f}", (left, base), PAPER, _oks_color(value))


def _oks_color(value: float) -> Color:
    """Dark red, amber or green: not a hit at OKS 0.5, a loose one, a close one from 0.75."""
    if value < 0.5:
        return (40, 40, 170)
    return (10, 110, 190) if value < 0.75 else (70, 120, 20)


def _label(canvas: Image, text: str, base_xy: tuple[int, int], ink: Color, ground: Color) -> None:
    """Text on a filled box; `base_xy` is the left end of its base line."""
    (width, height), _ = cv2.getTextSize(text, FONT, 0.4, 1)
    x, y = base_xy
    cv2.rectangle(canvas, (x - 2, y - height - 3), (x + width + 1, y + 3), ground, -1)
    cv2.putText(canvas, text, base_xy, FONT, 0.4, ink, 1, cv2.LINE_AA)
