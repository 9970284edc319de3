"""What one GPU gives: the training step, the largest batch, evaluation, a real run with its data path, and precision.

Made for one session of 15 minutes on an H100 or H200: parts come in order of weight, each prints as soon as it knows,
and what no longer fits into `--minutes` is named and left out.

    python -m benchmarks.gpu [--minutes 13] [--batch 256] [--workers 15] [--parts step end_to_end ...]

- `step`: the published way (float32, contiguous, attention maps kept, Adam parameter by parameter; written from the
  specification in `plain_model.py`) against the product's own training step in float32 and bf16, compiled, and with
  CUDA graphs; batches come from pinned host memory. FLOPs of a step are three forward passes of all cycles; the share
  of the peak is of the data sheet's dense bf16 where the GPU is known.
- `end_to_end`: `sdpose.fit` on drawn people of COCO's picture size with worker processes, and how long 300 epochs of
  COCO (45 million samples) would take at that rate. Drawn JPEGs are quicker to decode than photographs.
- `evaluation`: images a second with flip test and decoding, published against ours, with and without folded norms.
- `batch`: the largest power of two that fits.
- `precision`: the demo trained in float32 and bf16 from two seeds, and whether AP ends within its own noise.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from benchmarks.plain_model import plain_heatmaps, plain_training_step
from sdpose.assemble.data import to_device, training_targets
from sdpose.assemble.machine import choose_machine
from sdpose.assemble.model import build_loss, build_model, build_normalizer
from sdpose.assemble.schedule import build_optimizer_from
from sdpose.assemble.training_step import training_step, wrap_for_training
from sdpose.assemble.user_code import import_user_code
from sdpose.config.settings import Settings, load_settings
from sdpose.data.batch import PoseBatch
from sdpose.data.synthetic import make_dataset
from sdpose.fit import FitOptions, SilentConsole, fit
from sdpose.heatmaps import decode_heatmaps, flip_heatmaps
from sdpose.models.complexity import count
from sdpose.models.fuse import fuse_batch_norm
from sdpose.models.losses import total_loss
from sdpose.skeleton import COCO17
from sdpose.training.distributed import World

CONFIGS = Path(__file__).resolve().parent.parent / "configs"
S_V1 = CONFIGS / "body/2d_kpt_sview_rgb_img/sdpose/coco/sdpose_s_v1_stemnet_coco_256x192.py"
DEMO = CONFIGS / "demo/sdpose_demo.py"
COCO_SAMPLES = 45_000_000
"""150,000 persons, 300 epochs."""
AIM_HOURS = 2.0
AIM_SPEED_UP = 6.0
# Dense bf16 FLOP/s by data sheet; the longer name first.
PEAKS = {"H100 PCIe": 756e12, "H200": 989e12, "H100": 989e12, "A100": 312e12}
CHANGES: dict[str, dict[str, object]] = {
    "ours, float32 without TF32": {"runtime.precision": "fp32", "runtime.tf32": False},
    "ours, float32": {"runtime.precision": "fp32"},
    "ours, bf16": {"runtime.precision": "bf16"},
    "ours, bf16, compiled": {"runtime.precision": "bf16", "runtime.compile": True},
    "ours, bf16, CUDA graphs": {"runtime.precision": "bf16", "runtime.compile": "cuda-graphs"},
}


@dataclass(frozen=True)
class Bench:
    """What all parts share. `measure_s` is how long a row is measured."""

    config: Path
    device: torch.device
    batch_size: int
    workers: int
    measure_s: float = 5.0
    num_images: int = 4000
    image_size_wh: tuple[int, int] = (640, 480)


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit code: 0 all measured, 1 something failed, 2 no GPU."""
    parser = argparse.ArgumentParser(description="What one GPU gives in training and evaluation.")
    parser.add_argument("--minutes", type=float, default=13.0, help="no part begins later than this")
    parser.add_argument("--batch", type=int, default=256)
    parser.add_argument("--workers", type=int, default=15, help="data worker processes")
    parser.add_argument("--parts", nargs="+", choices=tuple(PARTS), default=tuple(PARTS))
    args = parser.parse_args(arguments)
    if not torch.cuda.is_available():
        print(
            f"benchmarks.gpu needs a CUDA GPU, and torch {torch.__version__} sees none here; run it where there is one",
            file=sys.stderr,
        )
        return 2
    bench = Bench(S_V1, torch.device("cuda", 0), args.batch, args.workers)
    print(f"{torch.cuda.get_device_name()}, torch {torch.__version__}, SDPose-S-V1, batch {args.batch}")
    failed, ends_at = 0, time.monotonic() + 60 * args.minutes
    for name in args.parts:
        if time.monotonic() > ends_at:
            print(f"{name}: left out, {args.minutes:g} minutes are over; --parts {name} runs it alone")
            continue
        print(f"--- {name}")
        for line in PARTS[name](bench):
            failed += " FAILED: " in line
            print(line, flush=True)
    return 1 if failed else 0


# The training step ---------------------------------------------------------------------------------------------------


def training_steps(bench: Bench) -> Iterator[str]:
    """One row a way of computing."""
    flops = flops_of_step(load_settings(bench.config))
    yield f"{'step':<28}{'ms':>9}{'img/s':>9}{'MiB':>8}{'TFLOP/s':>9}{'of peak':>9}{'x published':>13}"
    first: float | None = None
    for name, make in {"published (float32)": published_step, **our_steps()}.items():
        try:
            elapsed_s, memory_mib = measure(make(bench), bench)
        except (
            RuntimeError
        ) as error:  # a compiler that is missing, memory that is used up: the next row may do
            yield f"{name:<28} FAILED: {type(error).__name__}: {first_line(error)}"
            continue
        rate = bench.batch_size / elapsed_s
        first = first or elapsed_s
        share = rate * flops / peak_flops(bench.device)
        yield (
            f"{name:<28}{1e3 * elapsed_s:>9.1f}{rate:>9.0f}{memory_mib:>8.0f}{rate * flops / 1e12:>9.1f}{share:>9.3f}"
            f"{first / elapsed_s:>12.1f}x"
        )
    yield f"wanted: {AIM_SPEED_UP:g}x the published step"


def our_steps() -> dict[str, Callable[[Bench], Callable[[], Any]]]:
    """By name; CUDA graphs are not for the CPU, which the tests use."""
    return {
        name: lambda bench, changes=changes: our_step(load_settings(bench.config, changes=changes), bench)
        for name, changes in CHANGES.items()
    }


def our_step(settings: Settings, bench: Bench) -> Callable[[], Tensor]:
    """The product's own: the batch to the device, forward, losses, signs, backward, optimizer."""
    torch.manual_seed(0)
    machine = choose_machine(settings, bench.device)
    model = build_model(settings, pretrained=False)
    machine.place(model)
    model.train()
    criterion = build_loss(settings, import_user_code(settings, lambda line: None)).to(bench.device)
    optimizer = build_optimizer_from(settings, model)
    trained = wrap_for_training(model, settings, machine, World(device=bench.device))
    compute = training_step(settings, trained, criterion, machine)
    batch = random_batch(settings, bench)

    def run() -> Tensor:
        optimizer.zero_grad(set_to_none=True)
        loss = total_loss(compute(batch).terms)
        loss.backward()
        optimizer.step()
        return loss.detach()

    return run


def published_step(bench: Bench) -> Callable[[], Tensor]:
    """Floats and targets from the host, as published workers hand them over."""
    settings = load_settings(bench.config)
    torch.manual_seed(0)
    if bench.device.type == "cuda":
        # What torch does unless told otherwise, and nobody told it.
        torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32 = False, True
    model = build_model(settings, pretrained=False).to(bench.device)
    batch = random_batch(settings, bench)
    target, weight = training_targets(settings, batch)
    host = [
        pinned(it, bench)
        for it in (build_normalizer(settings, "train")(batch.images).contiguous(), target, weight)
    ]
    on_device = [it.to(bench.device) for it in host]
    step = plain_training_step(model, *on_device)

    def run() -> Tensor:
        for mine, theirs in zip(on_device, host, strict=True):
            mine.copy_(theirs, non_blocking=True)
        return step()

    return run


def random_batch(settings: Settings, bench: Bench) -> PoseBatch:
    """Noise and joints anywhere, on the host as the loader hands it over."""
    generator = torch.Generator().manual_seed(0)
    num, (width, height) = bench.batch_size, settings.data.train.data_cfg.image_size
    num_joints = settings.data.train.data_cfg.num_joints
    size = torch.tensor([width, height], dtype=torch.float32)
    batch = PoseBatch(
        images=torch.randint(0, 256, (num, height, width, 3), dtype=torch.uint8, generator=generator),
        joints=torch.rand(num, num_joints, 2, generator=generator) * size,
        visible=torch.ones(num, num_joints),
        centers=torch.zeros(num, 2),
        scales=torch.ones(num, 2),
        indices=torch.arange(num),
        problems=[None] * num,
    )
    return batch.pin_memory() if bench.device.type == "cuda" else batch


def pinned(tensor: Tensor, bench: Bench) -> Tensor:
    """In page-locked memory, where there is a GPU to copy to."""
    return tensor.pin_memory() if bench.device.type == "cuda" else tensor


def measure(run: Callable[[], Any], bench: Bench) -> tuple[float, float]:
    """Seconds of a run, and MiB at its peak (0 on the CPU). Compiling happens before the clock starts."""
    for _ in range(3):
        run()
    wait(bench.device)
    if bench.device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(bench.device)
    num, started_at = 0, time.perf_counter()
    while num == 0 or time.perf_counter() - started_at < bench.measure_s:
        run()
        num += 1
        if num % 20 == 0:
            # The host may run ahead, but not by the whole measurement.
            wait(bench.device)
    wait(bench.device)
    elapsed_s = (time.perf_counter() - started_at) / num
    memory = torch.cuda.max_memory_allocated(bench.device) / 2**20 if bench.device.type == "cuda" else 0.0
    return elapsed_s, memory


def wait(device: torch.device) -> None:
    """Until everything queued is done."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def flops_of_step(settings: Settings) -> float:
    """Of one image in training."""
    width, height = settings.data.train.data_cfg.image_size
    model = build_model(settings, pretrained=False)
    return 3 * 2.0 * count(model, (height, width))[-1].all_cycles.macs_with_attention


def peak_flops(device: torch.device) -> float:
    """By the data sheet where the GPU is known, else what a large bf16 (on the CPU: float32) product reaches."""
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else ""
    for known, peak in PEAKS.items():
        if known in name:
            return peak
    size, dtype = (8192, torch.bfloat16) if device.type == "cuda" else (512, torch.float32)
    a = torch.randn(size, size, device=device).to(dtype)
    best_s = float("inf")
    for _ in range(5):
        wait(device)
        started_at = time.perf_counter()
        torch.mm(a, a)
        wait(device)
        best_s = min(best_s, time.perf_counter() - started_at)
    return 2.0 * size**3 / best_s


def first_line(error: BaseException) -> str:
    """For a row of the table."""
    lines = str(error).strip().splitlines()
    return lines[0][:150] if lines else ""


# A real run ----------------------------------------------------------------------------------------------------------


def end_to_end(bench: Bench) -> Iterator[str]:
    """`fit` with its data path, two epochs; the second is measured."""
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder) / "drawn"
        summary = make_dataset(
            data,
            num_train_images=bench.num_images,
            num_val_images=1,
            image_size_wh=bench.image_size_wh,
            num_workers=max(1, bench.workers),
        )
        for name, changes in (
            ("bf16", {"runtime.precision": "bf16"}),
            ("bf16, compiled", {"runtime.precision": "bf16", "runtime.compile": True}),
        ):
            if bench.device.type == "cpu" and "compiled" in name:
                continue
            entries = run_of(bench, data, Path(folder) / name, changes)
            second = [entry for entry in entries if entry["mode"] == "train" and entry["epoch"] == 2]
            elapsed_s = sum(entry["time"] for entry in second) / len(second)
            data_s = sum(entry["data_time"] for entry in second) / len(second)
            rate = bench.batch_size / elapsed_s
            hours = COCO_SAMPLES / rate / 3600
            yield (
                f"{name}: {rate:.0f} img/s with {bench.workers} workers ({summary.num_train_people} drawn people), "
                f"waiting for data {data_s / elapsed_s:.0%}; "
                f"45 M samples (300 epochs of COCO) in {hours:.1f} h, wanted {AIM_HOURS:g} h"
            )


def run_of(bench: Bench, data: Path, work_dir: Path, changes: dict[str, object]) -> list[dict[str, Any]]:
    """The log entries of a training of two epochs. Raises RuntimeError when it fails."""
    settings = load_settings(
        bench.config,
        data_root=str(data),
        changes={
            **changes,
            "total_epochs": 2,
            "data.samples_per_gpu": bench.batch_size,
            "data.workers_per_gpu": bench.workers,
            "log_config.interval": 1 if bench.device.type == "cpu" else 10,
            "checkpoint_config.save_last": False,
        },
    )
    options = FitOptions(work_dir=work_dir, validate=False, seed=1, device=bench.device.type)
    outcome = fit(settings, options, SilentConsole())
    if outcome.exit_code != 0:
        raise RuntimeError(f"the training in {work_dir} ended with exit code {outcome.exit_code}")
    return log_entries(work_dir)


def log_entries(work_dir: Path) -> list[dict[str, Any]]:
    """All lines of the newest JSON log but its first."""
    newest = max(work_dir.glob("*.log.json"))
    return [json.loads(line) for line in newest.read_text().splitlines()[1:]]


# Evaluation, memory, precision ---------------------------------------------------------------------------------------


def evaluation_rates(bench: Bench) -> Iterator[str]:
    """Persons a second with flip test and decoding, from crops in host memory."""
    first: float | None = None
    for name, make in {
        "published (float32)": published_evaluation,
        "ours, bf16": lambda bench: our_evaluation(bench, fused=False),
        "ours, bf16, norms folded": lambda bench: our_evaluation(bench, fused=True),
    }.items():
        elapsed_s, memory_mib = measure(make(bench), bench)
        first = first or elapsed_s
        yield (
            f"{name:<28}{bench.batch_size / elapsed_s:>9.0f} persons/s, {memory_mib:.0f} MiB, {first / elapsed_s:.1f}x"
        )


def our_evaluation(bench: Bench, *, fused: bool) -> Callable[[], Any]:
    """As `sdpose.evaluation.inference` queues a batch."""
    settings = load_settings(bench.config, changes={"runtime.precision": "bf16"})
    machine = choose_machine(settings, bench.device)
    model = build_model(settings, pretrained=False).eval()
    model = machine.place(fuse_batch_norm(model) if fused else model)
    normalize = build_normalizer(settings, "val").to(bench.device)
    batch = random_batch(settings, bench)
    num_joints = batch.joints.shape[1]
    flip_index = COCO17.flip_index if num_joints == 17 else tuple(range(num_joints))

    @torch.inference_mode()
    def run() -> Any:
        images = to_device(batch, bench.device).images
        with machine.autocast():
            plain, turned = model(normalize(torch.cat([images, images.flip(2)]))).float().chunk(2)
        return decode_heatmaps((plain + flip_heatmaps(turned, flip_index, shift=True)) * 0.5)

    return run


def published_evaluation(bench: Bench) -> Callable[[], Any]:
    """All cycles, twice, in float32; joints are decoded on the host and not counted here."""
    settings = load_settings(bench.config)
    model = build_model(settings, pretrained=False).to(bench.device).eval()
    images = build_normalizer(settings, "val")(random_batch(settings, bench).images).contiguous()
    host = pinned(images, bench)

    @torch.no_grad()
    def run() -> Any:
        images = host.to(bench.device, non_blocking=True)
        return plain_heatmaps(model, images).cpu(), plain_heatmaps(model, images.flip(3)).cpu()

    return run


def largest_batch(bench: Bench) -> Iterator[str]:
    """Doubling until memory is used up, in bf16."""
    size, fits = bench.batch_size, 0
    settings = load_settings(bench.config, changes={"runtime.precision": "bf16"})
    while size <= 16384:
        try:
            our_step(settings, Bench(bench.config, bench.device, size, 0))()
            wait(bench.device)
        except torch.OutOfMemoryError:
            break
        fits, size = size, 2 * size
        if bench.device.type == "cpu":
            break
    torch.cuda.empty_cache()
    yield f"largest batch tried that fits: {fits}"


def precisions(bench: Bench) -> Iterator[str]:
    """AP at the end of the demo, two seeds each."""
    ends: dict[str, list[float]] = {}
    width = 0.0
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder) / "drawn"
        make_dataset(data, num_train_images=3000, num_val_images=200, num_workers=max(1, bench.workers))
        for precision in ("fp32", "bf16"):
            for seed in (1, 2):
                settings = load_settings(
                    DEMO,
                    data_root=str(data),
                    changes={"runtime.precision": precision, "data.workers_per_gpu": bench.workers},
                )
                work_dir = Path(folder) / f"{precision}_{seed}"
                fit(
                    settings,
                    FitOptions(work_dir=work_dir, seed=seed, device=bench.device.type),
                    SilentConsole(),
                )
                last = [entry for entry in log_entries(work_dir) if entry["mode"] == "val"][-1]
                ends.setdefault(precision, []).append(last["AP"])
                width = max(width, (last["AP_high"] - last["AP_low"]) / 2)
                yield f"{precision}, seed {seed}: AP {last['AP']:.3f} [{last['AP_low']:.3f}, {last['AP_high']:.3f}]"
    yield verdict(ends["fp32"], ends["bf16"], width)


def verdict(float32: Sequence[float], bf16: Sequence[float], half_width: float) -> str:
    """Whether the means differ by less than AP's own 95 % interval."""
    change = sum(bf16) / len(bf16) - sum(float32) / len(float32)
    within = "within" if abs(change) <= half_width else "BEYOND"
    return f"bf16 minus float32: {change:+.3f}, {within} the noise of AP (+-{half_width:.3f})"


PARTS: dict[str, Callable[[Bench], Iterator[str]]] = {
    "step": training_steps,
    "end_to_end": end_to_end,
    "evaluation": evaluation_rates,
    "batch": largest_batch,
    "precision": precisions,
}


if __name__ == "__main__":
    sys.exit(main())
