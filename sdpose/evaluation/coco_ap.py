"""Average precision and recall of keypoint results, by COCO's protocol and by CrowdPose's."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np

from sdpose.evaluation.coco_input import fill_areas, read_ground_truth, read_results
from sdpose.evaluation.oks_table import oks_table
from sdpose.evaluation.scene import Scene, make_scene

Protocol = Literal["coco", "crowdpose"]

COCO_NAMES = ("AP", "AP .5", "AP .75", "AP (M)", "AP (L)", "AR", "AR .5", "AR .75", "AR (M)", "AR (L)")
CROWDPOSE_NAMES = ("AP", "AP .5", "AP .75", "AR", "AR .5", "AR .75", "AP(E)", "AP(M)", "AP(H)")

# Bounds of crowdIndex between easy, medium and hard images (CrowdPose, Li et al. 2019).
_CROWD_LIMITS = (0.2, 0.8)


def evaluate_results(
    ann_file: Path | str | Mapping[str, Any],
    results: Sequence[Mapping[str, Any]] | Path | str,
    sigmas: Sequence[float],
    *,
    image_ids: Collection[int] | None = None,
    protocol: Protocol | None = None,
) -> dict[str, float]:
    """AP and AR by name, in the published order: `COCO_NAMES`, or `CROWDPOSE_NAMES`.

    ann_file: annotations, as a file or already read. results: as `to_coco_results` makes them, or the file of
    them. sigmas: K numbers. image_ids: look at these images only. protocol: None takes CrowdPose's for
    annotations whose images carry a `crowdIndex`, else COCO's.

    Values are 0 to 1. As in pycocotools a value is -1 where there is nothing to measure: no annotated person
    of that size (or of that crowding). Without any result all others are 0. Without 'annotations' in the file
    nothing can be compared and the answer is {}.

    CrowdPose's protocol takes 0.53 of the box as a person's area. COCO's needs `area`; where an annotation
    has none the same is taken, and a line in the log says so. Raises SdposeError for files that are not
    annotations or results of K joints.
    """
    return score_results(ann_file, results, sigmas, image_ids=image_ids, protocol=protocol).metrics


@dataclass(frozen=True)
class Scores:
    """AP and AR, and what they were computed from."""

    metrics: dict[str, float] = field(default_factory=dict)
    """As `evaluate_results` gives them."""
    scene: Scene | None = None
    """None where nobody is annotated, or persons of several categories, of whose AP the mean is taken."""


def score_results(
    ann_file: Path | str | Mapping[str, Any],
    results: Sequence[Mapping[str, Any]] | Path | str,
    sigmas: Sequence[float],
    *,
    image_ids: Collection[int] | None = None,
    protocol: Protocol | None = None,
) -> Scores:
    """`evaluate_results`, and everything that is needed to go on from there."""
    truth = read_ground_truth(ann_file, len(sigmas))
    if truth is None:
        return Scores()
    if protocol is None:
        crowded = bool(truth["images"]) and all("crowdIndex" in image for image in truth["images"])
        protocol = "crowdpose" if crowded else "coco"
    fill_areas(truth, replace=protocol == "crowdpose")
    found = read_results(results, truth, len(sigmas))
    known = {image["id"] for image in truth["images"]}
    wanted = known if image_ids is None else known & {int(image_id) for image_id in image_ids}
    evaluation = _Evaluation(truth, found, sigmas)
    evaluation.run(wanted)
    scene = evaluation.scene(truth, found, wanted, len(sigmas))
    values = [evaluation.precision(), evaluation.precision(0.5), evaluation.precision(0.75)]
    if protocol == "coco":
        sizes = ("medium", "large")
        values += [evaluation.precision(size=size) for size in sizes]
        values += [evaluation.recall(), evaluation.recall(0.5), evaluation.recall(0.75)]
        values += [evaluation.recall(size=size) for size in sizes]
        return Scores(dict(zip(COCO_NAMES, values, strict=True)), scene)
    values += [evaluation.recall(), evaluation.recall(0.5), evaluation.recall(0.75)]
    crowding = {image["id"]: float(image["crowdIndex"]) for image in truth["images"]}
    for low, high in zip((-np.inf, *_CROWD_LIMITS), (*_CROWD_LIMITS, np.inf), strict=True):
        evaluation.run({image_id for image_id in wanted if low <= crowding[image_id] < high})
        values.append(evaluation.precision())
    return Scores(dict(zip(CROWDPOSE_NAMES, values, strict=True)), scene)


class _Evaluation:
    """faster-coco-eval on one pair of truth and results, silent."""

    def __init__(self, truth: dict[str, Any], found: list[dict[str, Any]], sigmas: Sequence[float]) -> None:
        from faster_coco_eval.core.coco import COCO
        from faster_coco_eval.core.faster_eval_api import COCOeval_faster

        oks = oks_table(truth["annotations"], found, sigmas)
        annotations = COCO(truth, print_function=_quiet)
        self._engine = COCOeval_faster(
            annotations,
            annotations.loadRes(found),
            iouType="keypoints",
            kpt_oks_sigmas=list(sigmas),
            print_function=_quiet,
        )
        self._engine.computeOks = lambda image_id, category_id: oks.get((image_id, category_id), [])

    def run(self, image_ids: set[int]) -> None:
        """Match truth and results of these images."""
        self._anything = bool(image_ids)
        if self._anything:
            self._engine.params.imgIds = sorted(image_ids)
            self._engine.evaluate()
            self._engine.accumulate()

    def scene(
        self, truth: dict[str, Any], found: list[dict[str, Any]], image_ids: set[int], num_keypoints: int
    ) -> Scene | None:
        """What was matched in the last run."""
        categories = self._engine.params.catIds
        if not self._anything or len(categories) != 1:
            return None
        ids = np.array(sorted(image_ids), np.int64)
        # `ious` is the library's table of OKS, by image and category.
        return make_scene(truth, found, ids, categories[0], self._engine.ious, num_keypoints)

    def precision(self, oks: float | None = None, *, size: str = "all") -> float:
        return self._mean("precision", oks, size)

    def recall(self, oks: float | None = None, *, size: str = "all") -> float:
        return self._mean("recall", oks, size)

    def _mean(self, name: str, oks: float | None, size: str) -> float:
        """Mean over thresholds (all, or the one given) of one range of sizes; -1 when nothing is measured."""
        if not self._anything:
            return -1.0
        params = self._engine.params
        values = np.asarray(self._engine.eval[name])[..., params.areaRngLbl.index(size), -1]
        if oks is not None:
            values = values[np.isclose(params.iouThrs, oks)]
        values = values[values > -1]
        return float(values.mean()) if values.size else -1.0


def _quiet(*_: object) -> None:
    """The library's print function."""
