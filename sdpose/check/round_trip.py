"""Ground truth through targets, decoding and evaluation: what a perfect model would score."""

from __future__ import annotations

from collections.abc import Iterator

from sdpose.assemble.round_trip import RoundTrip, ground_truth_round_trip
from sdpose.check.line import CheckLine
from sdpose.check.preflight import Preflight
from sdpose.errors import SdposeError

_MAX_IMAGES = 300
# COCO val2017 with the published settings: 0.98 with annotated boxes, 0.96 with the well-known detected ones. Joints
# outside their crop are the rest.
_FINE, _POOR = 0.95, 0.80
_FINE_DETECTED, _POOR_DETECTED = 0.85, 0.50


def ask(preflight: Preflight) -> Iterator[CheckLine]:
    """With annotated boxes, which tests targets and decoding, then with the boxes that will be evaluated."""
    settings, table = preflight.settings, preflight.table("val")
    if not table.has_annotations:
        yield CheckLine("round trip", "pass", f"{table.ann_file} has no annotations to send through")
        return
    preflight.show("ground truth round trip", 0, 2)
    annotated = ground_truth_round_trip(settings, "val", table, max_images=_MAX_IMAGES)
    yield _line(
        "round trip",
        annotated,
        "annotated boxes",
        _FINE,
        _POOR,
        "targets and decoding lose the joints: compare sigma, heatmap_size, post_process and modulate_kernel with "
        "configs/_base_, and look at the lines about labels",
    )
    rules = settings.data.val.data_cfg
    if rules.use_gt_bbox or rules.bbox_file is None:
        return
    preflight.show("ground truth round trip", 1, 2)
    try:
        boxes = table.detected_persons(rules.bbox_file, rules.det_bbox_thr)
    except SdposeError:
        return  # the line about boxes says it
    detected = ground_truth_round_trip(settings, "val", table, boxes=boxes, max_images=_MAX_IMAGES)
    yield _line(
        "round trip, detected",
        detected,
        "detected boxes",
        _FINE_DETECTED,
        _POOR_DETECTED,
        "the boxes show people badly or not at all: see the lines about boxes; no model can score more with them",
    )


def _line(name: str, trip: RoundTrip, boxes: str, fine: float, poor: float, cure: str) -> CheckLine:
    ap = trip.metrics["AP"]
    text = f"a perfect model reaches AP {ap:.3f} with {boxes} ({trip.num_boxes} in {trip.num_images} images)"
    if ap < 0:
        return CheckLine(name, "pass", f"no annotated person in the {trip.num_images} images looked at")
    if ap >= fine:
        return CheckLine(name, "pass", text, measured={"AP": ap})
    return CheckLine(name, "fail" if ap < poor else "warn", text, cure, {"AP": ap})
