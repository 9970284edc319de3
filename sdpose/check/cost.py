"""What the whole run will take: hours and bytes."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Iterator
from pathlib import Path

import torch

from sdpose.assemble.data import evaluation_data
from sdpose.check.line import CheckLine
from sdpose.check.preflight import Preflight
from sdpose.check.time_box import shown_duration
from sdpose.check.trainee import random_batch, timed
from sdpose.config.settings import Settings
from sdpose.errors import SdposeError
from sdpose.training.checkpoint_store import CheckpointStore
from sdpose.training.disk_space import estimated_checkpoint_bytes, free_bytes, shown_bytes

_TEXT_BYTES = 16 << 20  # logs, results and pictures
_LONG_S = 30 * 86_400
_EVALUATION_SAMPLES_ON_CPU = 8


def ask(preflight: Preflight) -> Iterator[CheckLine]:
    """Iterations times the measured step, evaluations, and checkpoints against the free space."""
    yield _time_line(preflight)
    yield _disk_line(preflight)


def _time_line(preflight: Preflight) -> CheckLine:
    settings = preflight.settings
    epoch_length = preflight.epoch_length()
    step_s, samples = preflight.step_s()
    wanted = settings.data.train_samples_per_gpu
    # Per sample: on a GPU the check ran with the config's own batch, on a CPU time is proportional to it.
    iteration_s = step_s / samples * wanted
    how = f"{samples} samples, reckoned for {wanted}" if samples != wanted else f"{wanted} samples"
    rate = preflight.measured.loader_samples_per_s
    if rate is not None and rate > 0:
        iteration_s = max(iteration_s, wanted / rate)
        how += ", data loader included"
    else:
        how += ", data loader not measured"
    training_s = iteration_s * epoch_length * settings.total_epochs
    evaluation_s, evaluated = _evaluation_s(preflight)
    total_s = training_s + evaluation_s
    text = (
        f"about {shown_duration(total_s)} on one device: {settings.total_epochs} epochs x {epoch_length} iterations x "
        f"{shown_duration(iteration_s)} ({how}), {evaluated}"
    )
    measured = {"training_s": training_s, "evaluation_s": evaluation_s, "iteration_s": iteration_s}
    if total_s > _LONG_S:
        cure = "train on a GPU, or on several (bash tools/dist_train.sh CONFIG N)"
        return CheckLine("time", "warn", text, cure, measured)
    return CheckLine("time", "pass", text, measured=measured)


def _evaluation_s(preflight: Preflight) -> tuple[float, str]:
    """Seconds of all evaluations together, the scoring aside, and a phrase about them."""
    settings = preflight.settings
    count = num_evaluations(settings)
    try:
        boxes = len(evaluation_data(settings, "val").persons)
    except SdposeError:
        return 0.0, "evaluations not counted (no validation data)"
    size = settings.data.val_samples_per_gpu
    if not preflight.on_gpu:
        size = min(size, _EVALUATION_SAMPLES_ON_CPU)
    size = max(1, min(size, boxes))
    passes = 2 if settings.model.test_cfg.flip_test else 1
    trainee = preflight.trainee()
    trainee.model.eval()
    images = random_batch(settings, size * passes).images.to(preflight.machine.device)

    def forward() -> None:
        with torch.inference_mode(), preflight.machine.autocast():
            trainee.model(trainee.normalize(images))

    forward()
    each_s = timed(preflight.machine, forward) / size * boxes
    return each_s * count, f"{count} evaluations of {boxes} boxes x {shown_duration(each_s)}"


def num_evaluations(settings: Settings) -> int:
    """How often a run of this config is evaluated."""
    epochs, interval, start = settings.total_epochs, settings.evaluation.interval, settings.evaluation.start
    if start is None:
        return epochs // interval
    return math.floor((epochs - start) / interval) + 1 if start <= epochs else 0


def _disk_line(preflight: Preflight) -> CheckLine:
    settings = preflight.settings
    checkpoints = settings.checkpoint_config
    trainee = preflight.trainee()
    each = estimated_checkpoint_bytes(trainee.model, trainee.optimizer)
    with tempfile.TemporaryDirectory(prefix="sdpose-check-") as folder:
        store = CheckpointStore(
            Path(folder),
            total_epochs=settings.total_epochs,
            interval=checkpoints.interval,
            max_keep_ckpts=checkpoints.max_keep_ckpts,
            save_last=checkpoints.save_last,
            checkpoint_bytes=each,
        )
        count = store.num_files_at_most()
    needed = count * each + _TEXT_BYTES
    folder_of_run = Path(checkpoints.out_dir or settings.work_dir).absolute()
    existing = next(parent for parent in (folder_of_run, *folder_of_run.parents) if parent.is_dir())
    free = free_bytes(existing)
    text = (
        f"up to {count} checkpoints of {shown_bytes(each)}, {shown_bytes(needed)} in all; {shown_bytes(free)} free at "
        f"{existing}"
    )
    measured = {"needed_bytes": needed, "free_bytes": free, "checkpoint_bytes": each, "checkpoints": count}
    cure = "checkpoint_config.max_keep_ckpts=3, free space, or another disk with --work-dir"
    if free < needed:
        return CheckLine("disk", "fail", text, cure, measured)
    if free < 2 * needed:
        return CheckLine("disk", "warn", text, f"it just fits; {cure}", measured)
    return CheckLine("disk", "pass", text, measured=measured)
