"""The links between a checkpoint and its AP, each looked at on its own.

Legend: P persons, K joints, h, w rows and columns of a heatmap.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sdpose.assemble.data import EvaluationData
from sdpose.assemble.machine import Machine
from sdpose.assemble.round_trip import ground_truth_round_trip
from sdpose.config.settings import Settings
from sdpose.data.anatomy import limb_ratio, sides_report
from sdpose.data.box_match import match_boxes, recall_by_chance
from sdpose.data.dataset import PoseDataset
from sdpose.data.loader import EvalLoader
from sdpose.data.persons import PersonTable
from sdpose.evaluation.coco_input import AREA_OF_BOX
from sdpose.evaluation.inference import PosePredictions, predict_batches
from sdpose.evaluation.oks import joint_similarity
from sdpose.models import SDPose
from sdpose.training.vital_signs import FLAT_PEAK

AT_A_TIME = 32


@dataclass(frozen=True)
class Anatomy:
    """Whether the labelled joints look like people."""

    exchanged: float | None
    """Share of the persons seen from the front whose left and right lie the wrong way round, its lower bound."""
    limbs: float | None
    """Length of limbs over that of any connection: 0.5 for people, near 1 for joints in a wrong order."""

    @property
    def is_well(self) -> bool:
        wrong_sides = self.exchanged is not None and self.exchanged > 0.5
        return not wrong_sides and not (self.limbs is not None and self.limbs > 0.85)


def anatomy(persons: PersonTable, data: EvaluationData) -> Anatomy:
    """Look at the annotated joints."""
    keypoints = np.concatenate([persons.joints, 2 * persons.visible[..., None]], axis=2).astype(np.float64)
    report = sides_report(keypoints, data.table.skeleton)
    exchanged = report.exchanged.low if report.exchanged is not None and report.exchanged.total else None
    return Anatomy(exchanged, limb_ratio(keypoints, data.table.skeleton))


@dataclass(frozen=True)
class BoxFit:
    """How well the boxes to look into fit the annotated persons."""

    recall: float
    """Share of the persons with a box of IoU 0.5 or more."""
    by_chance: float
    """The same if every box were in the image after its own."""
    ap: float
    """Of the truth through these boxes."""
    ap_annotated: float
    """Of the truth through its own boxes."""
    repaired: tuple[str, float] | None
    """A reading of the boxes under which they fit better: its phrase, and the recall."""
    images_without: list[tuple[int, int]]
    """Some images none of whose persons has a box: row, number of persons."""

    @property
    def is_well(self) -> bool:
        return self.recall > max(2 * self.by_chance, 0.3) and self.ap > 0.5 * self.ap_annotated


def box_fit(
    settings: Settings, data: EvaluationData, ap_annotated: float, *, max_images: int, num_named: int
) -> BoxFit:
    """Compare the boxes of the config with the annotated persons; `ap_annotated` is the truth's own AP."""
    truth, boxes = data.table.ground_truth_persons(), data.persons
    match = match_boxes(boxes, truth)
    recall = match.recall()
    trip = ground_truth_round_trip(settings, "val", data.table, boxes=boxes, max_images=max_images)
    repaired = max(
        ((name, match_boxes(other, truth).recall()) for name, other in _other_readings(boxes, data)),
        key=lambda pair: pair[1],
    )
    better = repaired if repaired[1] > max(0.5, 2 * recall) else None
    return BoxFit(
        recall=recall,
        by_chance=recall_by_chance(boxes, truth),
        ap=trip.metrics.get("AP", 0.0),
        ap_annotated=ap_annotated,
        repaired=better,
        images_without=_images_without(match.best_iou, truth, num_named),
    )


def _images_without(best_iou: NDArray[np.float64], truth: PersonTable, wanted: int) -> list[tuple[int, int]]:
    """The first images whose persons all lack a box."""
    found = []
    for row in np.unique(truth.image_index).tolist():
        of_image = truth.image_index == row
        if best_iou[of_image].max() < 0.5:
            found.append((row, int(of_image.sum())))
            if len(found) == wanted:
                break
    return found


def _other_readings(boxes: PersonTable, data: EvaluationData) -> list[tuple[str, PersonTable]]:
    """What the four numbers of a box may have been meant as."""
    x, y, width, height = boxes.boxes_xywh.T
    sizes = data.table.image_sizes_wh[boxes.image_index].astype(np.float64)

    def table(*columns: NDArray[np.float64]) -> PersonTable:
        return replace(boxes, boxes_xywh=np.stack(columns, axis=1))

    readings = [
        ("reading.corners", table(x, y, width - x, height - y)),
        ("reading.centres", table(x - width / 2, y - height / 2, width, height)),
        ("reading.fractions", replace(boxes, boxes_xywh=boxes.boxes_xywh * np.tile(sizes, 2))),
        ("reading.rows_first", table(y, x, height, width)),
    ]
    readings += [
        (f"reading.times_{name}", replace(boxes, boxes_xywh=boxes.boxes_xywh * factor))
        for name, factor in (("half", 0.5), ("two", 2.0))
    ]
    return readings


@dataclass(frozen=True)
class Peaks:
    """How high the heatmaps rise over some persons."""

    mean: float
    flat: float
    """Share of the maps without a peak."""
    differ: float
    """How much the maps differ between persons, relative to their own size; 0 when the picture does not matter."""

    @property
    def are_alive(self) -> bool:
        return math.isfinite(self.mean) and self.flat < 0.9 and self.differ > 1e-2


class Viewer:
    """The model, looking at some persons of a split."""

    def __init__(
        self, settings: Settings, machine: Machine, model: SDPose, normalize: torch.nn.Module
    ) -> None:
        self.settings = settings
        self.machine = machine
        self.model = model
        self.normalize = normalize

    @torch.no_grad()
    def heatmaps(self, data: EvaluationData, persons: PersonTable, *, train_mode: bool = False) -> Tensor:
        """Cycle 1 on the crops of these persons: (P, K, h, w) float32, on the CPU.

        `train_mode` lets batch norm use each batch's own statistics instead of the stored ones, which stay.
        """
        saved = {name: buffer.clone() for name, buffer in self.model.named_buffers()}
        self.model.train(train_mode)
        device = self.machine.device
        try:
            return torch.cat(
                [self._forward(batch.images.to(device)).cpu() for batch in self._loader(data, persons)]
            )
        finally:
            self.model.eval()
            for name, buffer in self.model.named_buffers():
                buffer.copy_(saved[name])

    def peaks(self, data: EvaluationData, persons: PersonTable, *, train_mode: bool = False) -> Peaks:
        """The height of the heatmaps over these persons."""
        maps = self.heatmaps(data, persons, train_mode=train_mode)
        highest = maps.amax(dim=(2, 3))
        scale = float(maps.std()) or math.inf
        differ = float((maps - maps.mean(dim=0, keepdim=True)).std()) / scale if len(maps) > 1 else 1.0
        return Peaks(float(highest.mean()), float((highest < FLAT_PEAK).float().mean()), differ)

    def poses(self, data: EvaluationData, persons: PersonTable, *, flip: bool) -> PosePredictions:
        """Predictions for these persons, with or without the flip test."""
        rules = self.settings.model.test_cfg
        self.model.eval()
        return predict_batches(
            self._forward,
            self._loader(data, persons),
            persons,
            image_ids=data.table.image_ids,
            num_keypoints=data.table.skeleton.num_keypoints,
            flip_index=data.table.skeleton.flip_index if flip else None,
            shift_heatmap=rules.shift_heatmap,
            post_process=rules.post_process,
            kernel=rules.modulate_kernel,
            device=self.machine.device,
        )

    def _loader(self, data: EvaluationData, persons: PersonTable) -> EvalLoader:
        chosen = self.settings.data.val
        dataset = PoseDataset(
            data.table,
            persons,
            image_size_wh=chosen.data_cfg.image_size,
            augmentation=None,
            padding=chosen.pipeline.padding,
        )
        return EvalLoader(dataset, AT_A_TIME, num_workers=0)

    def _forward(self, images: Tensor) -> Tensor:
        with self.machine.autocast():
            heatmaps: Tensor = self.model(self.normalize(images))
        return heatmaps.float()


@dataclass(frozen=True)
class Similarity:
    """Mean OKS of predictions with the persons they are for, read in several ways."""

    as_it_is: float
    exchanged: float
    """With left and right joints exchanged."""
    without_flip: float
    """Predicted without the flip test."""


def similarity(viewer: Viewer, data: EvaluationData, persons: PersonTable) -> Similarity:
    """How alike predictions in annotated boxes are to the truth."""
    flip_test = viewer.settings.model.test_cfg.flip_test
    plain = viewer.poses(data, persons, flip=False)
    with_flip = viewer.poses(data, persons, flip=True) if flip_test else plain
    index = list(data.table.skeleton.flip_index)
    exchanged = replace(with_flip, keypoints=with_flip.keypoints[:, index])
    sigmas = data.table.skeleton.sigmas
    image_ids = data.table.image_ids
    return Similarity(
        *(_mean_oks(poses, persons, image_ids, sigmas) for poses in (with_flip, exchanged, plain))
    )


def _mean_oks(
    poses: PosePredictions, persons: PersonTable, image_ids: NDArray[np.int64], sigmas: Sequence[float]
) -> float:
    """Each prediction against the person of its own box; 0 without any."""
    row_of = {
        (int(image_ids[image]), int(box)): row
        for row, (image, box) in enumerate(zip(persons.image_index, persons.bbox_ids, strict=True))
    }
    rows = [row_of[int(image), int(box)] for image, box in zip(poses.image_ids, poses.bbox_ids, strict=True)]
    areas = AREA_OF_BOX * np.prod(persons.boxes_xywh[rows, 2:], axis=1)
    similar = joint_similarity(poses.keypoints, persons.joints[rows], areas, sigmas)  # (P, K)
    labelled = persons.visible[rows] > 0  # (P, K)
    oks = (similar * labelled).sum(1) / np.maximum(labelled.sum(1), 1)
    return float(oks.mean()) if len(oks) else 0.0
