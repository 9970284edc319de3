"""A picture of an evaluation: predictions beside the truth, from poor to good, to be looked at rather than read."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from sdpose.data.coco import CocoKeypoints
from sdpose.draw import comparison_sheet
from sdpose.errors import SdposeError
from sdpose.evaluation.oks import oks_to_truth
from sdpose.skeleton import Skeleton


@dataclass(frozen=True)
class _Judged:
    """One image: the prediction that fits each true person best, and how well."""

    path: Path
    predicted: NDArray[np.float64]  # (T, K, 3)
    truth: NDArray[np.float64]  # (T, K, 3)
    oks: NDArray[np.float64]  # (T,)


def write_comparison(
    path: Path,
    table: CocoKeypoints,
    results: Sequence[Mapping[str, Any]],
    skeleton: Skeleton,
    *,
    heading: str = "",
    num_images: int = 8,
) -> None:
    """Write a sheet of `num_images` images, spread evenly from the worst mean OKS to the best, as PNG or JPEG.

    `results` are in COCO's form. Raises SdposeError when there is nothing to show or the file cannot be written.
    """
    judged = sorted(_judge(table, results, skeleton), key=lambda image: float(image.oks.mean()))
    if not judged:
        raise SdposeError(f"no picture: {table.ann_file} and the predictions have no person in common")
    rows = np.unique(np.linspace(0, len(judged) - 1, num_images).round().astype(int))
    shown = [judged[row] for row in rows]
    images = []
    for image in shown:
        pixels = cv2.imread(str(image.path))
        if pixels is None:
            raise SdposeError(f"{image.path} cannot be read, so it cannot be drawn")
        images.append(pixels)
    sheet = comparison_sheet(
        [pixels.astype(np.uint8, copy=False) for pixels in images],
        [image.predicted for image in shown],
        [image.truth for image in shown],
        skeleton,
        oks=[image.oks.tolist() for image in shown],
        titles=[image.path.name for image in shown],
        heading=heading or f"predictions (left) and truth (right), worst to best of {len(judged)} images",
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    if not cv2.imwrite(str(path), sheet):
        raise SdposeError(f"cannot write the picture {path}; choose a name that ends with .png or .jpg")


def _judge(table: CocoKeypoints, results: Sequence[Mapping[str, Any]], skeleton: Skeleton) -> list[_Judged]:
    content = json.loads(Path(table.ann_file).read_text(encoding="utf-8"))
    truth_of: dict[int, list[Mapping[str, Any]]] = defaultdict(list)
    for annotation in content.get("annotations", ()):
        if annotation.get("num_keypoints", 0) > 0 and not annotation.get("iscrowd"):
            truth_of[annotation["image_id"]].append(annotation)
    results_of: dict[int, list[Mapping[str, Any]]] = defaultdict(list)
    for result in results:
        results_of[result["image_id"]].append(result)
    judged = []
    for row, image_id in enumerate(table.image_ids.tolist()):
        if not truth_of[image_id] or not results_of[image_id]:
            continue
        truth = _joints(truth_of[image_id])
        predicted = _joints(results_of[image_id])
        areas = [annotation["area"] for annotation in truth_of[image_id]]
        oks = oks_to_truth(predicted, truth, truth[..., 2], areas, skeleton.sigmas)  # (P, T)
        best = oks.argmax(0)  # (T,)
        path = Path(table.image_paths[row])
        judged.append(_Judged(path, predicted[best], truth, oks.max(0)))
    return judged


def _joints(people: Sequence[Mapping[str, Any]]) -> NDArray[np.float64]:
    return np.array([person["keypoints"] for person in people], np.float64).reshape(len(people), -1, 3)
