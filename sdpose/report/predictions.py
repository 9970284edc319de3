"""The predictions that a run's folder holds, with the truth and the images that belong to them.

A training keeps those of its best and its last evaluation (`evaluations/predictions_epoch_N.npz`); `sdpose test` leaves
`result_keypoints.json`, which serves where a run has none of its own. Where something is missing, that is said instead.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sdpose.errors import SdposeError
from sdpose.evaluation.kept_predictions import KeptPredictions
from sdpose.past_evaluations import FOLDER, stored_predictions
from sdpose.skeleton import Skeleton

RESULTS = "result_keypoints.json"


class NoPredictions(Exception):
    """Why there is nothing to show, as the name of a phrase and what goes into it."""

    def __init__(self, reason: str, path: object = "") -> None:
        super().__init__(reason)
        self.reason = reason
        self.path = str(path)


@dataclass(frozen=True)
class Predictions:
    """One evaluation's, in COCO's form as the truth is."""

    path: Path
    epoch: int | None
    """After which they were made; None: by `sdpose test`, of a checkpoint that the file does not name."""
    results: Sequence[Mapping[str, Any]]
    truth: Mapping[str, Any]
    """The annotation file."""
    annotation_path: Path
    image_folder: Path
    skeleton: Skeleton


def read_predictions(folder: Path, config: Mapping[str, Any], *, best_epoch: int | None) -> Predictions:
    """Those of the best evaluation, else of the newest that is kept, else of `sdpose test`. Raises NoPredictions."""
    kept = stored_predictions(folder / FOLDER)
    path, epoch, part = folder / RESULTS, None, "test"
    if kept:
        epoch = best_epoch if best_epoch in kept else max(kept)
        path, part = kept[epoch], "val"
    elif not path.exists():
        raise NoPredictions("no_results", path)
    data, skeleton = _data_of(config, part)
    annotation_path = Path(data["ann_file"])
    if not annotation_path.exists():
        raise NoPredictions("no_annotations", annotation_path)
    try:
        results = (
            KeptPredictions.load(path).results() if kept else json.loads(path.read_text(encoding="utf-8"))
        )
        truth = json.loads(annotation_path.read_text(encoding="utf-8"))
    except (ValueError, SdposeError) as error:
        raise NoPredictions("unreadable", f"{path}, {annotation_path}: {error}") from error
    image_folder = Path(str(data.get("img_prefix", "")))
    return Predictions(path, epoch, results, truth, annotation_path, image_folder, skeleton)


def _data_of(config: Mapping[str, Any], part: str) -> tuple[Mapping[str, Any], Skeleton]:
    """The data set that was evaluated: `val` by the training, `test` by `sdpose test`."""
    data = config.get("data", {})
    chosen = data.get(part) or data.get("val") or data.get("test") or {}
    info = chosen.get("dataset_info") or config.get("dataset_info")
    if "ann_file" not in chosen or info is None:
        raise NoPredictions("no_config")
    try:
        return chosen, Skeleton.from_dataset_info(info)
    except SdposeError as error:
        raise NoPredictions("no_config", error) from error
