"""The ground truth of a config's data through its own targets, decoding and evaluation: AP should be about 1."""

from __future__ import annotations

from dataclasses import dataclass

from sdpose.assemble.data import Split, skeleton_of
from sdpose.config.settings import Settings
from sdpose.data.box_match import match_boxes
from sdpose.data.coco import CocoKeypoints
from sdpose.data.persons import PersonTable
from sdpose.evaluation.round_trip import Chain, perfect_predictions, score_perfect


@dataclass(frozen=True)
class RoundTrip:
    """What a perfect model would score. `metrics` is {} for a file without annotations."""

    metrics: dict[str, float]
    num_images: int
    num_boxes: int
    """Boxes looked into, those without an annotated person included."""


def chain_of(settings: Settings, split: Split) -> Chain:
    """Targets as the training pipeline draws them, decoded and scored as `split` is evaluated."""
    chosen, rules = getattr(settings.data, split), getattr(settings.data, split).data_cfg
    decoding, targets = settings.model.test_cfg, settings.data.train.pipeline
    return Chain(
        image_size_wh=rules.image_size,
        heatmap_size_wh=rules.heatmap_size,
        sigma=targets.sigma,
        unbiased=targets.unbiased_encoding,
        padding=chosen.pipeline.padding,
        flip_test=decoding.flip_test,
        shift_heatmap=decoding.shift_heatmap,
        post_process=decoding.post_process,
        kernel=decoding.modulate_kernel,
        vis_thr=rules.vis_thr,
        oks_thr=rules.oks_thr,
        nms=("soft" if rules.soft_nms else "oks") if rules.use_nms else None,
    )


def ground_truth_round_trip(
    settings: Settings,
    split: Split,
    table: CocoKeypoints,
    *,
    boxes: PersonTable | None = None,
    max_images: int | None = None,
) -> RoundTrip:
    """Score the annotated joints of `table`, the images of `split`, as if a model had found them.

    `boxes`: look into these detected boxes, each at the person it overlaps most; None takes the annotated ones.
    `max_images`: only so many images, spread over the set. Raises SdposeError when nobody is annotated.
    """
    rows = _spread(len(table.image_ids), max_images)
    truth = table.ground_truth_persons().in_images(rows)
    chosen = truth if boxes is None else boxes.in_images(rows)
    chain, skeleton = chain_of(settings, split), skeleton_of(getattr(settings.data, split))
    predictions = perfect_predictions(
        chosen,
        None if boxes is None else match_boxes(chosen, truth).owner,
        truth,
        table.image_ids,
        skeleton,
        chain,
    )
    image_ids = table.image_ids[rows].tolist()
    metrics = score_perfect(table.ann_file, predictions, skeleton.sigmas, chain, image_ids)
    return RoundTrip(metrics, len(rows), len(chosen))


def _spread(total: int, wanted: int | None) -> list[int]:
    """`wanted` of the numbers below `total`, at even distances; all of them for None."""
    if wanted is None or wanted >= total:
        return list(range(total))
    return [number * total // wanted for number in range(wanted)]
