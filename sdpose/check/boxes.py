"""The detected boxes that an evaluation looks into: there, in their images, and about the people in them?"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from sdpose.check.line import CheckLine
from sdpose.check.preflight import Preflight
from sdpose.data.box_match import match_boxes, recall_by_chance
from sdpose.data.coco import CocoKeypoints
from sdpose.data.persons import PersonTable
from sdpose.errors import SdposeError

# The well-known file for COCO val2017 has 0.99 of the people at an IoU of 0.5, and 0.02 in the images of others.
_FEW_FOUND, _SOME_FOUND = 0.3, 0.8
_ABOVE_CHANCE = 0.1
_OUTSIDE_SHARE = 0.05
CURE = (
    "data.val.data_cfg.bbox_file must be the detections for data.val.ann_file; without one evaluate on annotated "
    "boxes: --cfg-options data.val.data_cfg.use_gt_bbox=True data.test.data_cfg.use_gt_bbox=True"
)


def ask(preflight: Preflight) -> Iterator[CheckLine]:
    """What an evaluation during training will look into."""
    rules, table = preflight.settings.data.val.data_cfg, preflight.table("val")
    if rules.use_gt_bbox or rules.bbox_file is None:
        yield CheckLine(
            "boxes", "pass", "the annotated ones (use_gt_bbox): AP is higher than with detected boxes"
        )
        return
    try:
        boxes = table.detected_persons(rules.bbox_file, rules.det_bbox_thr)
    except SdposeError as error:
        yield CheckLine("boxes", "fail", str(error), CURE)
        return
    yield _box_line(table, boxes, Path(rules.bbox_file))
    yield _score_line(boxes)
    if table.has_annotations:
        yield _match_line(table, boxes)


def _box_line(table: CocoKeypoints, boxes: PersonTable, path: Path) -> CheckLine:
    sizes = table.image_sizes_wh[boxes.image_index]  # (B, 2)
    left_top, right_bottom = boxes.boxes_xywh[:, :2], boxes.boxes_xywh[:, :2] + boxes.boxes_xywh[:, 2:]
    outside = ((right_bottom <= 0) | (left_top >= sizes)).any(1) | (boxes.boxes_xywh[:, 2:] <= 0).any(1)
    beyond = (right_bottom > 1.1 * sizes).any(1)
    empty = len(table.image_ids) - len(np.unique(boxes.image_index))
    text = f"{len(boxes)} in {len(table.image_ids) - empty} of {len(table.image_ids)} images, {path.name}"
    share = float((outside | beyond).mean())
    if share > 0:
        text += f"; {int((outside | beyond).sum())} reach out of their image or have no area ({share:.1%})"
        cure = "bbox is [left, top, width, height] in pixels of the image, not [left, top, right, bottom]"
        return CheckLine("boxes", "fail" if share > _OUTSIDE_SHARE else "warn", text, cure)
    return CheckLine("boxes", "pass", text, measured={"boxes": len(boxes), "images_without_box": empty})


def _score_line(boxes: PersonTable) -> CheckLine:
    name, low, high = "box scores", float(boxes.box_scores.min()), float(boxes.box_scores.max())
    text = f"{low:.3g} to {high:.3g}"
    if low < 0 or high > 1:
        cure = "scores are confidences from 0 to 1; they are multiplied with those of the joints"
        return CheckLine(name, "fail", f"{text}, outside 0 to 1", cure)
    if low == high and len(boxes) > 1:
        cure = "AP ranks poses by box score times joint scores; a detector's own scores rank better"
        return CheckLine(name, "warn", f"all {high:g}", cure)
    return CheckLine(name, "pass", text)


def _match_line(table: CocoKeypoints, boxes: PersonTable) -> CheckLine:
    """A file of another set has the right ids now and then, but not the right places."""
    name = "boxes find people"
    persons = table.ground_truth_persons()
    recall, chance = match_boxes(boxes, persons).recall(), recall_by_chance(boxes, persons)
    text = (
        f"{recall:.1%} of {len(persons)} annotated people have a box with an IoU of 0.5 (boxes of other images: "
        f"{chance:.1%})"
    )
    measured = {"recall": recall, "recall_by_chance": chance}
    if recall < _FEW_FOUND or recall < chance + _ABOVE_CHANCE:
        if recall < chance + _ABOVE_CHANCE:
            text += "; they look like boxes of other images"
        return CheckLine(name, "fail", text, CURE, measured)
    if recall < _SOME_FOUND:
        cure = f"the people without a box cannot be found: AP stays below about {recall:.2f}; use a better detector"
        return CheckLine(name, "warn", text, cure, measured)
    return CheckLine(name, "pass", text, measured=measured)
