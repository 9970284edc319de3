"""From the disk to the network: annotations, and our training and evaluation input against the published order of work.

The published way, written here from the specification: each person decodes its photograph, turns the whole of
it to RGB, mirrors the whole of it, warps, makes floats, normalises, and draws its target maps one joint at a
time. Ours hands over uint8 crops; what is left to do, normalising and drawing targets for the whole batch, is
a device's work and stands in lines of its own, here done by the same core.

Decoding the JPEG file once a person is the floor without a pack: ours is compared with it too, and a pack goes below.
Annotations of COCO's size are read by us and, for comparison, with Python's json into dicts and lists that are kept.

Both sides take turns on one core, over the same persons; medians of process time, so that a busy machine does
not count for much.

    python -m benchmarks.data [--data ../shared/data/coco_tiny] [--persons 177] [--rounds 7] [--quick]
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import tempfile
import time
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks.coco_size import NUM_PERSONS, write_annotations
from benchmarks.ratio import Ratio, in_turns, wanted
from sdpose.data.augment import Augmentation, mirror_joints
from sdpose.data.coco import load_coco
from sdpose.data.dataset import PoseDataset, SampleKey
from sdpose.data.images import decode
from sdpose.data.loader import PoseBatch, epoch_order
from sdpose.data.packing import make_pack
from sdpose.export.latency import rounds_ms
from sdpose.geometry import affine_matrix, apply_affine, box_to_center_scale, fit_aspect_ratio
from sdpose.heatmaps import encode_heatmaps
from sdpose.models.normalize import IMAGENET_MEAN, IMAGENET_STD, ImageNormalizer
from sdpose.skeleton import COCO17

SIZE_WH = (192, 256)
HEATMAP_WH = (48, 64)
BATCH = 32
PADDING = 1.25
DATA = Path(os.environ.get("SDPOSE_SHARED", Path(__file__).parents[2] / "shared")) / "data/coco_tiny"
# The aims in ms a person, 2.4 and 0.6, by the 1.7 ms that decoding takes on the machine they were set for.
AIM_BY_DECODING, AIM_OF_PACK = 2.4 / 1.7, 0.6 / 1.7


def main() -> None:
    parser = argparse.ArgumentParser(
        description="Input time a person on one core, ours and the published way."
    )
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--persons", type=int, default=177, help="how many persons a round")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument(
        "--quick", action="store_true", help="fewer persons and rounds, a twentieth of COCO's annotations"
    )
    args = parser.parse_args()
    if args.quick:
        args.persons, args.rounds = 64, 5
    num_annotated = NUM_PERSONS // 20 if args.quick else NUM_PERSONS
    print(f"medians of {args.rounds} rounds of {args.persons} persons, one core")
    found = annotation_ratios(num_annotated, args.rounds)
    if args.data.is_dir():
        found += input_ratios(args.data, args.persons, args.rounds)
    else:
        print(f"no photographs in {args.data}: input is not measured (--data DIR, or SDPOSE_SHARED)")
    for ratio in found:
        aim = "" if ratio.aim is None else f" (aim {ratio.aim:.2f})"
        print(f"{ratio.name:<62}{ratio.value:>6.2f} [{ratio.low:.2f}, {ratio.high:.2f}]{aim}  {ratio.detail}")


def ratios(*, quick: bool, only: Collection[str] | None = None) -> list[Ratio]:
    """Of the annotations, and of training and evaluation input where the photographs are at hand."""
    found: list[Ratio] = []
    if wanted(only, "annotations"):
        found += annotation_ratios(NUM_PERSONS // 20 if quick else NUM_PERSONS, 3)
    if wanted(only, "evaluation", "training") and DATA.is_dir():
        found += input_ratios(DATA, 64 if quick else 177, 5 if quick else 7)
    return found


def annotation_ratios(num_persons: int, rounds: int) -> list[Ratio]:
    """A file of COCO's shape, read by us and by Python's json."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "annotations.json"
        write_annotations(path, num_persons)
        times = in_turns(
            lambda: json.loads(path.read_bytes()),
            lambda: load_coco(path, folder, COCO17),
            rounds=min(rounds, 3),
            clock=time.process_time,
        )
        megabytes = path.stat().st_size / 1e6
        gc.collect()
    return [
        ratio_of(
            "annotations: json / ours",
            times,
            f"{num_persons} persons, {megabytes:.0f} MB: {{0:.2f}} s, {{1:.2f}} s",
        )
    ]


def input_ratios(data: Path, num_persons: int, rounds: int) -> list[Ratio]:
    """Published / ours, and ours / decoding alone."""
    torch.set_num_threads(1)
    cv2.setNumThreads(0)
    evaluation = make_dataset(data, "val", None)
    training = make_dataset(data, "train", Augmentation())
    in_order = np.arange(min(num_persons, len(evaluation)))
    shuffled = epoch_order(len(training), 0, 0, 0, 1, True)[:num_persons]
    normalize = ImageNormalizer()
    evaluated = rounds_ms(
        {
            "published": lambda: [plain_evaluation_batch(evaluation, rows) for rows in in_batches(in_order)],
            "ours": lambda: our_batches(evaluation, in_order),
            "normalised": lambda: [normalize(batch.images) for batch in our_batches(evaluation, in_order)],
        },
        num_rounds=rounds,
        clock=time.process_time,
    )
    with tempfile.TemporaryDirectory() as folder:
        pack = Path(folder) / "pack"
        make_pack(pack, training.contents(PADDING), num_workers=0)
        packed = make_dataset(data, "train", Augmentation(), pack)
        trained = rounds_ms(
            {
                "published": lambda: [plain_training_batch(training, rows) for rows in in_batches(shuffled)],
                "ours": lambda: our_batches(training, shuffled),
                "with targets": lambda: [
                    on_the_device(normalize, batch) for batch in our_batches(training, shuffled)
                ],
                "from a pack": lambda: our_batches(packed, shuffled),
                "decoding": lambda: decode_each(training, shuffled),
            },
            num_rounds=rounds,
            clock=time.process_time,
        )

    def ratio(
        name: str, times: Mapping[str, list[float]], first: str, second: str, aim: float | None = None
    ) -> Ratio:
        count = len(in_order) if times is evaluated else len(shuffled)
        pairs = [(a / count, b / count) for a, b in zip(times[first], times[second], strict=True)]
        return ratio_of(name, pairs, "{0:.2f} ms, {1:.2f} ms a person", aim=aim, inverse=aim is not None)

    return [
        ratio("evaluation input: published / ours", evaluated, "published", "ours"),
        ratio("evaluation input, normalised: published / ours", evaluated, "published", "normalised"),
        ratio("training input: published / ours", trained, "published", "ours"),
        ratio(
            "training input, normalised, with targets: published / ours",
            trained,
            "published",
            "with targets",
        ),
        ratio("training input / decoding alone", trained, "ours", "decoding", AIM_BY_DECODING),
        ratio("training input from a pack / decoding alone", trained, "from a pack", "decoding", AIM_OF_PACK),
    ]


def ratio_of(
    name: str,
    times: list[tuple[float, float]],
    detail: str,
    *,
    aim: float | None = None,
    inverse: bool = False,
) -> Ratio:
    """The first time by the second; `inverse` where small is good. `detail` is filled with both medians."""
    medians = np.median(times, axis=0)
    return Ratio.of(
        name,
        [first / second for first, second in times],
        better="lower" if inverse else "higher",
        aim=aim,
        detail=detail.format(*medians),
    )


def make_dataset(
    folder: Path, part: str, augmentation: Augmentation | None, pack: Path | None = None
) -> PoseDataset:
    table = load_coco(folder / f"person_keypoints_{part}.json", folder / "images", COCO17)
    persons = table.ground_truth_persons()
    return PoseDataset(
        table, persons, image_size_wh=SIZE_WH, augmentation=augmentation, padding=PADDING, pack=pack
    )


def decode_each(dataset: PoseDataset, rows: NDArray[np.int64]) -> None:
    """The photograph of each person, decoded and let go."""
    for row in dataset.persons.image_index[rows].tolist():
        width, height = dataset.table.image_sizes_wh[row].tolist()
        decode(dataset.table.image_paths[row], (width, height))


def in_batches(rows: NDArray[np.int64]) -> Iterator[list[int]]:
    for start in range(0, len(rows), BATCH):
        yield rows[start : start + BATCH].tolist()


def our_batches(dataset: PoseDataset, rows: NDArray[np.int64]) -> list[PoseBatch]:
    return [dataset.__getitems__([SampleKey(0, row) for row in some]) for some in in_batches(rows)]


def on_the_device(normalize: ImageNormalizer, batch: PoseBatch) -> object:
    return normalize(batch.images), encode_heatmaps(
        batch.joints, batch.visible, image_size_wh=SIZE_WH, heatmap_size_wh=HEATMAP_WH
    )


def plain_evaluation_batch(dataset: PoseDataset, rows: list[int]) -> torch.Tensor:
    """(N, 3, H, W) float32, one person after the other."""
    images = []
    for row in rows:
        center, scale = box_to_center_scale(dataset.persons.boxes_xywh[row], aspect_ratio=0.75)
        crop, _ = plain_crop(read_rgb(dataset, row), center, scale, 0.0)
        images.append(as_normalized_tensor(crop))
    return torch.stack(images)


def plain_training_batch(dataset: PoseDataset, rows: list[int]) -> tuple[torch.Tensor, ...]:
    """Images (N, 3, H, W), targets (N, K, h, w) and weights (N, K, 1), one person after the other."""
    images, targets, weights = [], [], []
    for row in rows:
        image = read_rgb(dataset, row)
        center, scale = box_to_center_scale(dataset.persons.boxes_xywh[row], aspect_ratio=0.75)
        joints, visible = dataset.persons.joints[row].copy(), dataset.persons.visible[row]
        if np.random.rand() < 0.3:
            center = center + np.random.uniform(-1, 1, 2) * 0.16 * scale * 200
        if np.random.rand() <= 0.5:
            image = np.ascontiguousarray(image[:, ::-1])
            center[0] = image.shape[1] - center[0] - 1
            joints, visible = mirror_joints(joints, visible, COCO17, image.shape[1])
        if visible.sum() > 8 and np.random.rand() < 0.3:
            center, scale = half_body(joints, visible)
        scale = scale * np.clip(np.random.randn() * 0.35 + 1, 0.65, 1.35)
        rotation = np.clip(np.random.randn() * 45, -90, 90)
        crop, matrix = plain_crop(image, center, scale, rotation if np.random.rand() <= 0.6 else 0.0)
        for joint in range(17):
            if visible[joint] > 0:
                joints[joint] = apply_affine(joints[joint], matrix)
        target, weight = plain_target(joints, visible)
        images.append(as_normalized_tensor(crop))
        targets.append(torch.from_numpy(target))
        weights.append(torch.from_numpy(weight))
    return torch.stack(images), torch.stack(targets), torch.stack(weights)


def read_rgb(dataset: PoseDataset, row: int) -> NDArray[np.uint8]:
    path = dataset.table.image_paths[int(dataset.persons.image_index[row])]
    image = cv2.imdecode(np.frombuffer(Path(path).read_bytes(), np.uint8), cv2.IMREAD_COLOR)
    return np.asarray(cv2.cvtColor(image, cv2.COLOR_BGR2RGB), np.uint8)


def half_body(joints: NDArray, visible: NDArray) -> tuple[NDArray, NDArray]:
    halves = [[k for k in half if visible[k] > 0] for half in (COCO17.upper_body, COCO17.lower_body)]
    selected = joints[halves[0] if np.random.randn() < 0.5 and len(halves[0]) > 2 else halves[1] or halves[0]]
    extent = selected.max(axis=0) - selected.min(axis=0)
    return selected.mean(axis=0), fit_aspect_ratio(extent[0], extent[1], 0.75) / 200 * 1.5


def plain_crop(image: NDArray, center: NDArray, scale: NDArray, rotation: float) -> tuple[NDArray, NDArray]:
    matrix = affine_matrix(center, scale, rotation, SIZE_WH)
    return cv2.warpAffine(image, matrix, SIZE_WH, flags=cv2.INTER_LINEAR), matrix


def as_normalized_tensor(crop: NDArray) -> torch.Tensor:
    """ToTensor, then Normalize."""
    image = torch.from_numpy(crop).permute(2, 0, 1).contiguous().float().div(255)
    return image.sub_(torch.tensor(IMAGENET_MEAN).view(3, 1, 1)).div_(
        torch.tensor(IMAGENET_STD).view(3, 1, 1)
    )


def plain_target(joints: NDArray, visible: NDArray) -> tuple[NDArray, NDArray]:
    """Unbiased targets (K, h, w) and weights (K, 1), one joint at a time."""
    width, height = HEATMAP_WH
    target = np.zeros((17, height, width), np.float32)
    weight = visible[:, None].astype(np.float32).copy()
    for joint in range(17):
        x, y = joints[joint] / 4
        if x - 6 >= width or y - 6 >= height or x + 7 < 0 or y + 7 < 0:
            weight[joint] = 0
        if weight[joint] > 0.5:
            columns = np.arange(0, width, 1, np.float32)
            rows = np.arange(0, height, 1, np.float32)[:, None]
            target[joint] = np.exp(-((columns - x) ** 2 + (rows - y) ** 2) / (2 * 2.0**2))
    return target, weight


if __name__ == "__main__":
    main()
