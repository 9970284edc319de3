"""How the cost of everything grows: with the batch, the image, the persons in it, the data set, workers and processes.

    python -m benchmarks.growth                       # all curves, some six minutes
    python -m benchmarks.growth --only image batch    # some of them
    python -m benchmarks.growth --write               # keep the points in benchmarks/growth.json
    python -m benchmarks.growth --quick               # the ratios of `benchmarks.quick` alone

Networks run on one thread and are measured in processor time, so that a busy machine does not count; workers and
processes are measured by the clock on the wall and need a quiet one. A point is the best of several repeats, each long
enough for the clock; the repeats of all points take turns, so that a slow moment is not one point's. For each curve:
the law through the points, how far the worst point is from it, the exponent of the best power law, and how far apart
the repeats were, which is what a law can be held to.
"""

from __future__ import annotations

import argparse
import dataclasses
import gc
import json
import math
import tempfile
import time
from collections.abc import Callable, Collection, Sequence
from contextlib import closing
from dataclasses import asdict
from functools import cache, partial
from multiprocessing import active_children
from pathlib import Path
from statistics import mean, median
from typing import NamedTuple

import cv2
import numpy as np
import torch

from benchmarks.busy import Moment, busy_since, cpu_name
from benchmarks.coco_size import write_annotations
from benchmarks.curve import Curve
from benchmarks.processes import as_text, measure
from benchmarks.ratio import Ratio, in_turns, wanted
from benchmarks.startup import PHOTOGRAPHS_A_SIZE, draw_photographs, photograph_of
from sdpose.data.augment import Augmentation
from sdpose.data.coco import CocoKeypoints, load_coco
from sdpose.data.dataset import PoseDataset, SampleKey
from sdpose.data.image_paths import PathList
from sdpose.data.loader import TrainLoader, epoch_order
from sdpose.data.persons import PersonTable
from sdpose.evaluation.oks import oks_nms
from sdpose.models import ImageNormalizer, SDPose, SDPoseLoss, create_model, keep_freed_memory, total_loss
from sdpose.models.complexity import count
from sdpose.skeleton import COCO17

KEPT = Path(__file__).with_name("growth.json")
COCO_PERSONS = 149_813
SIZE_WH = (640, 480)
CROP_WH = (192, 256)
SET_SIZES = (15_000, 50_000, 150_000, 500_000, 1_500_000)
"""Persons; the largest is ten times COCO."""
LEAST_S = 0.02
_CPU = time.process_time


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", nargs="+", choices=(*CURVES, "processes"), metavar="NAME")
    parser.add_argument("--write", action="store_true")
    parser.add_argument("--quick", action="store_true")
    args = parser.parse_args()
    one_thread()
    if args.quick:
        for ratio in ratios(quick=True):
            print(f"{ratio.name:<70}{ratio.value:>8.3f}   {ratio.detail}")
        return
    start, found = Moment.now(), {}
    for name in args.only or (*CURVES, "processes"):
        if name == "processes":
            two = measure(samples=4, rounds=5)
            print(as_text(two), flush=True)
            found["processes"] = asdict(two)
            continue
        curve = CURVES[name]()
        print(f"{curve.name}\n  {curve.in_words()}{curve.detail and '; '}{curve.detail}")
        print("  " + "  ".join(f"{x:g}: {y:.4g}" for x, y in zip(curve.x, curve.y, strict=True)), flush=True)
        found[name] = asdict(curve)
    if args.write:
        kept = json.loads(KEPT.read_text(encoding="utf-8")) if KEPT.exists() else {}
        text = json.dumps({**kept, **found, "cpu": cpu_name(), "warning": busy_since(start)}, indent=1)
        KEPT.write_text(text + "\n", encoding="utf-8")


def ratios(*, quick: bool, only: Collection[str] | None = None) -> list[Ratio]:
    """What may not grow: cost an image with the batch, cost a person with the crowd, start of an epoch with the set."""
    one_thread()
    found: list[Ratio] = []
    if wanted(only, "growth: evaluation pass"):
        found += _network_ratios(3 if quick else 7)
    if wanted(only, "growth: evaluation input", "growth: order"):
        found += _data_ratios(5 if quick else 15)
    return found


def _network_ratios(rounds: int) -> list[Ratio]:
    model = create_model("sdpose_s_v1").eval()
    one, many = crops(1), crops(8)
    batch = in_turns(lambda: [model(one) for _ in range(2)], lambda: model(many), rounds=rounds, clock=_CPU)
    large_hw = (384, 288)
    large, large_model = crops(1, large_hw), model_for(large_hw)
    image = in_turns(
        lambda: [model(one) for _ in range(2)], lambda: large_model(large), rounds=rounds, clock=_CPU
    )
    pixels = large_hw[0] * large_hw[1] / (256 * 192)
    return [
        Ratio.of(
            "growth: evaluation pass of S-V1, an image at batch 8 / at batch 1",
            [many_s / 8 / (one_s / 2) for one_s, many_s in batch],
            better="lower",
            aim=1.0,
            detail=f"{median(one_s for one_s, _ in batch) / 2 * 1e3:.0f} ms at batch 1, one thread",
        ),
        Ratio.of(
            "growth: evaluation pass of S-V1, a pixel at 384x288 / at 256x192",
            [large_s / pixels / (small_s / 2) for small_s, large_s in image],
            better="lower",
            detail=f"{median(large_s for _, large_s in image) * 1e3:.0f} ms at 384x288, one thread",
        ),
    ]


def _data_ratios(rounds: int) -> list[Ratio]:
    with tempfile.TemporaryDirectory() as folder:
        draw_photographs(Path(folder), [SIZE_WH])
        alone, crowd = (people_in_images(Path(folder), num) for num in (1, 16))
        input_ = in_turns(lambda: crops_of(alone), lambda: crops_of(crowd), rounds=rounds, clock=_CPU)
        # Of many persons a photograph, since it is quicker made; the order knows persons alone.
        sets = [repeated(crowd, factor * COCO_PERSONS) for factor in (1, 10)]
        start = in_turns(
            lambda: first_batch_s(sets[0], 0), lambda: first_batch_s(sets[1], 0), rounds=rounds, clock=_CPU
        )
    return [
        Ratio.of(
            "growth: evaluation input, a person of 16 in an image / of 1",
            [crowd_s / 16 / alone_s for alone_s, crowd_s in input_],
            better="lower",
            detail="an image is decoded once for all persons in it",
        ),
        Ratio.of(
            "growth: order of an epoch and its first batch, 10 x COCO / COCO",
            [large_s / small_s for small_s, large_s in start],
            better="lower",
            aim=10.0,
            detail=f"{median(large_s for _, large_s in start) * 1e3:.0f} ms at 1.5 million persons",
        ),
    ]


def batch_curve() -> Curve:
    """Cost of an evaluation pass against the batch."""
    model = create_model("sdpose_s_v1").eval()
    sizes = (1, 2, 4, 8, 16)
    points = best_of([partial(model, crops(size)) for size in sizes], rounds=4)
    return curve("evaluation pass of S-V1 against the batch", "image", "ms", sizes, points)


def training_curve() -> Curve:
    """Cost of a training step against the batch."""
    model, loss = create_model("sdpose_s_v1").train(), SDPoseLoss()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-5)
    sizes = (1, 2, 4, 8, 16)

    def step(images: torch.Tensor) -> None:
        target, weight = torch.rand(len(images), 17, 64, 48), torch.ones(len(images), 17, 1)
        terms = loss(model.forward_cycles(images), target, weight)
        optimizer.zero_grad()
        total_loss(terms).backward()
        optimizer.step()

    with torch.enable_grad():
        points = best_of([partial(step, crops(size)) for size in sizes], rounds=3)
    return curve("training step of S-V1 against the batch", "image", "ms", sizes, points)


def image_curve() -> Curve:
    """Cost of an evaluation pass against the pixels of the crop."""
    sizes = ((128, 96), (192, 144), (256, 192), (320, 240), (384, 288))
    models = [model_for(size) for size in sizes]
    macs = [
        count(model, size)[-1].one_cycle.macs_with_attention / 1e9
        for model, size in zip(models, sizes, strict=True)
    ]
    points = best_of(
        [partial(model, crops(2, size)) for model, size in zip(models, sizes, strict=True)], rounds=5
    )
    return curve(
        "evaluation pass of S-V1 against the image",
        "1000 pixels",
        "ms",
        [height * width / 1e3 for height, width in sizes],
        points,
        things=2,
        degree=2,  # attention
        detail="GMACs by count " + ", ".join(f"{each:.2f}" for each in macs),
    )


def crowd_curve() -> Curve:
    """Cost of an image's evaluation input against the persons in it."""
    nums = (1, 2, 4, 8, 16, 32)
    with tempfile.TemporaryDirectory() as folder:
        draw_photographs(Path(folder), [SIZE_WH])
        sets = [people_in_images(Path(folder), num) for num in nums]
        points = best_of([partial(crops_of, data) for data in sets], rounds=10)
    return curve(
        "evaluation input of a 640x480 image against its persons",
        "person",
        "ms",
        nums,
        points,
        things=PHOTOGRAPHS_A_SIZE,
    )


def suppression_curve() -> Curve:
    """Cost of OKS suppression in an image against the boxes in it."""
    rng = np.random.default_rng(0)
    nums = (1, 2, 4, 8, 16, 32, 64, 128)
    acts = []
    for num in nums:
        joints, areas, scores = rng.uniform(0, 640, (num, 17, 3)), rng.uniform(1e3, 1e5, num), rng.random(num)
        acts.append(partial(oks_nms, joints, areas, scores, COCO17.sigmas, 0.9))
    points = best_of(acts, rounds=15)
    return curve("suppression in an image against its boxes", "box", "ms", nums, points, degree=2)


def annotations_curve(most: int = 1_500_000) -> Curve:
    """Processor seconds to read an annotation file against the persons in it."""
    sizes = [size for size in SET_SIZES if size <= most]
    taken, table_mb = [], 0.0
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "persons.json"
        for size in sizes:
            write_annotations(path, size)
            # As often as half a million persons allow, and twice at least.
            taken.append(
                [
                    spent_s(partial(load_coco, path, folder, COCO17), 1)
                    for _ in range(max(2, min(7, 500_000 // size)))
                ]
            )
            path.unlink()
            gc.collect()
        write_annotations(path, SET_SIZES[0])
        persons = load_coco(path, folder, COCO17).ground_truth_persons()
        columns = (getattr(persons, each.name) for each in dataclasses.fields(persons))
        table_mb = sum(column.nbytes for column in columns) * sizes[-1] / SET_SIZES[0] / 1e6
    return curve(
        "reading annotations against the persons",
        "1000 persons",
        "s",
        [size / 1e3 for size in sizes],
        Points.of(taken),
        factor=1,
        detail=f"{table_mb:.0f} MB in memory at {sizes[-1]:,} persons",
    )


def order_curve() -> Curve:
    """Cost of an epoch's order against the persons in the set."""
    acts = [partial(epoch_order, size, 0, 0, 0, 1, True) for size in SET_SIZES]
    x = [size / 1e3 for size in SET_SIZES]
    return curve("order of an epoch against the persons", "1000 persons", "ms", x, best_of(acts, rounds=9))


def loader_curve() -> Curve:
    """Milliseconds on the wall from nothing to the first batch of 2 workers, against the persons in the set."""
    with tempfile.TemporaryDirectory() as folder:
        draw_photographs(Path(folder), [SIZE_WH])
        small = people_in_images(Path(folder), 1)
        sets = [repeated(small, size) for size in SET_SIZES]
        first_batch_s(sets[0], 2, time.perf_counter)
        taken = [[first_batch_s(data, 2, time.perf_counter) for data in sets] for _ in range(11)]
    return curve(
        "start of 2 workers and the first batch against the persons",
        "1000 persons",
        "ms",
        [size / 1e3 for size in SET_SIZES],
        Points.of(list(zip(*taken, strict=True))),
    )


def memory_curve() -> Curve:
    """Megabytes that a worker shares with no other process, against the persons in the set."""
    sizes = (15_000, 150_000, 1_500_000)
    megabytes = []
    with tempfile.TemporaryDirectory() as folder:
        draw_photographs(Path(folder), [SIZE_WH])
        small = people_in_images(Path(folder), 1, Augmentation())
        for size in sizes:
            loader = TrainLoader(repeated(small, size), 64, num_workers=2, seed=0)
            with closing(loader), closing(loader.batches(0)) as batches:
                for _ in range(6):
                    next(batches)
                megabytes.append(mean(private_mb(child.pid) for child in active_children()))
    x = [size / 1e3 for size in sizes]
    points = Points(megabytes, [])
    return curve("memory of a worker against the persons", "1000 persons", "MB", x, points, factor=1)


def private_mb(process: int) -> float:
    """What the process shares with no other."""
    lines = Path(f"/proc/{process}/smaps_rollup").read_text(encoding="ascii").splitlines()
    return sum(int(line.split()[1]) for line in lines if line.startswith("Private_")) / 1e3


def workers_curve() -> Curve:
    """Milliseconds on the wall between batches of 64, against the number of workers; 0 works in the process itself."""
    nums = (0, 1, 2, 4)
    with tempfile.TemporaryDirectory() as folder:
        draw_photographs(Path(folder), [SIZE_WH])
        data = repeated(people_in_images(Path(folder), 2, Augmentation()), 64 * 200)
        taken = [[between_batches_s(data, num) for num in nums] for _ in range(3)]
    return curve(
        "time a batch of 64 against the workers",
        "worker",
        "ms",
        [max(num, 0.5) for num in nums],
        Points.of(list(zip(*taken, strict=True))),
        detail="0 workers stand at 0.5",
    )


CURVES: dict[str, Callable[[], Curve]] = {
    "batch": batch_curve,
    "training": training_curve,
    "image": image_curve,
    "crowd": crowd_curve,
    "suppression": suppression_curve,
    "annotations": annotations_curve,
    "order": order_curve,
    "loader": loader_curve,
    "memory": memory_curve,
    "workers": workers_curve,
}


class Points(NamedTuple):
    """What was measured at each size, and how far the middle repeat was above the best one, in parts of it."""

    best: Sequence[float]
    noise: Sequence[float]

    @classmethod
    def of(cls, taken: Sequence[Sequence[float]]) -> Points:
        """The best of the repeats at each size: other work only lengthens, and it is the shape that counts here."""
        return cls([min(each) for each in taken], [median(each) / min(each) - 1 for each in taken])


def curve(
    name: str,
    x_name: str,
    unit: str,
    x: Sequence[float],
    points: Points,
    *,
    factor: float = 1e3,
    things: int = 1,
    degree: int = 1,
    detail: str = "",
) -> Curve:
    """Of the cost of `things` at each size, in seconds or what else `factor` makes `unit` of."""
    return Curve(
        name=name,
        x_name=x_name,
        unit=unit,
        x=tuple(float(each) for each in x),
        y=tuple(factor * each / things for each in points.best),
        detail=detail,
        degree=degree,
        noise=tuple(points.noise),
    )


def best_of(acts: Sequence[Callable[[], object]], *, rounds: int) -> Points:
    """Processor seconds of a call of each, in turns, after one to warm up."""
    nums = [enough_calls(act) for act in acts]
    taken = [[spent_s(act, num) for act, num in zip(acts, nums, strict=True)] for _ in range(rounds)]
    return Points.of(list(zip(*taken, strict=True)))


def enough_calls(act: Callable[[], object]) -> int:
    """So many that they take at least LEAST_S together, a few thousand times what the clock can tell apart."""
    act()
    num = 1
    while (each_s := spent_s(act, num)) * num < LEAST_S:
        num = max(2 * num, math.ceil(LEAST_S / max(each_s, 1e-9)))
    return num


def spent_s(act: Callable[[], object], num_calls: int) -> float:
    """Processor seconds of one of so many calls."""
    started_at = _CPU()
    for _ in range(num_calls):
        act()
    return (_CPU() - started_at) / num_calls


def one_thread() -> None:
    torch.set_num_threads(1)
    cv2.setNumThreads(0)
    torch.set_grad_enabled(False)
    keep_freed_memory()


@cache
def model_for(size_hw: tuple[int, int]) -> SDPose:
    """S-V1 for another image: features and heatmaps are a quarter of it, patches as published."""
    quarter = (size_hw[0] // 4, size_hw[1] // 4)
    return create_model("sdpose_s_v1", feature_size_hw=quarter, heatmap_size_hw=quarter).eval()


def crops(num: int, size_hw: tuple[int, int] = (256, 192)) -> torch.Tensor:
    """Normalised noise (num, 3, H, W)."""
    made: torch.Tensor = ImageNormalizer()(torch.randint(0, 256, (num, *size_hw, 3), dtype=torch.uint8))
    return made


def people_in_images(folder: Path, num_persons: int, augmentation: Augmentation | None = None) -> PoseDataset:
    """The drawn photographs with as many boxes in each, drawn at random."""
    rng = np.random.default_rng(num_persons)
    rows = np.repeat(np.arange(PHOTOGRAPHS_A_SIZE), num_persons)
    boxes = rng.uniform((0, 0, 60, 120), (300, 200, 300, 280), (len(rows), 4))
    joints = boxes[:, None, :2] + rng.random((len(rows), 17, 2)) * boxes[:, None, 2:]
    table = PersonTable(
        image_index=rows.astype(np.int32),
        boxes_xywh=boxes,
        joints=joints.astype(np.float32),
        visible=np.ones((len(rows), 17), np.float32),
        box_scores=np.ones(len(rows), np.float32),
        bbox_ids=np.arange(len(rows)),
    )
    names = [photograph_of(folder, SIZE_WH, index).name for index in range(PHOTOGRAPHS_A_SIZE)]
    return dataset_of(str(folder), names, table, augmentation)


def repeated(data: PoseDataset, num_persons: int) -> PoseDataset:
    """The same persons and photographs again and again, each time under another name of the photograph."""
    times = -(-num_persons // len(data))
    num_images = len(data.table.image_paths)
    columns = {
        each.name: np.concatenate([getattr(data.persons, each.name)] * times)[:num_persons]
        for each in dataclasses.fields(data.persons)
    }
    columns["image_index"] += np.repeat(np.arange(times, dtype=np.int32) * num_images, len(data))[
        :num_persons
    ]
    # "./" before a name is another name.
    names = [
        "./" * (number % 3) + Path(path).name for number in range(times) for path in data.table.image_paths
    ]
    return dataset_of(data.table.image_paths.folder, names, PersonTable(**columns), data.augmentation)


def dataset_of(
    folder: str, names: list[str], persons: PersonTable, augmentation: Augmentation | None
) -> PoseDataset:
    table = CocoKeypoints(
        ann_file=Path(folder) / "drawn.json",
        skeleton=COCO17,
        image_ids=np.arange(len(names), dtype=np.int64),
        image_paths=PathList(folder, names),
        image_sizes_wh=np.tile(np.array(SIZE_WH, np.int32), (len(names), 1)),
        has_annotations=True,
        notes=(),
        _persons=persons,
    )
    return PoseDataset(table, persons, image_size_wh=CROP_WH, augmentation=augmentation)


def crops_of(data: PoseDataset) -> object:
    """Every person's crop, the persons of an image one after the other."""
    return data.__getitems__([SampleKey(0, index) for index in range(len(data))])


def first_batch_s(data: PoseDataset, num_workers: int, clock: Callable[[], float] = _CPU) -> float:
    """Seconds for a loader, its first epoch's order, and one batch of 8."""
    started_at = clock()
    loader = TrainLoader(data, 8, num_workers=num_workers, seed=0)
    with closing(loader), closing(loader.batches(0)) as batches:
        next(batches)
        return clock() - started_at


def between_batches_s(data: PoseDataset, num_workers: int, num_batches: int = 12) -> float:
    """Median seconds on the wall from batch to batch, once all workers are at work."""
    loader = TrainLoader(data, 64, num_workers=num_workers, seed=0)
    with closing(loader), closing(loader.batches(0)) as batches:
        for _ in range(2 * num_workers + 1):  # what was made ahead while nobody took
            next(batches)
        started_at = time.perf_counter()
        for _ in range(num_batches):
            next(batches)
        return (time.perf_counter() - started_at) / num_batches


if __name__ == "__main__":
    main()
