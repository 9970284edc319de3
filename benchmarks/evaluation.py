"""A whole validation pass, ours against the published order of work; and what the host does at COCO's size.

The pass begins at the photographs and ends with AP: input, network, mirror image, decoding, poses in the image,
rescoring, suppression, results file, COCO's evaluation. The published side is written from the specification: all
cycles, contiguous memory, batch norm unfolded, attention maps kept, the mirror image in a second pass
(`plain_model.py`), floats from the loader (`data.py`), joints decoded one by one with OpenCV
(`tests/heatmap_reference.py`), poses and suppression person by person, Python's own JSON, pycocotools. Both get the
same weights and the same persons, and AP must be the same.

What the host does after the network is measured again at COCO's size: 5,000 images, 22,000 boxes, from real
annotations and boxes with drawn poses (`ap_noise.py`).

    python -m benchmarks.evaluation [--quick] [--threads 1] [--data ../shared/data] [--stages]

Each side runs in a process of its own. `--threads 1` counts processor time, so that other work does not count. Without
the shared data, drawn people are evaluated and the second part is left out.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Collection
from contextlib import redirect_stdout
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from benchmarks.ap_noise import box_poses, val2017
from benchmarks.data import plain_evaluation_batch
from benchmarks.decode import load_reference
from benchmarks.plain_model import plain_heatmaps
from benchmarks.ratio import Ratio, in_turns, wanted
from benchmarks.side import Side, clock_of
from sdpose.assemble.machine import Machine
from sdpose.data.coco import load_coco
from sdpose.data.dataset import PoseDataset
from sdpose.data.loader import EvalLoader
from sdpose.data.persons import PersonTable
from sdpose.data.synthetic import make_dataset
from sdpose.evaluation.coco_ap import score_results
from sdpose.evaluation.inference import PosePredictions, predict_batches
from sdpose.evaluation.noise import Evaluation
from sdpose.evaluation.results import save_results, to_coco_results
from sdpose.geometry import box_to_center_scale
from sdpose.models import ImageNormalizer, SDPose, create_model
from sdpose.models.fuse import fuse_batch_norm
from sdpose.skeleton import COCO17
from sdpose.training.atomic_file import write_atomically

DATA = Path(os.environ.get("SDPOSE_SHARED") or Path(__file__).parents[2] / "shared") / "data"
SIZE_WH = (192, 256)
# The config evaluates 32 persons at once; the official figures are of 16.
BATCH = 16
SIGMAS = np.array(COCO17.sigmas)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="A validation pass, ours and the published way.")
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument(
        "--stages", action="store_true", help="only where the host's time goes at COCO's size"
    )
    args = parser.parse_args()
    if args.stages:
        for name, spent_s in stages(args.data).items():
            print(f"{name:<32}{spent_s:>6.2f} s")
        return
    for ratio in measure(quick=args.quick, threads=args.threads, data=args.data):
        print(ratio.in_words, flush=True)


def ratios(*, quick: bool, only: Collection[str] | None = None) -> list[Ratio]:
    """Published over ours: the whole pass, and the host's part at COCO's size."""
    return measure(quick=quick, threads=1, data=DATA, only=only)


def measure(*, quick: bool, threads: int, data: Path, only: Collection[str] | None = None) -> list[Ratio]:
    """`ratios` with a choice of threads and data."""
    num_persons, rounds = (BATCH, 2) if quick else (2 * BATCH, 3)
    found = []
    with Side(threads=threads, keep_memory=False) as plain, Side(threads=threads) as ours:
        if wanted(only, "validation pass"):
            found.append(
                whole_pass(plain, ours, data, num_persons=num_persons, rounds=rounds, threads=threads)
            )
        if wanted(only, "results and AP") and (data / "coco_val2017_eval").is_dir():
            found.append(
                host_part(
                    plain, ours, data, share=0.05 if quick else 1.0, rounds=2 if quick else 3, threads=threads
                )
            )
    return found


def whole_pass(
    plain: Side,
    ours: Side,
    data: Path,
    *,
    num_persons: int,
    rounds: int,
    threads: int,
    bf16: bool = False,
) -> Ratio:
    """Seconds a person, from the photograph to AP; `bf16` is about ours, the published way is float32 always."""
    with tempfile.TemporaryDirectory() as folder:
        where = validation_files(data, Path(folder))
        our_run = ours.made(our_pass, *where, num_persons, bf16)
        times = in_turns(
            plain.made(plain_pass, *where, num_persons),
            our_run,
            rounds=rounds,
            clock=clock_of([plain, ours]),
            warm_up=[our_run],
        )
        require_same_ap(plain, ours, within=2e-3)
    plain_ms, ours_ms = (1e3 * float(np.median(column)) / num_persons for column in zip(*times, strict=True))
    return Ratio.of(
        f"validation pass, {'published in float32 / ours in bf16' if bf16 else 'published / ours'}",
        [theirs / own for theirs, own in times],
        aim=5.0,
        detail=f"{plain_ms:.0f} and {ours_ms:.0f} ms a person, S-V1, flip test, batch {BATCH}, {threads} thread(s)",
    )


def require_same_ap(plain: Side, ours: Side, *, within: float) -> None:
    """Raises RuntimeError when the two sides did not do the same work."""
    if abs(plain.result - ours.result) > within:
        raise RuntimeError(f"AP differs: {plain.result} the published way, {ours.result} ours")


def validation_files(data: Path, folder: Path) -> tuple[str, str]:
    """Annotations and pictures: the shared photographs, or else drawn people."""
    shared = data / "coco_tiny"
    if shared.is_dir():
        return str(shared / "person_keypoints_val.json"), str(shared / "images")
    make_dataset(folder / "drawn", num_train_images=1, num_val_images=40)
    return str(folder / "drawn/annotations/person_keypoints_val2017.json"), str(folder / "drawn/val2017")


def persons_of(ann_file: str, images: str, num_persons: int) -> tuple[PoseDataset, dict[str, Any]]:
    """The first annotated persons with their annotations."""
    table = load_coco(Path(ann_file), Path(images), COCO17)
    persons = table.ground_truth_persons()
    dataset = PoseDataset(
        table,
        PersonTable(**{field.name: getattr(persons, field.name)[:num_persons] for field in fields(persons)}),
        image_size_wh=SIZE_WH,
        augmentation=None,
    )
    used = {int(table.image_ids[row]) for row in dataset.persons.image_index}
    truth = json.loads(Path(ann_file).read_text())
    for name, key in (("images", "id"), ("annotations", "image_id")):
        truth[name] = [entry for entry in truth[name] if entry[key] in used]
    return dataset, truth


def made_model() -> SDPose:
    """Random weights, the same on both sides, with heatmaps that have a peak."""
    torch.manual_seed(0)
    return create_model("sdpose_s_v1").eval()


# Ours --------------------------------------------------------------------------------------------------------------


def our_pass(ann_file: str, images: str, num_persons: int, bf16: bool) -> Callable[[], float]:
    """As `sdpose.evaluate` does it; gives AP."""
    dataset, truth = persons_of(ann_file, images, num_persons)
    machine = Machine(torch.device("cpu"), bf16=bf16, channels_last=True)
    model = machine.place(fuse_batch_norm(made_model()))
    normalize = ImageNormalizer()

    def forward(crops: Tensor) -> Tensor:
        with machine.autocast():
            heatmaps: Tensor = model(normalize(crops))
        return heatmaps.float()

    def run() -> float:
        predictions = predict_batches(
            forward,
            EvalLoader(dataset, BATCH, num_workers=0),
            dataset.persons,
            image_ids=dataset.table.image_ids,
            num_keypoints=17,
            flip_index=COCO17.flip_index,
        )
        return our_host_part(predictions, truth)

    return run


def our_host_part(predictions: PosePredictions, truth: dict[str, Any]) -> float:
    """From poses to the results file and AP with everything that is kept of an evaluation."""
    results = to_coco_results(predictions, sigmas=COCO17.sigmas)
    with tempfile.TemporaryDirectory() as folder:
        write_atomically(Path(folder) / "result_keypoints.json", lambda file: save_results(file, results))
    scores = score_results(truth, results, COCO17.sigmas)
    return scores.metrics["AP"]


# The published way -------------------------------------------------------------------------------------------------


def plain_pass(ann_file: str, images: str, num_persons: int) -> Callable[[], float]:
    """The same persons in the published order of work; gives AP."""
    cv2.setNumThreads(0)
    dataset, truth = persons_of(ann_file, images, num_persons)
    model, reference = made_model(), load_reference()
    flip_index = list(COCO17.flip_index)

    @torch.no_grad()
    def run() -> float:
        poses, boxes = [], []
        for start in range(0, len(dataset), BATCH):
            rows = list(range(start, min(start + BATCH, len(dataset))))
            batch = plain_evaluation_batch(dataset, rows)
            heatmaps = plain_heatmaps(model, batch).numpy()
            turned = plain_heatmaps(model, batch.flip(3)).numpy()[:, flip_index, :, ::-1]
            turned[..., 1:] = turned[..., :-1].copy()
            coords, scores = reference.decode((heatmaps + turned) * 0.5, "unbiased")
            for row, places, maxima in zip(rows, coords, scores, strict=True):
                pose, box = plain_pose(dataset, row, places, maxima)
                poses.append(pose)
                boxes.append(box)
        return plain_host_part(poses, boxes, truth)

    return run


def plain_pose(
    dataset: PoseDataset, row: int, places: NDArray, maxima: NDArray
) -> tuple[NDArray, dict[str, Any]]:
    """Joints (17, 3) in image pixels and the box, of one person."""
    center, scale = box_to_center_scale(dataset.persons.boxes_xywh[row], aspect_ratio=0.75)
    size = scale * 200
    pose = np.zeros((17, 3), np.float32)
    pose[:, :2] = places * (size / np.array([48, 64])) + center - size / 2
    pose[:, 2] = maxima
    return pose, {
        "center": center.tolist(),
        "scale": scale.tolist(),
        "area": float(size[0] * size[1]),
        "score": float(dataset.persons.box_scores[row]),
        "image_id": int(dataset.table.image_ids[dataset.persons.image_index[row]]),
    }


def plain_host_part(poses: list[NDArray], boxes: list[dict[str, Any]], truth: dict[str, Any]) -> float:
    """Rescoring, suppression and results person by person, JSON as Python writes it, pycocotools."""
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    by_image = defaultdict(list)
    for pose, box in zip(poses, boxes, strict=True):
        seen = [score for score in pose[:, 2] if score > 0.2]
        score = float(box["score"] * (sum(seen) / len(seen) if seen else 0))
        by_image[box["image_id"]].append((score, pose, box))
    results = []
    for image_id, persons in by_image.items():
        for score, pose, box in plain_suppression(persons):
            results.append(
                {
                    "image_id": image_id,
                    "category_id": 1,
                    "keypoints": pose.flatten().tolist(),
                    "score": score,
                    "center": box["center"],
                    "scale": box["scale"],
                }
            )
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "result_keypoints.json"
        with open(path, "w", encoding="utf-8") as file:
            json.dump(results, file, sort_keys=True, indent=4)
        annotations = COCO()
        annotations.dataset = json.loads(json.dumps(truth))
        quietly(annotations.createIndex)
        evaluation = COCOeval(annotations, quietly(lambda: annotations.loadRes(str(path))), "keypoints")
        for step in (evaluation.evaluate, evaluation.accumulate, evaluation.summarize):
            quietly(step)
    return float(evaluation.stats[0])


def plain_suppression(
    persons: list[tuple[float, NDArray, dict[str, Any]]],
) -> list[tuple[float, NDArray, dict]]:
    """Keep the best, drop what is too like it, and so on."""
    left = sorted(persons, key=lambda person: -person[0])
    kept = []
    while left:
        best, *left = left
        kept.append(best)
        left = [person for person in left if plain_oks(best, person) <= 0.9]
    return kept


def plain_oks(one: tuple[float, NDArray, dict], other: tuple[float, NDArray, dict]) -> float:
    """Of one pair of poses."""
    squared = (one[1][:, 0] - other[1][:, 0]) ** 2 + (one[1][:, 1] - other[1][:, 1]) ** 2
    area = (one[2]["area"] + other[2]["area"]) / 2 + np.spacing(1)
    return float(np.exp(-squared / (2 * SIGMAS) ** 2 / area / 2).sum() / len(squared))


def quietly(step: Callable[[], Any]) -> Any:
    """Without pycocotools' prints."""
    with redirect_stdout(io.StringIO()):
        return step()


# The host at COCO's size ---------------------------------------------------------------------------------------------


def host_part(plain: Side, ours: Side, data: Path, *, share: float, rounds: int, threads: int) -> Ratio:
    """Seconds from poses to AP, for `share` of COCO val2017's size."""
    times = in_turns(
        plain.made(plain_host_at_size, str(data), share),
        ours.made(our_host_at_size, str(data), share),
        rounds=rounds,
        clock=clock_of([plain, ours]),
    )
    require_same_ap(plain, ours, within=1e-6)
    plain_s, ours_s = (float(np.median(column)) for column in zip(*times, strict=True))
    return Ratio.of(
        "results and AP at COCO's size, published / ours",
        [theirs / own for theirs, own in times],
        detail=f"{plain_s:.2f} and {ours_s:.2f} s for {share:.0%} of 5,000 images and 22,000 boxes, "
        f"{threads} thread(s)",
    )


def our_host_at_size(data: str, share: float) -> Callable[[], float]:
    """`our_host_part` with its input made beforehand."""
    predictions, truth = poses_at_size(Path(data), share)
    return lambda: our_host_part(predictions, truth)


def plain_host_at_size(data: str, share: float) -> Callable[[], float]:
    """`plain_host_part` with its input made beforehand."""
    predictions, truth = poses_at_size(Path(data), share)
    boxes = [
        {
            "center": predictions.centers[i].tolist(),
            "scale": predictions.scales[i].tolist(),
            "area": float(predictions.areas[i]),
            "score": float(predictions.box_scores[i]),
            "image_id": int(predictions.image_ids[i]),
        }
        for i in range(len(predictions))
    ]
    return lambda: plain_host_part(list(predictions.keypoints), boxes, truth)


def poses_at_size(data: Path, share: float = 1.0) -> tuple[PosePredictions, dict[str, Any]]:
    """22,000 boxes in 5,000 images, times `share`: real annotations and boxes with drawn poses, copied."""
    source, boxes = val2017(data)
    num_images = len(source["images"])
    boxes = sorted(boxes, key=lambda box: -box["score"])[: 22_000 * num_images // 5000]
    one = box_poses(source, boxes, 1, 1.0).sorted_once()
    copies = max(1, round(5000 * share / num_images))
    truth = {**source, "images": [], "annotations": []}
    parts = []
    for copy in range(copies):
        offset = 10_000_000 * copy
        truth["images"] += [{**it, "id": it["id"] + offset} for it in source["images"]]
        truth["annotations"] += [{**it, "image_id": it["image_id"] + offset} for it in source["annotations"]]
        parts.append(replace(one, image_ids=one.image_ids + offset, bbox_ids=one.bbox_ids + offset))
    for number, annotation in enumerate(truth["annotations"], start=1):
        annotation["id"] = number
    return PosePredictions.concatenate(parts), truth


def stages(data: Path) -> dict[str, float]:
    """Seconds of processor time of each stage of our host part at COCO's size."""
    predictions, truth = poses_at_size(data)
    spent: dict[str, float] = {}

    def timed(name: str, action: Callable[[], Any]) -> Any:
        started_at = time.process_time()
        result = action()
        spent[name] = time.process_time() - started_at
        return result

    timed("sorting", predictions.sorted_once)
    results = timed("rescoring and suppression", lambda: to_coco_results(predictions, sigmas=COCO17.sigmas))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "results.json"
        timed("results file", lambda: write_atomically(path, lambda file: save_results(file, results)))
        (Path(folder) / "truth.json").write_text(json.dumps(truth))
        scores = timed(
            "AP, reading the annotations",
            lambda: score_results(Path(folder) / "truth.json", results, COCO17.sigmas),
        )
    evaluation = timed("matches and errors", lambda: Evaluation.of(scores.scene, COCO17))
    timed("interval of AP", evaluation.interval)
    return spent


if __name__ == "__main__":
    main()
