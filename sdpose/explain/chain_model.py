"""The links that need the model: weights, heatmaps, poses, AP."""

from __future__ import annotations

import numpy as np

from sdpose.assemble.data import EvaluationData, training_data
from sdpose.assemble.model import build_model
from sdpose.assemble.round_trip import chain_of
from sdpose.errors import SdposeError
from sdpose.evaluation.round_trip import score_perfect
from sdpose.explain.computation import broken_tensors
from sdpose.explain.links import similarity
from sdpose.explain.notebook import Answer, shown
from sdpose.explain.verdict import Phrase
from sdpose.explain.walk import Walk, files_of, first_people, some_people
from sdpose.models.weights import load_model_weights

# A mean OKS below this scores nowhere; above it AP is above 0.
NOT_ALIKE = 0.3
CLEARLY_BETTER = 0.2
# Shown as 0.02 or less, an AP counts as zero.
NEARLY_ZERO = 0.02
# Batch norm is to blame when its stored statistics make peaks, or their differences, so many times lower.
FAR_HIGHER = 3.0
# Heatmaps of a model that has learnt to look differ so much between people, relative to their own size.
LOOKS = 0.3
# Over dozens of people a trained model's mean peak differs less than this by chance.
CLEARLY_HIGHER = 1.4


def look_at_weights(walk: Walk) -> Answer:
    """The checkpoint fits the config's model, and all of it is finite."""
    case = walk.case
    model = build_model(case.settings, pretrained=False)
    source = str(case.checkpoint.path)
    try:
        load_model_weights(model, case.checkpoint.state_dict, source=source)
    except SdposeError as error:
        walk.break_at("state", ("verdict.chain.weights_fit", {"reason": str(error)}), [])
        return Answer("fault", "answer.chain.files_broken", {"reason": str(error)})
    walk.machine.place(model)
    model.eval()
    walk.model = model
    broken = broken_tensors(model.state_dict())
    numbers = {"num": len(broken), "first": broken[0] if broken else "-", "of": len(model.state_dict())}
    if broken:
        earlier: list[Phrase] = [("action.earlier", {"work_dir": str(case.work_dir)})]
        walk.break_at("state", ("verdict.chain.weights", numbers), earlier)
        return Answer("fault", "answer.state_broken", numbers)
    return Answer("healthy", "answer.chain.weights", numbers)


def look_at_heatmaps(walk: Walk) -> Answer:
    """In annotated boxes the heatmaps have peaks, and they depend on the picture."""
    assert walk.data is not None and walk.people is not None
    peaks = walk.viewer.peaks(walk.data, walk.people)
    own = walk.viewer.peaks(walk.data, walk.people, train_mode=True)
    walk.details["peak"] = peaks.mean if peaks.are_alive else 0.0
    numbers = {
        "peak": shown(peaks.mean),
        "flat": f"{peaks.flat:.0%}",
        "differ": f"{peaks.differ:.0%}",
        "persons": len(walk.people),
        "train_peak": shown(own.mean),
        "train_differ": f"{own.differ:.0%}",
    }
    livelier = not own.mean <= FAR_HIGHER * peaks.mean or own.differ > FAR_HIGHER * peaks.differ
    if own.are_alive and own.differ > LOOKS and livelier:
        walk.break_at("state", ("verdict.chain.statistics", numbers), [("action.statistics", {})])
        return Answer("fault", "answer.chain.statistics_broken", numbers)
    if peaks.are_alive:
        return Answer("healthy", "answer.chain.heatmaps", numbers)
    key = "verdict.chain.heatmaps_same" if peaks.flat < 0.9 else "verdict.chain.heatmaps"
    walk.break_at("state", (key, numbers), [("action.learning", files_of(walk.case)), ("action.plateau", {})])
    return Answer("fault", "answer.chain.heatmaps_broken", numbers)


def look_at_whose(walk: Walk) -> Answer:
    """Boxes and annotations lie on different people: on which of them does the model see somebody?"""
    assert walk.data is not None and walk.people is not None
    rows = np.unique(walk.people.image_index).tolist()
    in_boxes = walk.viewer.peaks(walk.data, first_people(walk.data.persons.in_images(rows))).mean
    annotated = walk.details["peak"]
    numbers = {"boxes": shown(in_boxes), "annotated": shown(annotated), **files_of(walk.case)}
    if max(in_boxes, annotated) > 0.1 and in_boxes > CLEARLY_HIGHER * annotated:
        walk.broken = ("data", ("verdict.chain.annotations_foreign", numbers), [("action.files", numbers)])
        return Answer("fault", "answer.chain.annotations_foreign", numbers)
    if max(in_boxes, annotated) > 0.1 and annotated > CLEARLY_HIGHER * in_boxes:
        return Answer("fault", "answer.chain.boxes_foreign", numbers)
    return Answer("unclear", "answer.chain.whose_unclear", numbers)


def look_at_poses(walk: Walk) -> Answer:
    """Decoded poses lie on the annotated joints."""
    assert walk.data is not None and walk.people is not None
    alike = similarity(walk.viewer, walk.data, walk.people)
    numbers = {
        "oks": shown(alike.as_it_is),
        "exchanged": shown(alike.exchanged),
        "plain": shown(alike.without_flip),
        "persons": len(walk.people),
    }
    if alike.exchanged > alike.as_it_is + CLEARLY_BETTER:
        walk.break_at(
            "data", ("verdict.chain.exchanged", numbers), [("action.flip_pairs", files_of(walk.case))]
        )
        return Answer("fault", "answer.chain.poses_exchanged", numbers)
    if alike.without_flip > alike.as_it_is + CLEARLY_BETTER:
        walk.break_at(
            "settings", ("verdict.chain.flip", numbers), [("action.flip_pairs", files_of(walk.case))]
        )
        return Answer("fault", "answer.chain.poses_flip", numbers)
    if alike.as_it_is >= NOT_ALIKE:
        return Answer("healthy", "answer.chain.poses", numbers)
    trained = _on_training_people(walk)
    numbers["trained"] = shown(trained)
    if trained is not None and trained > alike.as_it_is + CLEARLY_BETTER:
        walk.break_at(
            "data", ("verdict.chain.other_people", numbers), [("action.files", files_of(walk.case))]
        )
        return Answer("fault", "answer.chain.poses_trained", numbers)
    actions: list[Phrase] = [("action.learning", files_of(walk.case)), ("action.plateau", {})]
    walk.break_at("state", ("verdict.chain.poses", numbers), actions)
    return Answer("fault", "answer.chain.poses_broken", numbers)


def _on_training_people(walk: Walk) -> float | None:
    """Mean OKS on persons of the training set; None where that cannot be read."""
    try:
        dataset = training_data(walk.case.settings, seed=0)
    except SdposeError:
        return None
    data = EvaluationData(dataset.table, dataset.persons, dataset, "annotated boxes")
    return similarity(walk.viewer, data, some_people(dataset.persons)).as_it_is


def look_at_ap(walk: Walk) -> Answer:
    """The evaluation itself, on some of the images."""
    assert walk.model is not None and walk.data is not None and walk.people is not None
    rows = np.unique(walk.people.image_index).tolist()
    settings, table = walk.case.settings, walk.data.table
    poses = walk.viewer.poses(
        walk.data, walk.data.persons.in_images(rows), flip=settings.model.test_cfg.flip_test
    )
    image_ids = table.image_ids[rows].tolist()
    metrics = score_perfect(
        table.ann_file, poses, table.skeleton.sigmas, chain_of(settings, "val"), image_ids
    )
    ap = metrics["AP"]
    walk.details["AP"] = ap
    numbers = {"ap": shown(ap), "images": len(rows)}
    return Answer("fault" if ap <= NEARLY_ZERO else "healthy", "answer.chain.ap", numbers)
