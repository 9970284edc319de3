"""From the disk to the network: our training and evaluation input against the published order of work.

The published way, written here from the specification: each person decodes its photograph, turns the whole of
it to RGB, mirrors the whole of it, warps, makes floats, normalises, and draws its target maps one joint at a
time. Ours hands over uint8 crops; what is left to do, normalising and drawing targets for the whole batch, is
a device's work and stands in lines of its own, here done by the same core.

Both sides take turns on one core, over the same persons; medians of process time, so that a busy machine does
not count.

    python benchmarks/data.py [--data ../shared/data/coco_tiny] [--persons 177] [--rounds 7]
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from sdpose.data.augment import Augmentation, mirror_joints
from sdpose.data.coco import load_coco
from sdpose.data.dataset import PoseDataset, SampleKey
from sdpose.data.loader import PoseBatch, epoch_order
from sdpose.geometry import affine_matrix, apply_affine, box_to_center_scale, fit_aspect_ratio
from sdpose.heatmaps import encode_heatmaps
from sdpose.models.normalize import IMAGENET_MEAN, IMAGENET_STD, ImageNormalizer
from sdpose.skeleton import COCO17

SIZE_WH = (192, 256)
HEATMAP_WH = (48, 64)
BATCH = 32


def main() -> None:
    parser = argparse.ArgumentParser(
        description="Input time a person on one core, ours and the published way."
    )
    parser.add_argument("--data", type=Path, default=Path(__file__).parents[2] / "shared/data/coco_tiny")
    parser.add_argument("--persons", type=int, default=177, help="how many persons a round")
    parser.add_argument("--rounds", type=int, default=7)
    args = parser.parse_args()
    torch.set_num_threads(1)
    cv2.setNumThreads(0)

    evaluation = make_dataset(args.data, "val", None)
    training = make_dataset(args.data, "train", Augmentation())
    in_order = np.arange(min(args.persons, len(evaluation)))
    shuffled = epoch_order(len(training), 0, 0, 0, 1, True)[: args.persons]
    print(f"{args.data.name}: {len(in_order)} persons for evaluation, {len(shuffled)} for training, one core")
    print(f"median of {args.rounds} rounds, ms a person{'published':>16}{'ours':>10}{'ratio':>9}")

    plain, ours = medians_ms(
        lambda: [plain_evaluation_batch(evaluation, rows) for rows in in_batches(in_order)],
        lambda: our_batches(evaluation, in_order),
        args.rounds,
    )
    normalize = ImageNormalizer()
    batches = our_batches(evaluation, in_order)
    rest, _ = medians_ms(lambda: [normalize(batch.images) for batch in batches], lambda: None, args.rounds)
    report("evaluation input", plain, ours, len(in_order))
    report("  with normalisation", plain, ours + rest, len(in_order))

    plain, ours = medians_ms(
        lambda: [plain_training_batch(training, rows) for rows in in_batches(shuffled)],
        lambda: our_batches(training, shuffled),
        args.rounds,
    )
    batches = our_batches(training, shuffled)
    rest, _ = medians_ms(
        lambda: [on_the_device(normalize, batch) for batch in batches], lambda: None, args.rounds
    )
    report("training input", plain, ours, len(shuffled))
    report("  with normalisation and targets", plain, ours + rest, len(shuffled))


def make_dataset(folder: Path, part: str, augmentation: Augmentation | None) -> PoseDataset:
    table = load_coco(folder / f"person_keypoints_{part}.json", folder / "images", COCO17)
    persons = table.ground_truth_persons()
    return PoseDataset(table, persons, image_size_wh=SIZE_WH, augmentation=augmentation)


def medians_ms(plain: Callable[[], object], ours: Callable[[], object], rounds: int) -> tuple[float, float]:
    """Median process time of each, taken in turns after one round to warm up."""
    times: tuple[list[float], list[float]] = ([], [])
    for number in range(rounds + 1):
        for action, measured in zip((plain, ours), times, strict=True):
            started_at = time.process_time()
            action()
            if number:
                measured.append(time.process_time() - started_at)
    return float(np.median(times[0])) * 1e3, float(np.median(times[1])) * 1e3


def report(what: str, plain: float, ours: float, num_persons: int) -> None:
    print(f"{what:<33}{plain / num_persons:>18.2f}{ours / num_persons:>10.2f}{plain / ours:>8.1f}x")


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
