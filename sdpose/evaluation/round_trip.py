"""What a model that finds every joint exactly would score: the ceiling that boxes, targets and decoding leave.

The annotated joints go the way of a prediction: into the crop, onto a target heatmap, through the flip test, the
decoding, rescoring, suppression and the evaluation. Only the model is left out. An AP well below 1 is no model's fault.

Legend: B boxes, P annotated persons, K joints, I images.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sdpose.evaluation.coco_ap import evaluate_results
from sdpose.evaluation.inference import Persons, PosePredictions
from sdpose.evaluation.results import Suppression, to_coco_results
from sdpose.geometry import PIXEL_STD, affine_matrix, apply_affine, box_to_center_scale, heatmap_to_image
from sdpose.heatmaps import decode_heatmaps, encode_heatmaps, flip_heatmaps
from sdpose.heatmaps.decode import PostProcess
from sdpose.skeleton import Skeleton

# Persons whose heatmaps are in memory at once: 50 MB at the published size.
_AT_A_TIME = 256


class Boxes(Persons, Protocol):
    """What is asked of the boxes to look into; `sdpose.data`'s PersonTable fits."""

    @property
    def boxes_xywh(self) -> NDArray[np.float64]: ...


class Truth(Protocol):
    """What is asked of the annotated persons; `sdpose.data`'s PersonTable fits.

    joints (P, K, 2) image pixels; visible (P, K), 1 for a labelled joint.
    """

    @property
    def joints(self) -> NDArray[np.float32]: ...
    @property
    def visible(self) -> NDArray[np.float32]: ...


@dataclass(frozen=True, kw_only=True)
class Chain:
    """Every setting between a joint and its score; sizes in pixels and cells, `sigma` in cells."""

    image_size_wh: tuple[int, int]
    heatmap_size_wh: tuple[int, int]
    sigma: float
    unbiased: bool
    padding: float = 1.25
    flip_test: bool = True
    shift_heatmap: bool = True
    post_process: PostProcess = "unbiased"
    kernel: int = 11
    vis_thr: float = 0.2
    oks_thr: float = 0.9
    nms: Suppression = "oks"


def perfect_predictions(
    boxes: Boxes,
    owner: NDArray[np.int64] | None,
    truth: Truth,
    image_ids: NDArray[np.int64],
    skeleton: Skeleton,
    chain: Chain,
) -> PosePredictions:
    """The poses that a perfect model gives for `boxes` (B).

    owner (B,): row of `truth` who is to be found in a box; a box of -1 is left out. None: each box is that of the
    person in its own row. image_ids (I,): ids behind
    `boxes.image_index`. A joint that the crop does not show is not found, as it could not be.
    """
    owner = np.arange(len(boxes.box_scores)) if owner is None else owner
    rows = np.flatnonzero(owner >= 0)
    centers, scales = box_to_center_scale(
        boxes.boxes_xywh[rows],
        aspect_ratio=chain.image_size_wh[0] / chain.image_size_wh[1],
        padding=chain.padding,
    )
    joints = truth.joints[owner[rows]]  # (B, K, 2)
    for number, (center, scale) in enumerate(zip(centers, scales, strict=True)):
        joints[number] = apply_affine(joints[number], affine_matrix(center, scale, 0.0, chain.image_size_wh))
    keypoints = [np.zeros((0, skeleton.num_keypoints, 3), np.float32)]
    for start in range(0, len(rows), _AT_A_TIME):
        part = slice(start, start + _AT_A_TIME)
        visible = torch.from_numpy(truth.visible[owner[rows[part]]])
        heatmaps = perfect_heatmaps(torch.from_numpy(joints[part]), visible, skeleton, chain)
        coords, scores = decode_heatmaps(heatmaps, post_process=chain.post_process, kernel=chain.kernel)
        keypoints.append(torch.cat([coords, scores[..., None]], dim=2).numpy())
    found = np.concatenate(keypoints)  # (B, K, 3), heatmap cells
    found[..., :2] = heatmap_to_image(found[..., :2], centers, scales, chain.heatmap_size_wh)
    return PosePredictions(
        keypoints=found,
        centers=centers,
        scales=scales,
        areas=np.prod(scales * np.float32(PIXEL_STD), axis=1, dtype=np.float32),
        box_scores=np.asarray(boxes.box_scores)[rows],
        image_ids=np.asarray(image_ids)[np.asarray(boxes.image_index)[rows]],
        bbox_ids=np.asarray(boxes.bbox_ids)[rows],
    )


def perfect_heatmaps(joints: Tensor, visible: Tensor, skeleton: Skeleton, chain: Chain) -> Tensor:
    """Target heatmaps (B, K, h, w) of joints (B, K, 2) in crop pixels, as the evaluation would average them.

    With the flip test that is the mean of the targets and of those of the mirrored crop, turned back.
    """
    plain = _encode(joints, visible, chain)
    if not chain.flip_test:
        return plain
    index = list(skeleton.flip_index)
    mirrored = joints[:, index].clone()
    mirrored[..., 0] = chain.image_size_wh[0] - 1 - mirrored[..., 0]
    turned = flip_heatmaps(
        _encode(mirrored, visible[:, index], chain), skeleton.flip_index, shift=chain.shift_heatmap
    )
    return (plain + turned) * 0.5


def score_perfect(
    ann_file: Path | str | Mapping[str, Any],
    predictions: PosePredictions,
    sigmas: Sequence[float],
    chain: Chain,
    image_ids: Collection[int] | None = None,
) -> dict[str, float]:
    """AP and AR, by name, of `perfect_predictions` over the images `image_ids` (None: all of the file)."""
    results = to_coco_results(
        predictions, sigmas=sigmas, vis_thr=chain.vis_thr, oks_thr=chain.oks_thr, nms=chain.nms
    )
    return evaluate_results(ann_file, results, sigmas, image_ids=image_ids)


def _encode(joints: Tensor, visible: Tensor, chain: Chain) -> Tensor:
    target, _ = encode_heatmaps(
        joints,
        visible,
        image_size_wh=chain.image_size_wh,
        heatmap_size_wh=chain.heatmap_size_wh,
        sigma=chain.sigma,
        unbiased=chain.unbiased,
    )
    return target
