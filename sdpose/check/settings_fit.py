"""Settings that are each allowed and together make no sense: sizes, targets, schedule, intervals."""

from __future__ import annotations

from collections.abc import Iterator

from sdpose.assemble.schedule import build_schedule_from
from sdpose.check.line import CheckLine, listed
from sdpose.check.preflight import Preflight
from sdpose.config.schedule_settings import StepPolicy
from sdpose.config.settings import Settings
from sdpose.errors import SdposeError

# Published: a sigma of 2 on 48 columns, that is 1/24.
_SIGMA_SHARE = (1 / 60, 1 / 6)
_SMALLEST_SIGMA = 0.5
_SMALLEST_BATCH = 32  # the guide, case 1
_PUBLISHED_LR, _LR_RANGE = 1e-3, (1e-6, 1e-2)


def size_line(settings: Settings) -> CheckLine:
    """Image, heatmap and target."""
    rules, sigma = settings.data.train.data_cfg, settings.data.train.pipeline.sigma
    (width, height), (columns, rows) = rules.image_size, rules.heatmap_size
    text = (
        f"images {width}x{height}, heatmaps {columns}x{rows}, {rules.num_joints} joints, targets of sigma {sigma:g} "
        f"cells ({sigma * width / columns:.3g} pixels)"
    )
    if width * rows != height * columns:
        cure = (
            f"give heatmaps the shape of the images, for example heatmap_size=[{width // 4}, {height // 4}]"
        )
        return CheckLine("sizes", "fail", f"{text}: a cell is wider than high, or higher than wide", cure)
    low, high = (share * columns for share in _SIGMA_SHARE)
    if not max(low, _SMALLEST_SIGMA) <= sigma <= high:
        wide = "so wide that neighbouring joints melt into one" if sigma > high else "narrower than a cell"
        cure = f"TopDownGenerateTarget: sigma={_fitting_sigma(columns):g} fits {columns} columns (published: 2 for 48)"
        return CheckLine("sizes", "warn", f"{text}: {wide}", cure)
    return CheckLine("sizes", "pass", text)


def _fitting_sigma(columns: int) -> float:
    return max(1.0, round(columns / 24 * 2) / 2)


def schedule_lines(preflight: Preflight, epoch_length: int | None) -> Iterator[CheckLine]:
    """Epochs, learning rate, evaluation and checkpoints; `epoch_length` None where the data is not there."""
    settings = preflight.settings
    doubts = [*_lr_doubts(settings, epoch_length), *_interval_doubts(settings)]
    total = f" of {epoch_length} iterations" if epoch_length else ""
    lr = settings.optimizer.lr
    text = f"{settings.total_epochs} epochs{total}, {settings.optimizer.type} with lr {lr:g}, {_policy(settings)}"
    if epoch_length:
        text += _first_and_last_lr(settings, epoch_length)
    yield _doubted("schedule", text, doubts)
    batch = settings.data.train_samples_per_gpu * settings.optimizer_config.cumulative_iters
    text = f"{batch} samples a step and GPU"
    if batch < _SMALLEST_BATCH:
        times = -(-_SMALLEST_BATCH // batch)
        yield CheckLine(
            "batch size",
            "warn",
            f"{text}; below {_SMALLEST_BATCH} the loss may not fall, says the guide",
            f"data.samples_per_gpu={_SMALLEST_BATCH}, or train on {times} GPUs, or optimizer_config="
            f"dict(type='GradientCumulativeOptimizerHook', cumulative_iters={times})",
        )
    else:
        yield CheckLine("batch size", "pass", text)


def _policy(settings: Settings) -> str:
    policy = settings.lr_config
    steps = (
        f" at {listed([str(step) for step in _steps(policy.step)])}" if isinstance(policy, StepPolicy) else ""
    )
    unit = "epochs" if policy.warmup_by_epoch else "iterations"
    warmup = f", {policy.warmup} warm-up of {policy.warmup_iters} {unit}" if policy.warmup else ""
    return f"policy {policy.policy}{steps}{warmup}"


def _steps(step: int | tuple[int, ...]) -> tuple[int, ...]:
    return (step,) if isinstance(step, int) else step


def _first_and_last_lr(settings: Settings, epoch_length: int) -> str:
    schedule = build_schedule_from(settings, settings.optimizer.lr)
    last = settings.total_epochs * epoch_length - 1
    return (
        f" (first {schedule.lr(0, 0, epoch_length):.3g}, last "
        f"{schedule.lr(settings.total_epochs - 1, last, epoch_length):.3g})"
    )


def _lr_doubts(settings: Settings, epoch_length: int | None) -> Iterator[tuple[str, str]]:
    policy, total_epochs = settings.lr_config, settings.total_epochs
    if isinstance(policy, StepPolicy) and policy.by_epoch:
        never = [str(step) for step in _steps(policy.step) if step >= total_epochs]
        if never:
            yield (
                f"the learning rate never falls at epoch {listed(never)}",
                f"lr_config.step=[{int(total_epochs * 2 / 3)}, {int(total_epochs * 0.87)}] for {total_epochs} epochs",
            )
    if epoch_length and policy.warmup:
        length = policy.warmup_iters * (epoch_length if policy.warmup_by_epoch else 1)
        total = total_epochs * epoch_length
        if 2 * length > total:
            yield (
                f"warm-up takes {length} of {total} iterations",
                f"lr_config.warmup_iters={max(1, total // 10)}",
            )
    low, high = _LR_RANGE
    if settings.optimizer.type != "SGD" and not low <= settings.optimizer.lr <= high:
        far = "high" if settings.optimizer.lr > high else "low"
        yield (
            f"lr {settings.optimizer.lr:g} is very {far} for {settings.optimizer.type}",
            f"optimizer.lr={_PUBLISHED_LR:g} is the published one",
        )


def _interval_doubts(settings: Settings) -> Iterator[tuple[str, str]]:
    epochs, evaluation, checkpoints = settings.total_epochs, settings.evaluation, settings.checkpoint_config
    first = evaluation.start or evaluation.interval
    if first > epochs:
        yield (
            f"no evaluation: the first would be after epoch {first}",
            f"evaluation.interval={max(1, epochs // 10)}",
        )
    elif (epochs - first) % evaluation.interval:
        yield (
            f"the last weights are never evaluated (every {evaluation.interval} epochs, {epochs} in all)",
            "choose an evaluation.interval that divides total_epochs",
        )
    saves = checkpoints.interval > 0 and checkpoints.interval <= epochs
    if not saves and not checkpoints.save_last:
        yield "no epoch is saved", f"checkpoint_config.interval={max(1, epochs // 10)}"
    if evaluation.best_metric is None:
        yield "no best checkpoint is kept", "evaluation.save_best='AP'"


def _doubted(name: str, text: str, doubts: list[tuple[str, str]]) -> CheckLine:
    if not doubts:
        return CheckLine(name, "pass", text)
    reasons, cures = zip(*doubts, strict=True)
    return CheckLine(name, "warn", f"{text}; {'; '.join(reasons)}", "; ".join(cures))


def epoch_length_or_none(preflight: Preflight) -> int | None:
    """Iterations of an epoch, None where the training data cannot be read (another line says so)."""
    try:
        return preflight.epoch_length()
    except SdposeError:
        return None
