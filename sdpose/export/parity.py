"""Whether two engines find the same joints: AP on a data set, and how far the joints lie apart.

Legend: N crops of a batch, P persons, K joints.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sdpose.evaluation.coco_ap import score_results
from sdpose.evaluation.inference import PosePredictions
from sdpose.evaluation.results import to_coco_results
from sdpose.export.people import People
from sdpose.geometry import PIXEL_STD, heatmap_to_image
from sdpose.trained_model import TrainedModel

Finder = Callable[[Tensor], tuple[Tensor, Tensor]]
"""Crops (N, H, W, 3) uint8 RGB -> joints in heatmap cells (N, K, 2) and scores (N, K)."""

# Joints below it move freely: a flat map has its maximum anywhere.
_SEEN = 0.2


@dataclass(frozen=True, kw_only=True)
class Parity:
    """One engine beside torch. Distances in crop pixels, of the joints that torch scores above 0.2."""

    ap: float
    ap_of_torch: float
    mean_px: float
    p99_px: float
    max_px: float
    num_joints: int

    @property
    def loss(self) -> float:
        """AP lost against torch; negative when it is better."""
        return self.ap_of_torch - self.ap

    @property
    def can_be_judged(self) -> bool:
        """Whether torch itself finds people in this data, so that a loss of AP would show."""
        return self.ap_of_torch >= 0.1 and self.num_joints > 0


@torch.inference_mode()
def measure_parity(
    reference: Finder,
    others: Mapping[str, Finder],
    people: People,
    trained: TrainedModel,
    *,
    batch_size: int = 16,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> dict[str, Parity]:
    """`reference` is torch. Every engine sees every crop; crops are cut once."""
    finders = {"": reference, **others}
    found: dict[str, list[NDArray[np.float32]]] = {name: [] for name in finders}
    rows: list[NDArray[np.int64]] = []
    done = 0
    for batch in people.batches(batch_size):
        readable = torch.tensor([problem is None for problem in batch.problems])
        rows.append(batch.indices[readable].numpy())
        for name, find in finders.items():
            cells, scores = find(batch.images[readable])
            found[name].append(torch.cat([cells, scores[..., None]], dim=2).numpy())
        done += len(batch.images)
        progress(done, len(people.persons))
    order = np.concatenate(rows)
    predictions = {
        name: _predictions(np.concatenate(parts), order, people, trained) for name, parts in found.items()
    }
    base = predictions[""]
    base_ap = _ap(base, people, trained)
    return {
        name: _compare(base, base_ap, each, base_ap if name == "" else _ap(each, people, trained), trained)
        for name, each in predictions.items()
    }


def _predictions(
    joints: NDArray[np.float32], rows: NDArray[np.int64], people: People, trained: TrainedModel
) -> PosePredictions:
    """Joints (P, K, 3) in heatmap cells -> poses in image pixels."""
    centers, scales = people.dataset.centers[rows], people.dataset.scales[rows]
    keypoints = joints.copy()
    keypoints[..., :2] = heatmap_to_image(joints[..., :2], centers, scales, trained.heatmap_size_wh)
    persons = people.persons
    return PosePredictions(
        keypoints=keypoints,
        centers=centers,
        scales=scales,
        areas=np.prod(scales * np.float32(PIXEL_STD), axis=1, dtype=np.float32),
        box_scores=persons.box_scores[rows],
        image_ids=people.table.image_ids[persons.image_index[rows]],
        bbox_ids=persons.bbox_ids[rows],
    )


def _ap(predictions: PosePredictions, people: People, trained: TrainedModel) -> float:
    results = to_coco_results(
        predictions,
        sigmas=trained.skeleton.sigmas,
        vis_thr=people.vis_thr,
        oks_thr=people.oks_thr,
        nms=people.nms,
    )
    scores = score_results(
        people.table.ann_file, results, trained.skeleton.sigmas, image_ids=people.image_ids
    )
    return scores.metrics.get("AP", math.nan)


def _compare(
    base: PosePredictions, base_ap: float, other: PosePredictions, ap: float, trained: TrainedModel
) -> Parity:
    in_image = np.linalg.norm(other.keypoints[..., :2] - base.keypoints[..., :2], axis=2)  # (P, K)
    in_crop = in_image * trained.image_size_wh[0] / (base.scales[:, :1] * PIXEL_STD)
    apart = in_crop[base.keypoints[..., 2] > _SEEN]
    if not len(apart):
        return Parity(
            ap=ap, ap_of_torch=base_ap, mean_px=math.nan, p99_px=math.nan, max_px=math.nan, num_joints=0
        )
    return Parity(
        ap=ap,
        ap_of_torch=base_ap,
        mean_px=float(apart.mean()),
        p99_px=float(np.percentile(apart, 99)),
        max_px=float(apart.max()),
        num_joints=len(apart),
    )
