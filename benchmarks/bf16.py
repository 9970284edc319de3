"""bfloat16 beside float32 on a CPU that computes it in hardware: how much faster, and how far the joints move.

    python -m benchmarks.bf16 [--quick] [--threads 1]                         # speed
    python -m benchmarks.bf16 --joints [WEIGHTS] [--data CONFIG [--data-root DIR]] [--images N]

Speed is SDPose-S-V1's at batch 16, and a whole validation pass in bfloat16 against the published order of work in
float32 (`evaluation.py`). `--joints` asks the demo's weights, or others, on people drawn for it or on those of a
config, with flip test. On a CPU without the instructions there is nothing to measure: bfloat16 is imitated and slower.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import torch
from torch import Tensor

from benchmarks.evaluation import BATCH, DATA, whole_pass
from benchmarks.model import images, training_step
from benchmarks.ratio import Ratio, in_turns
from benchmarks.side import Side
from sdpose.assemble.machine import IMITATED_BF16, Machine, cpu_computes_bf16
from sdpose.config.settings import load_settings
from sdpose.errors import SdposeError
from sdpose.export.parity import measure_parity
from sdpose.export.people import drawn_people, people_of_config
from sdpose.models import SDPose, create_model, keep_freed_memory
from sdpose.models.fuse import fuse_batch_norm
from sdpose.predict.predictor import find_joints, torch_network
from sdpose.trained_model import load_trained_model

DEMO = Path(__file__).parents[1] / "sdpose" / "weights" / "sdpose_demo.pth"
VARIANT, BATCH_SIZE = "sdpose_s_v1", 16
CPU = torch.device("cpu")


def ratios(*, quick: bool) -> list[Ratio]:
    """An evaluation batch and a validation pass; a training step too when there is time."""
    require_instructions()
    threads_before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        found = networks(rounds=2 if quick else 5, with_training=not quick)
    finally:
        torch.set_num_threads(threads_before)
    num_persons, rounds = (BATCH, 1) if quick else (2 * BATCH, 3)
    with Side(keep_memory=False) as plain, Side() as ours:
        whole = whole_pass(plain, ours, DATA, num_persons=num_persons, rounds=rounds, threads=1, bf16=True)
    return [*found, whole]


def require_instructions() -> None:
    """Raises SdposeError on a CPU that imitates bfloat16."""
    if not cpu_computes_bf16():
        raise SdposeError(IMITATED_BF16)


def networks(*, rounds: int, with_training: bool) -> list[Ratio]:
    """float32 / bf16 of an evaluation batch and a training step, both in this process."""
    keep_freed_memory()
    threads = torch.get_num_threads()
    clock = time.process_time if threads == 1 else time.perf_counter
    kinds = {"evaluation": evaluation, **({"training step": training} if with_training else {})}
    found = []
    for kind, make in kinds.items():
        times = in_turns(make(bf16=False), make(bf16=True), rounds=rounds, clock=clock)
        float32_s, bf16_s = (statistics.median(column) for column in zip(*times, strict=True))
        found.append(
            Ratio.of(
                f"{kind} on the CPU, float32 / bf16",
                [full / half for full, half in times],
                detail=f"{1e3 * float32_s / BATCH_SIZE:.1f} and {1e3 * bf16_s / BATCH_SIZE:.1f} ms a person, S-V1, "
                f"batch {BATCH_SIZE}, {threads} thread(s)",
            )
        )
    return found


def made(bf16: bool) -> tuple[Machine, SDPose]:
    """Random weights, the same for both."""
    torch.manual_seed(0)
    return Machine(CPU, bf16=bf16, channels_last=True), create_model(VARIANT)


def evaluation(*, bf16: bool) -> Callable[[], object]:
    """Heatmaps of a batch."""
    machine, model = made(bf16)
    placed = machine.place(fuse_batch_norm(model.eval()))
    batch = images(BATCH_SIZE, before=False)

    @torch.inference_mode()
    def run() -> Tensor:
        with machine.autocast():
            heatmaps: Tensor = placed(batch)
        return heatmaps.float()

    return run


def training(*, bf16: bool) -> Callable[[], object]:
    """Forward, losses, backward, Adam."""
    machine, model = made(bf16)
    machine.place(model)
    return training_step(model, images(BATCH_SIZE, before=False), fused=False, machine=machine)


def show_joints(
    weights: Path, config: Path | None, data_root: str | None, split: str, num_images: int | None
) -> None:
    """AP in both precisions, and how far the joints of one lie from those of the other, in crop pixels."""
    trained = load_trained_model(weights)
    with tempfile.TemporaryDirectory() as folder:
        if config is None:
            people = drawn_people(Path(folder) / "set", trained, num_images=num_images or 200)
        else:
            settings = load_settings(config, data_root=data_root)
            people = people_of_config(settings, trained, split=split, num_images=num_images)
        find = partial(find_joints, trained=trained, flip_test=True)
        float32, bf16 = (
            partial(find, torch_network(trained, CPU, Machine(CPU, bf16=bf16, channels_last=True)))
            for bf16 in (False, True)
        )
        print(f"{weights.name}; {people.description}; flip test")
        print("| precision | AP | lost | mean px | 99 % px | max px |")
        print("|---|---|---|---|---|---|")
        for name, parity in measure_parity(float32, {"bf16": bf16}, people, trained).items():
            apart = " | ".join(f"{value:.3g}" for value in (parity.mean_px, parity.p99_px, parity.max_px))
            print(f"| {name or 'float32'} | {parity.ap:.4f} | {parity.loss:+.4f} | {apart} |")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("weights", nargs="?", type=Path, default=DEMO)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--threads", type=int, default=1, help="of evaluation and training step")
    parser.add_argument("--joints", action="store_true", help="AP and distances instead of speed")
    parser.add_argument("--data", type=Path, metavar="CONFIG")
    parser.add_argument("--data-root")
    parser.add_argument("--split", choices=("train", "val"), default="val")
    parser.add_argument("--images", type=int)
    args = parser.parse_args()
    if args.joints:
        show_joints(args.weights, args.data, args.data_root, args.split, args.images)
        return
    if args.threads == 1:
        found = ratios(quick=args.quick)
    else:
        require_instructions()
        torch.set_num_threads(args.threads)
        found = networks(rounds=2 if args.quick else 5, with_training=not args.quick)
    for ratio in found:
        print(ratio.in_words, flush=True)


if __name__ == "__main__":
    main()
