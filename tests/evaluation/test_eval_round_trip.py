"""From photographs to AP: true heatmaps in, AP near 1 out, through the real crops, decoding, suppression and file."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from sdpose.data.batch import PoseBatch
from sdpose.data.coco import load_coco
from sdpose.data.dataset import PoseDataset
from sdpose.data.loader import EvalLoader
from sdpose.evaluation.coco_ap import evaluate_results
from sdpose.evaluation.inference import PosePredictions, predict_batches
from sdpose.evaluation.results import save_results, to_coco_results
from sdpose.heatmaps import encode_heatmaps
from sdpose.skeleton import COCO17

SIZES = {"image_size_wh": (192, 256), "heatmap_size_wh": (48, 64)}


class Oracle:
    """A network that knows the joints of the batch it is given, and those of its mirror image."""

    def __init__(self, loader: EvalLoader) -> None:
        self.loader = loader

    def __iter__(self) -> Iterator[PoseBatch]:
        for batch in self.loader:
            self.batch = batch
            yield batch

    def __call__(self, images: Tensor) -> Tensor:
        joints, visible = self.batch.joints, self.batch.visible
        heatmaps, _ = encode_heatmaps(joints, visible, **SIZES)
        if len(images) == len(joints):
            return heatmaps
        swap = list(COCO17.flip_index)
        mirrored = torch.stack([191 - joints[..., 0], joints[..., 1]], dim=2)[:, swap]
        turned, _ = encode_heatmaps(mirrored, visible[:, swap], **SIZES)
        return torch.cat([heatmaps, turned])


@pytest.mark.parametrize("flip_test", [False, True])
def test_true_heatmaps_score_near_one(shared: Path, tmp_path: Path, flip_test: bool) -> None:
    folder = shared / "data" / "coco_tiny"
    table = load_coco(folder / "person_keypoints_val.json", folder / "images", COCO17)
    persons = table.ground_truth_persons()
    dataset = PoseDataset(table, persons, image_size_wh=(192, 256), augmentation=None)
    shares = []
    for rank in range(3):
        oracle = Oracle(EvalLoader(dataset, 16, num_workers=0, rank=rank, world_size=3))
        shares.append(
            predict_batches(
                oracle,
                oracle,
                persons,
                image_ids=table.image_ids,
                num_keypoints=17,
                flip_index=COCO17.flip_index if flip_test else None,
            )
        )
    predictions = PosePredictions.concatenate(shares)
    assert len(predictions) == 177
    assert predictions.problems == ()
    error = np.abs(predictions.keypoints[..., :2] - persons.joints)[persons.visible > 0]
    assert np.median(error) < (1.0 if flip_test else 0.1)

    path = tmp_path / "result_keypoints.json"
    # The unlabelled joints' maps are empty, so these joints all land on one place of the box: with OKS
    # suppression two people with few labelled joints in nearly the same box would pass for one.
    with path.open("wb") as file:
        save_results(file, to_coco_results(predictions, sigmas=COCO17.sigmas, nms=None))
    metrics = evaluate_results(table.ann_file, path, COCO17.sigmas)
    assert metrics["AP .75"] == 1.0
    assert metrics["AP"] > 0.98
    assert metrics["AR"] > 0.98
