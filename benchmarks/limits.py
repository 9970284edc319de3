"""How far each stage is from what this machine could do at most.

    python -m benchmarks.limits [--write]      # a minute and a half; --write keeps it in benchmarks/limits.json

A stage has a floor: what its unavoidable work takes at the speed that this machine shows on nothing else. For
networks that is a large float32 matrix product, for inputs OpenCV decoding the same JPEG files, for what only moves
numbers the copying of memory that no cache holds. Stage and floor take turns on one thread, in processor time.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from statistics import median

import cv2
import numpy as np
import torch

from benchmarks.busy import Moment, busy_since, cpu_name
from benchmarks.growth import crops, one_thread, people_in_images
from benchmarks.ratio import in_turns
from benchmarks.startup import ROOT, draw_photographs
from sdpose.data.augment import Augmentation
from sdpose.data.coco import load_coco
from sdpose.data.dataset import PoseDataset, SampleKey
from sdpose.heatmaps import decode_heatmaps, encode_heatmaps
from sdpose.models import ImageNormalizer, SDPoseLoss, create_model, total_loss
from sdpose.models.complexity import count
from sdpose.skeleton import COCO17

KEPT = Path(__file__).with_name("limits.json")
SIDE = 1536
COPY_BYTES = 256 * 2**20
PERSONS = 32
MAP_BYTES = 17 * 64 * 48 * 4
CROP_PIXELS = 3 * 256 * 192


@dataclass(frozen=True)
class Distance:
    """A stage, milliseconds a person, and the floor under it in the same run."""

    stage: str
    floor: str
    floor_ms: float
    ours_ms: float

    @property
    def share(self) -> float:
        """How much of the machine's best we reach."""
        return self.floor_ms / self.ours_ms


@dataclass(frozen=True)
class Stage:
    """Something to measure, and the call whose time is its floor once multiplied by `factor`."""

    name: str
    call: Callable[[], object]
    persons: int
    floor: str
    floor_call: Callable[[], object]
    factor: float = 1.0


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--write", action="store_true")
    args = parser.parse_args()
    start = Moment.now()
    speeds = {f"{threads} threads": machine_speeds(threads) for threads in (1, os.cpu_count() or 1)}
    for threads, speed in speeds.items():
        print(f"{threads:<12}" + ", ".join(f"{name} {value:.1f}" for name, value in speed.items()))
    distances = measure(args.rounds)
    print(f"{'stage':<44}{'floor':<26}{'ms':>8}{'ours, ms':>10}{'share':>7}")
    for each in distances:
        print(f"{each.stage:<44}{each.floor:<26}{each.floor_ms:>8.3f}{each.ours_ms:>10.3f}{each.share:>7.2f}")
    if args.write:
        content = {
            "cpu": cpu_name(),
            "warning": busy_since(start),
            "speeds": speeds,
            "stages": [asdict(each) for each in distances],
        }
        KEPT.write_text(json.dumps(content, indent=1) + "\n")


def machine_speeds(threads: int) -> dict[str, float]:
    """The best of some: matrix products, and copying from memory to memory."""
    torch.set_num_threads(threads)
    clock = time.process_time if threads == 1 else time.perf_counter
    a, b, out = torch.randn(SIDE, SIDE), torch.randn(SIDE, SIDE), torch.empty(SIDE, SIDE)
    source, target = torch.ones(COPY_BYTES // 4), torch.empty(COPY_BYTES // 4)
    best = {}
    for name, act, work in (
        ("GFLOP/s float32", partial(torch.mm, a, b, out=out), 2.0 * SIDE**3),
        ("GB/s read and written", partial(target.copy_, source), 2.0 * COPY_BYTES),
    ):
        act()
        times = []
        for _ in range(7):
            started_at = clock()
            act()
            times.append(clock() - started_at)
        best[name] = work / min(times) / 1e9
    return best


def measure(rounds: int) -> list[Distance]:
    """All stages."""
    one_thread()
    found = []
    with tempfile.TemporaryDirectory() as folder:
        stages = [*input_stages(Path(folder)), *memory_stages(), *network_stages()]
        for stage in stages:
            times = in_turns(stage.floor_call, stage.call, rounds=rounds, clock=time.process_time)
            floor_ms, ours_ms = (1e3 * median(each) / stage.persons for each in zip(*times, strict=True))
            found.append(Distance(stage.name, stage.floor, stage.factor * floor_ms, ours_ms))
    return found


def input_stages(folder: Path) -> list[Stage]:
    """Crops against the decoding of the photographs they come from."""
    stages: list[Stage] = []
    for what, augmentation in (("training", Augmentation()), ("evaluation", None)):
        data, source = photographs(folder, augmentation)
        rows = np.unique(data.persons.image_index)[:PERSONS]
        kept = np.flatnonzero(np.isin(data.persons.image_index, rows))
        if augmentation is not None:  # one person an image: in random order nobody shares a photograph
            _, first = np.unique(data.persons.image_index[kept], return_index=True)
            kept = kept[first]
        contents = [np.fromfile(data.table.image_paths[int(row)], np.uint8) for row in rows]
        keys = [SampleKey(0, int(row)) for row in kept]
        stages.append(
            Stage(
                f"{what} input, {len(kept) / len(rows):.1f} persons an image",
                partial(data.__getitems__, keys),
                len(keys),
                f"JPEG decoding, {source}",
                partial(decoded, contents),
            )
        )
    return stages


def photographs(folder: Path, augmentation: Augmentation | None) -> tuple[PoseDataset, str]:
    """COCO's where the shared folder has some, else drawn ones."""
    shared = Path(os.environ.get("SDPOSE_SHARED", ROOT.parent / "shared")) / "data/coco_tiny"
    if shared.is_dir():
        part = "val" if augmentation is None else "train"
        table = load_coco(shared / f"person_keypoints_{part}.json", shared / "images", COCO17)
        return (
            PoseDataset(
                table, table.ground_truth_persons(), image_size_wh=(192, 256), augmentation=augmentation
            ),
            "COCO's",
        )
    if not any(folder.iterdir()):
        draw_photographs(folder, [(640, 480)])
    return people_in_images(folder, 2, augmentation), "drawn ones"


def decoded(contents: list[np.ndarray]) -> None:
    for content in contents:
        cv2.imdecode(content, cv2.IMREAD_COLOR)


def memory_stages() -> list[Stage]:
    """What moves numbers and hardly computes, against copying as many bytes (read once, written once)."""
    source, target = torch.ones(COPY_BYTES // 4), torch.empty(COPY_BYTES // 4)
    copy = partial(target.copy_, source)
    images = torch.randint(0, 256, (PERSONS, 256, 192, 3), dtype=torch.uint8)
    joints, visible = torch.rand(PERSONS, 17, 2) * 192, torch.ones(PERSONS, 17)
    maps = torch.rand(PERSONS, 17, 64, 48) * 0.01
    targets = partial(encode_heatmaps, joints, visible, image_size_wh=(192, 256), heatmap_size_wh=(48, 64))
    maps += targets()[0]
    stages = (
        ("normalisation", partial(ImageNormalizer(), images), CROP_PIXELS * (1 + 4)),
        ("targets", targets, MAP_BYTES),
        ("decoding of heatmaps", partial(decode_heatmaps, maps, post_process="unbiased"), MAP_BYTES),
    )
    return [
        Stage(name, call, PERSONS, "copying memory", copy, PERSONS * num_bytes / (2 * COPY_BYTES))
        for name, call, num_bytes in stages
    ]


def network_stages() -> list[Stage]:
    """S-V1 against a matrix product of as many multiply-adds."""
    a, b, out = torch.randn(SIDE, SIDE), torch.randn(SIDE, SIDE), torch.empty(SIDE, SIDE)
    product = partial(torch.mm, a, b, out=out)
    evaluated, trained = create_model("sdpose_s_v1").eval(), create_model("sdpose_s_v1").train()
    loss, optimizer = SDPoseLoss(), torch.optim.Adam(trained.parameters(), lr=1e-5)
    total = count(evaluated, (256, 192))[-1]
    images, num = crops(8), 8
    target, weight = torch.rand(num, 17, 64, 48), torch.ones(num, 17, 1)

    def step() -> None:
        with torch.enable_grad():
            terms = loss(trained.forward_cycles(images), target, weight)
            optimizer.zero_grad()
            total_loss(terms).backward()
        optimizer.step()

    one, all_cycles = total.one_cycle.macs_with_attention, total.all_cycles.macs_with_attention
    return [
        Stage(name, call, num, "matrix product", product, num * macs / SIDE**3)
        for name, call, macs in (
            ("evaluation pass, S-V1, batch 8", partial(evaluated, images), one),
            # A backward pass counts as two forward passes.
            ("training step, S-V1, batch 8", step, 3 * all_cycles),
        )
    ]


if __name__ == "__main__":
    main()
