"""Pictures of an evaluation: predictions beside the truth, to be looked at rather than read."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from sdpose.data.coco import CocoKeypoints
from sdpose.data.dataset import PoseDataset
from sdpose.draw import comparison_sheet
from sdpose.errors import SdposeError
from sdpose.evaluation.best_fit import FittedPerson, fitted_persons, some_fitted_persons
from sdpose.evaluation.scene import Scene
from sdpose.skeleton import Skeleton
from sdpose.training.atomic_file import write_atomically

NUM_PROGRESS = 6
_PROGRESS_PANEL_WH = (220, 220)
_JPEG_QUALITY = 85


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

    `results` are in COCO's form; the folder of `path` exists. Raises SdposeError when there is nothing to show or the
    file cannot be written.
    """
    content = json.loads(Path(table.ann_file).read_text(encoding="utf-8"))
    people: dict[int, list[FittedPerson]] = defaultdict(list)
    for person in fitted_persons(content.get("annotations", ()), results, skeleton):
        if person.predicted is not None:
            people[person.image_id].append(person)
    judged = sorted(people.values(), key=lambda group: float(np.mean([person.oks for person in group])))
    if not judged:
        raise SdposeError(f"no picture: {table.ann_file} and the predictions have no person in common")
    rows = np.unique(np.linspace(0, len(judged) - 1, num_images).round().astype(int))
    shown = [judged[row] for row in rows]
    path_of = {int(image_id): table.image_paths[row] for row, image_id in enumerate(table.image_ids)}
    paths = [Path(path_of[group[0].image_id]) for group in shown]
    images = []
    for image_path in paths:
        pixels = cv2.imread(str(image_path))
        if pixels is None:
            raise SdposeError(f"{image_path} cannot be read, so it cannot be drawn")
        images.append(pixels.astype(np.uint8, copy=False))
    sheet = comparison_sheet(
        images,
        [np.array([person.predicted for person in group]) for group in shown],
        [np.array([person.truth for person in group]) for group in shown],
        skeleton,
        oks=[[person.oks for person in group] for group in shown],
        titles=[image_path.name for image_path in paths],
        heading=heading or f"predictions (left) and truth (right), worst to best of {len(judged)} images",
    )
    require_picture_name(path)
    _, encoded = cv2.imencode(path.suffix, sheet)
    write_atomically(path, lambda file: file.write(encoded.tobytes()))


def require_picture_name(path: Path) -> None:
    """Raise SdposeError for a name that does not say which kind of picture it is to be."""
    if not cv2.haveImageWriter(path.name):
        raise SdposeError(f"cannot write the picture {path}; choose a name that ends with .png or .jpg")


def write_progress(
    path: Path, scene: Scene, dataset: PoseDataset, skeleton: Skeleton, *, heading: str
) -> None:
    """Write `NUM_PROGRESS` persons of an evaluation, in every evaluation the same, as a JPEG that appears whole.

    Raises SdposeError when nobody is annotated, when an image cannot be read, and when the disk refuses.
    """
    shown = some_fitted_persons(scene, skeleton, NUM_PROGRESS)
    if not shown:
        raise SdposeError("nobody is annotated whom it could show")
    table = dataset.table
    row_of = {int(image_id): row for row, image_id in enumerate(table.image_ids)}
    images = []
    for person in shown:
        pixels, problem = dataset.photograph(row_of[person.image_id])
        if pixels is None:
            raise SdposeError(str(problem))
        images.append(pixels)
    nobody = np.zeros((0, skeleton.num_keypoints, 3))
    sheet = comparison_sheet(
        images,
        [nobody if person.predicted is None else person.predicted[None] for person in shown],
        [person.truth[None] for person in shown],
        skeleton,
        oks=[[] if person.predicted is None else [person.oks] for person in shown],
        titles=[Path(table.image_paths[row_of[person.image_id]]).name for person in shown],
        heading=heading,
        panel_size_wh=_PROGRESS_PANEL_WH,
    )
    done, encoded = cv2.imencode(".jpg", sheet, [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY])
    if not done:
        raise SdposeError("it cannot be encoded as JPEG")
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, lambda file: file.write(encoded.tobytes()))
