"""Do the intervals of AP hold what they promise? Coverage, false alarms and power, by simulation; and their cost.

A population is made of real annotations and real detected boxes (the official part of COCO val2017 in the shared
data) with drawn poses: each person has a difficulty that all models share, each model adds its own noise, sometimes
takes left for right, and gives joint scores that follow the difficulty, more or less. Then

- coverage: data sets of some size are drawn from the population, and it is counted how often their 95 % interval holds
  the population's AP, and how often that of the change from one model to a slightly worse one holds the true change;
- false alarms: two models of the same quality are compared; the share of "beyond noise" should be 5 %;
- power: models that are worse by more and more; the share of "beyond noise" should soon be all;
- split halves: the real results of a Lite-HRNet on 1000 images are cut into two halves at random; their difference,
  over its standard error from the two intervals, should be within 1.96 in 95 % of the cuts.

    python benchmarks/ap_noise.py [--data ../shared/data] [--part coverage|alarms|halves|cost] [--images 100]
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sdpose.evaluation.average_precision import Ranking
from sdpose.evaluation.bootstrap import Interval, draws, interval
from sdpose.evaluation.coco_ap import evaluate_results, score_results
from sdpose.evaluation.inference import PosePredictions
from sdpose.evaluation.noise import Evaluation
from sdpose.evaluation.results import to_coco_results
from sdpose.skeleton import COCO17

SIGMAS = np.array(COCO17.sigmas)


def main() -> None:
    parser = argparse.ArgumentParser(description="Whether the intervals of AP hold what they promise.")
    parser.add_argument("--data", type=Path, default=Path(__file__).parents[2] / "shared/data")
    parser.add_argument("--part", choices=("coverage", "alarms", "halves", "cost"), default="coverage")
    parser.add_argument("--images", type=int, default=100, help="size of the drawn data sets (coverage)")
    parser.add_argument("--repeats", type=int, default=200)
    args = parser.parse_args()
    part = {"coverage": coverage, "alarms": alarms, "halves": halves, "cost": cost}[args.part]
    for line in part(args):
        print(line, flush=True)


def coverage(args: argparse.Namespace) -> Iterator[str]:
    truth, boxes = val2017(args.data)
    better, worse = (
        evaluated(truth, drawn_results(truth, boxes, 1 + i, 1 + 0.05 * i)).ranking for i in (0, 1)
    )
    ap, change = better.average_precision(), worse.average_precision() - better.average_precision()
    yield f"population: {better.num_images} images, AP {ap:.4f}, change {change:.4f}"
    random = np.random.RandomState(args.images)
    held = np.zeros((args.repeats, 2), bool)
    widths = np.zeros((args.repeats, 2))
    for repeat in range(args.repeats):
        rows = random.randint(0, better.num_images, args.images)
        drawn = np.array([aps_in_draws(ranking, rows) for ranking in (better, worse)])  # (2, 1 + R)
        for column, (values, true) in enumerate(((drawn[0], ap), (drawn[1] - drawn[0], change))):
            found = interval(float(values[0]), values[1:], args.images)
            held[repeat, column] = found.low <= true <= found.high
            widths[repeat, column] = found.high - found.low
    yield f"{args.repeats} data sets of {args.images} images"
    for column, name in enumerate(("AP", "change")):
        yield f"{name}: held in {held[:, column].mean():.1%}, mean width {widths[:, column].mean():.4f}"


def aps_in_draws(ranking: Ranking, rows: NDArray[np.int64]) -> list[float]:
    """AP of the data set whose images are `rows`, then in each draw of it."""
    counts = [np.ones(len(rows)), *draws(len(rows))]
    return [
        ranking.average_precision(
            np.bincount(rows, weights=count, minlength=ranking.num_images).astype(np.int64)
        )
        for count in counts
    ]


def alarms(args: argparse.Namespace) -> Iterator[str]:
    """Each of some models is compared with the next; then with worse and worse ones."""
    truth, boxes = val2017(args.data)
    boxes = [box for box in boxes if box["score"] > 0.3]
    num_models = max(args.repeats // 5, 2)
    models = [evaluated(truth, drawn_results(truth, boxes, seed, 1.0)) for seed in range(num_models)]
    changes = [
        models[(i + step) % num_models].change_since(models[i])
        for step in (1, 3, 7)
        for i in range(num_models)
    ]
    named = [
        bool(moved["joints"] or moved["errors"])
        for i in range(num_models)
        for moved in [models[(i + 1) % num_models].moved_since(models[i])]
    ]
    yield f"{num_models} equal models on {models[0].num_images} images, AP {models[0].average_precision:.3f}"
    yield f"change beyond noise in {share_beyond(changes)} pairs; any joint or error named in {np.mean(named):.1%}"
    for factor in (1.02, 1.05, 1.1, 1.2):
        worse = [evaluated(truth, drawn_results(truth, boxes, 500 + i, factor)) for i in range(10)]
        changes = [it.change_since(model) for it, model in zip(worse, models, strict=False)]
        size = np.mean([change.value for change in changes])
        yield f"noise x {factor}: change {size:+.4f}, beyond noise in {share_beyond(changes)}"


def share_beyond(changes: list[Interval]) -> str:
    return f"{sum(change.beyond_noise for change in changes)} of {len(changes)}"


def halves(args: argparse.Namespace) -> Iterator[str]:
    folder = args.data / "kpt_results_pair"
    truth = json.loads((folder / "gt_1000.json").read_text())
    results = json.loads((folder / "results_litehrnet18_256x192.json").read_text())
    whole = evaluated(truth, results)
    yield f"Lite-HRNet-18, {whole.num_images} images: AP {whole.interval()}"
    random = np.random.RandomState(0)
    ratios = []
    for _ in range(args.repeats):
        order = random.permutation(whole.num_images)
        found = []
        for rows in np.array_split(order, 2):
            drawn = np.array(aps_in_draws(whole.ranking, rows))
            found.append(interval(float(drawn[0]), drawn[1:], len(rows)))
        errors = [(it.high - it.low) / (2 * 1.96) for it in found]
        ratios.append((found[0].value - found[1].value) / np.hypot(*errors))
    within = np.mean(np.abs(ratios) <= 1.96)
    yield f"{args.repeats} cuts in halves: the difference is within noise in {within:.1%}"
    yield f"spread of difference over standard error, which should be 1: {np.std(ratios):.2f}"


def cost(args: argparse.Namespace) -> Iterator[str]:
    """CPU seconds for 5000 images and as many predictions as an evaluation of val2017 leaves."""
    source, boxes = val2017(args.data)
    boxes = sorted(boxes, key=lambda box: -box["score"])[: 22_000 * len(source["images"]) // 5000]
    results = drawn_results(source, boxes, 1, 1.0)
    truth = {**source, "images": [], "annotations": []}
    many = []
    for copy in range(-(-5000 // len(source["images"]))):
        for name, target in (("images", truth["images"]), ("annotations", truth["annotations"])):
            key = "id" if name == "images" else "image_id"
            target += [{**it, key: it[key] + 10_000_000 * copy} for it in source[name]]
        many += [{**it, "image_id": it["image_id"] + 10_000_000 * copy} for it in results]
    started = time.process_time()
    evaluate_results(truth, many, COCO17.sigmas)
    ap_s = time.process_time() - started
    kept = evaluated(truth, many)
    started = time.process_time()
    before = evaluated(truth, many)
    matched_s = time.process_time() - started - ap_s
    started = time.process_time()
    kept.interval()
    interval_s = time.process_time() - started
    before.interval()
    started = time.process_time()
    kept.change_since(before), kept.moved_since(before)
    change_s = time.process_time() - started
    yield f"{len(truth['images'])} images, {len(many)} predictions, CPU seconds"
    yield f"AP {ap_s:.2f}"
    yield f"matches and errors {matched_s:.2f}, interval {interval_s:.2f}, change and what moved {change_s:.2f}"


def evaluated(truth: dict[str, Any], results: list[dict[str, Any]]) -> Evaluation:
    scene = score_results(truth, results, COCO17.sigmas).scene
    assert scene is not None
    return Evaluation.of(scene, COCO17)


def val2017(data: Path) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    folder = data / "coco_val2017_eval"
    truth = json.loads((folder / "person_keypoints_val2017_official_subset.json").read_text())
    boxes = json.loads((folder / "COCO_val2017_detections_AP_H_56_person_part.json").read_text())
    return truth, boxes


def drawn_results(
    truth: dict[str, Any], boxes: list[dict[str, Any]], seed: int, noise: float
) -> list[dict[str, Any]]:
    """COCO results of `box_poses`."""
    return to_coco_results(box_poses(truth, boxes, seed, noise), sigmas=COCO17.sigmas)


def box_poses(truth: dict[str, Any], boxes: list[dict[str, Any]], seed: int, noise: float) -> PosePredictions:
    """Poses for detected boxes: of the person a box fits, disturbed; on nobody, anything."""
    shared, own = np.random.RandomState(77), np.random.RandomState(seed)
    difficulty = {person["id"]: np.exp(0.6 * shared.standard_normal()) for person in truth["annotations"]}
    persons: dict[int, list[dict[str, Any]]] = {}
    for person in truth["annotations"]:
        if person["num_keypoints"]:
            persons.setdefault(person["image_id"], []).append(person)
    poses = []
    for box in boxes:
        left, top, width, height = box["bbox"]
        joints = np.column_stack([left + width * own.uniform(size=17), top + height * own.uniform(size=17)])
        scores = own.normal(0.4, 0.15, 17)
        fits = [(overlap(box["bbox"], person["bbox"]), person) for person in persons.get(box["image_id"], ())]
        fit, person = max(fits, key=lambda it: it[0], default=(0.0, {}))
        if fit > 0.4:
            true = np.array(person["keypoints"], float).reshape(17, 3)
            hard = difficulty[person["id"]] * np.exp(0.3 * own.standard_normal()) * noise / np.sqrt(fit)
            reach = np.sqrt(person["area"]) * SIGMAS * 1.1 * hard * np.exp(0.4 * own.standard_normal(17))
            swapped = list(COCO17.flip_index) if own.uniform() < 0.03 * hard else list(range(17))
            labelled = true[:, 2] > 0
            disturbed = true[swapped, :2] + reach[:, None] * own.standard_normal((17, 2))
            joints = np.where(labelled[:, None], disturbed, joints)
            scores = np.where(labelled, 0.95 - 0.12 * hard + 0.08 * own.standard_normal(17), scores)
        poses.append(np.column_stack([joints, np.clip(scores, 0.02, 1)]))
    nothing = np.zeros((len(boxes), 2), np.float32)
    return PosePredictions(
        keypoints=np.array(poses, np.float32),
        centers=nothing,
        scales=nothing,
        areas=np.array([1.56 * box["bbox"][2] * box["bbox"][3] for box in boxes], np.float32),
        box_scores=np.array([box["score"] for box in boxes], np.float32),
        image_ids=np.array([box["image_id"] for box in boxes]),
        bbox_ids=np.arange(len(boxes)),
    )


def overlap(one: list[float], other: list[float]) -> float:
    """IoU of two boxes x, y, width, height."""
    sides = [
        max(0.0, min(one[axis] + one[axis + 2], other[axis] + other[axis + 2]) - max(one[axis], other[axis]))
        for axis in (0, 1)
    ]
    common = sides[0] * sides[1]
    return common / (one[2] * one[3] + other[2] * other[3] - common + 1e-9)


if __name__ == "__main__":
    main()
