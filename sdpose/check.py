"""The pre-flight check: a few iterations before the days are spent, each question with a clear answer."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

import torch

from sdpose.assemble.data import (
    evaluation_data,
    skeleton_of,
    to_device,
    training_data,
    training_loader,
    training_targets,
)
from sdpose.assemble.machine import Machine, choose_machine, is_out_of_memory
from sdpose.assemble.model import (
    build_loss,
    build_model,
    build_normalizer,
    model_spec_from_settings,
    variant_name,
)
from sdpose.assemble.schedule import build_hooks, build_optimizer_from
from sdpose.assemble.user_code import import_user_code
from sdpose.config.settings import Settings
from sdpose.data.batch import PoseBatch
from sdpose.errors import SdposeError
from sdpose.models import CycleOutput, SDPose, SDPoseLoss
from sdpose.models.losses import total_loss
from sdpose.training.distributed import init_from_environment
from sdpose.training.environment import environment_info
from sdpose.training.optim import clip_gradients

Status = Literal["pass", "warn", "fail"]
# A CPU needs seconds for an iteration of 64; the check asks whether things work, not how well they learn.
SAMPLES_ON_CPU = 8


@dataclass(frozen=True)
class CheckLine:
    """One question and its answer."""

    name: str
    status: Status
    text: str
    cure: str = ""
    """What to do about it; empty when all is well."""


def quick_check(
    settings: Settings,
    *,
    iterations: int = 10,
    samples: int | None = None,
    device: str | None = None,
    report: Callable[[CheckLine], None] = lambda line: None,
) -> list[CheckLine]:
    """Run the check and return all lines; `report` sees each as soon as it is known.

    `samples` is the batch size, by default the config's, at most 8 on a CPU. A fault in the data does not end the
    check: the model is then tried on random crops.
    """
    lines: list[CheckLine] = []
    for line in _questions(settings, iterations, samples, device):
        lines.append(line)
        report(line)
    return lines


def _questions(
    settings: Settings, iterations: int, samples: int | None, device: str | None
) -> Iterator[CheckLine]:
    world = init_from_environment("none", device=device)
    machine = choose_machine(settings, world.device)
    info = environment_info()
    names = {"sdpose": "sdpose", "Python": "Python", "PyTorch": "PyTorch", "opencv-python-headless": "OpenCV"}
    shown = [f"{name} {info[key].split()[0]}" for key, name in names.items() if key in info]
    yield CheckLine("environment", "pass", f"{', '.join(shown)}; {machine.describe()}")
    yield CheckLine("config", "pass", f"{settings.path} is read and every setting is known")
    for note in settings.notes:
        yield CheckLine("config", "pass", note)

    user_code = import_user_code(settings, lambda text: None)
    hooks = ", ".join(type(hook).__name__ for hook in build_hooks(settings, user_code))
    yield CheckLine("hooks", "pass", f"registered: {hooks}")

    limit = samples or (
        SAMPLES_ON_CPU if machine.device.type == "cpu" else settings.data.train_samples_per_gpu
    )
    batch_size = min(limit, settings.data.train_samples_per_gpu) if samples is None else samples
    batches: Iterator[PoseBatch]
    try:
        batches, data_lines = _training_batches(settings, batch_size)
        yield from data_lines
    except SdposeError as error:
        yield CheckLine("training data", "fail", str(error), _data_cure())
        batches = _random_batches(settings, batch_size)
        yield CheckLine("training data", "warn", "the model is tried on random crops instead")
    try:
        data = evaluation_data(settings, "val")
        text = f"{len(data.persons)} boxes in {len(data.table.image_ids)} images, {data.boxes_from}"
        yield CheckLine("validation data", "pass", text)
    except SdposeError as error:
        yield CheckLine("validation data", "fail", str(error), _data_cure())

    try:
        backbone_notes: list[str] = []
        model = build_model(settings, pretrained=True, report=backbone_notes.append)
        yield from (CheckLine("pretrained backbone", "pass", note) for note in backbone_notes)
    except SdposeError as error:
        yield CheckLine("model built", "fail", str(error))
        model = build_model(settings, pretrained=False)
    machine.place(model)
    trainable = sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad)
    name = variant_name(model_spec_from_settings(settings)) or "a model of your own sizes"
    yield CheckLine(
        "model built",
        "pass",
        f"{name}, {trainable / 1e6:.2f} M trainable parameters, {model.cycle_num} cycles",
    )
    criterion = build_loss(settings, user_code).to(machine.device)
    try:
        yield from _iterations(settings, machine, model, criterion, batches, iterations)
    except (torch.OutOfMemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
        half = max(batch_size // 2, 1)
        yield CheckLine(
            "memory", "fail", f"out of memory with {batch_size} samples", f"set data.samples_per_gpu={half}"
        )


def _iterations(
    settings: Settings,
    machine: Machine,
    model: SDPose,
    criterion: SDPoseLoss,
    batches: Iterator[PoseBatch],
    iterations: int,
) -> Iterator[CheckLine]:
    """Train a few steps and look at everything that can be looked at."""
    optimizer = build_optimizer_from(settings, model)
    normalize = build_normalizer(settings, "train").to(machine.device)
    clip = settings.optimizer_config.grad_clip
    model.train()
    first: dict[str, float] = {}
    terms: dict[str, float] = {}
    unreached: list[str] = []
    problems: list[str] = []
    for number in range(1, iterations + 1):
        batch = to_device(next(batches), machine.device)
        problems += [problem for problem in batch.problems if problem]
        target, weight = training_targets(settings, batch)
        with machine.autocast():
            cycles = model.forward_cycles(normalize(batch.images))
        if number == 1:
            yield _forward_line(cycles)
        losses = criterion(cycles, target, weight)
        loss = total_loss(losses)
        terms = {
            **{name: float(value.detach()) for name, value in losses.items()},
            "loss": float(loss.detach()),
        }
        broken = [name for name, value in terms.items() if not math.isfinite(value)]
        shown = ", ".join(f"{name}: {value:.4g}" for name, value in terms.items())
        yield CheckLine(
            f"iteration {number}/{iterations}",
            "fail" if broken else "pass",
            shown,
            f"{broken[0]} is not finite: lower optimizer.lr (now {settings.optimizer.lr:g}) and look at the data"
            if broken
            else "",
        )
        if broken:
            break
        first = first or terms
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        if number == 1:
            unreached = [
                name
                for name, parameter in model.named_parameters()
                if parameter.requires_grad and (parameter.grad is None or not parameter.grad.any())
            ]
        norm = float(clip_gradients(optimizer, max_norm=clip.max_norm if clip else math.inf))
        if not math.isfinite(norm):
            yield CheckLine(
                "gradients", "fail", f"their norm is {norm}", "lower optimizer.lr or clip tighter"
            )
            break
        optimizer.step()
    expected = {"heatmap_loss", "vis_dist_loss", "kpt_dist_loss"} | set(
        settings.model.keypoint_head.extra_losses
    )
    missing = sorted(expected - terms.keys())
    zero = [name for name in expected & terms.keys() if terms[name] == 0 and "dist" in name]
    finite = all(math.isfinite(value) for value in terms.values())
    yield CheckLine(
        "loss terms",
        "fail" if missing or not finite else "warn" if zero else "pass",
        f"{', '.join(terms)} computed{' and finite' if finite else ', NOT all finite'}"
        + (f"; zero: {', '.join(zero)}" if zero else ""),
        "cycle_num=1 or a loss weight of 0 switches self-distillation off" if zero else "",
    )
    yield CheckLine(
        "gradients",
        "warn" if unreached else "pass",
        f"{len(unreached)} parameters get no gradient, for example {unreached[0]}"
        if unreached
        else "reach every parameter",
        "they will not learn; a loss weight of 0 or a constant image can be the reason" if unreached else "",
    )
    if iterations > 1 and finite:
        before, after = first["loss"], terms["loss"]
        fell = after < before
        yield CheckLine(
            "learning",
            "pass" if fell else "warn",
            f"loss {before:.4g} -> {after:.4g} in {iterations} iterations",
            "" if fell else "a few iterations may rise by chance; if 50 do, lower optimizer.lr",
        )
    if problems:
        yield CheckLine(
            "images", "fail", f"{len(problems)} unusable, first: {problems[0]}", "mend or remove them"
        )


def _forward_line(cycles: list[CycleOutput]) -> CheckLine:
    shapes = " x ".join(map(str, cycles[0].heatmaps.shape))
    outputs = [tensor for cycle in cycles for tensor in cycle]
    finite = all(bool(torch.isfinite(tensor).all()) for tensor in outputs)
    peak = max(float(cycle.heatmaps.detach().abs().max()) for cycle in cycles)
    return CheckLine(
        "forward pass",
        "pass" if finite else "fail",
        f"{len(cycles)} cycles, heatmaps {shapes}, largest value {peak:.3g}",
        "" if finite else "outputs are not finite: check the weights loaded by load_from",
    )


def _training_batches(settings: Settings, batch_size: int) -> tuple[Iterator[PoseBatch], list[CheckLine]]:
    dataset = training_data(settings, seed=0)
    changed = settings.data.model_copy(
        update={
            "samples_per_gpu": batch_size,
            "train_dataloader": type(settings.data.train_dataloader)(workers_per_gpu=0),
        }
    )
    world = init_from_environment("none", device="cpu")
    loader = training_loader(settings.model_copy(update={"data": changed}), dataset, world, seed=0)
    lines = [
        CheckLine(
            "training data", "pass", f"{len(dataset)} persons in {len(dataset.table.image_ids)} images"
        ),
        *(CheckLine("training data", "warn", note) for note in dataset.table.notes),
    ]

    def forever() -> Iterator[PoseBatch]:
        epoch = 0
        while True:
            yield from loader.batches(epoch)
            epoch += 1

    return forever(), lines


def _random_batches(settings: Settings, batch_size: int) -> Iterator[PoseBatch]:
    """Noise with joints anywhere: enough to see whether the model computes."""
    generator = torch.Generator().manual_seed(0)
    width, height = settings.data.train.data_cfg.image_size
    num_keypoints = skeleton_of(settings.data.train).num_keypoints
    size = torch.tensor([width, height], dtype=torch.float32)
    while True:
        yield PoseBatch(
            images=torch.randint(
                0, 256, (batch_size, height, width, 3), generator=generator, dtype=torch.uint8
            ),
            joints=torch.rand((batch_size, num_keypoints, 2), generator=generator) * size,
            visible=torch.ones(batch_size, num_keypoints),
            centers=torch.zeros(batch_size, 2),
            scales=torch.ones(batch_size, 2),
            indices=torch.arange(batch_size),
            problems=[None] * batch_size,
        )


def _data_cure() -> str:
    return (
        "point --data-root (or SDPOSE_DATA_ROOT) at a COCO folder, or draw one: `sdpose data synth --out DIR` and "
        "--data-root DIR"
    )
