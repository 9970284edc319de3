"""What a run writes and how it runs: evaluation, checkpoints, logs, hooks, precision, monitoring."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal

from pydantic import BeforeValidator, Discriminator, Field, Tag, model_validator

from sdpose.config.custom import HOOK_WITHOUT_MEANING, CustomHook, type_or_custom
from sdpose.config.section import Section, problem
from sdpose.config.values import AsTuple, LocalPath, NotNegative, NotNegativeFloat, Positive, PositiveFloat

METRICS = ("AP", "AP .5", "AP .75", "AP (M)", "AP (L)", "AR", "AR .5", "AR .75", "AR (M)", "AR (L)")


def _one_metric(value: Any) -> Any:
    return value[0] if isinstance(value, list | tuple) and len(value) == 1 else value


class EvaluationSettings(Section):
    """Evaluate every `interval` epochs, from epoch `start` on; keep the checkpoint with the best metric."""

    interval: Positive = 1
    metric: Annotated[Literal["mAP"], BeforeValidator(_one_metric)] = "mAP"
    save_best: (
        Literal[
            "auto", "AP", "AP .5", "AP .75", "AP (M)", "AP (L)", "AR", "AR .5", "AR .75", "AR (M)", "AR (L)"
        ]
        | None
    ) = None
    rule: Literal["greater"] | None = None
    start: NotNegative | None = None
    by_epoch: Literal[True] = True
    without_meaning: ClassVar[Mapping[str, str]] = {
        "gpu_collect": "results are gathered without the GPU",
        "tmpdir": "results are gathered without files",
    }
    refused: ClassVar[Mapping[str, str]] = {"key_indicator": "it is the old name of save_best; write that"}

    @property
    def best_metric(self) -> str | None:
        """The metric that decides which checkpoint is best; None keeps no best one."""
        return "AP" if self.save_best == "auto" else self.save_best


class CheckpointSettings(Section):
    """Save every `interval` epochs (-1: never), keep the newest `max_keep_ckpts` (-1: all)."""

    interval: int = -1
    max_keep_ckpts: int = -1
    save_last: bool = True
    by_epoch: Literal[True] = True
    save_optimizer: Literal[True] = True
    create_symlink: Literal[True] = True
    out_dir: LocalPath | None = None
    refused: ClassVar[Mapping[str, str]] = {
        "filename_tmpl": "checkpoints are named epoch_N.pth",
        "meta": "what a checkpoint says about itself is fixed",
    }

    @model_validator(mode="after")
    def _check_counts(self) -> CheckpointSettings:
        for name in ("interval", "max_keep_ckpts"):
            count = getattr(self, name)
            if count == 0 or count < -1:
                raise problem(f"got {count}, expected a positive number or -1.", key=name)
        return self


class TextLogger(Section):
    """`<stamp>.log` and `<stamp>.log.json`; always written."""

    type: Literal["TextLoggerHook"]
    by_epoch: Literal[True] = True
    without_meaning: ClassVar[Mapping[str, str]] = {
        "interval_exp_name": "the log does not repeat the name of the experiment",
        "ignore_last": "the rest of an epoch is never logged",
        "reset_flag": "averages always start anew after a line",
    }


class TensorboardLogger(Section):
    """TensorBoard files in `log_dir` (default: tf_logs in the work dir)."""

    type: Literal["TensorboardLoggerHook"]
    log_dir: LocalPath | None = None
    by_epoch: Literal[True] = True
    without_meaning: ClassVar[Mapping[str, str]] = {
        "ignore_last": "the rest of an epoch is never logged",
        "reset_flag": "averages always start anew after a line",
    }


Logger = Annotated[TextLogger | TensorboardLogger, Field(discriminator="type")]


class LogSettings(Section):
    """A line every `interval` iterations."""

    interval: Positive = 10
    hooks: Annotated[tuple[Logger, ...], AsTuple] = ()

    @property
    def tensorboard(self) -> TensorboardLogger | None:
        """The TensorBoard logger, when the config asks for one."""
        return next((hook for hook in self.hooks if isinstance(hook, TensorboardLogger)), None)


class TrainingMonitorSettings(Section):
    """Warns of loss spikes (ratio to the recent average) and drops of AP (difference to the best)."""

    type: Literal["TrainingMonitorHook"]
    check_interval: Positive = 50
    loss_spike_threshold: PositiveFloat = 2.0
    performance_drop_threshold: PositiveFloat = 0.05
    save_stats: bool = True
    without_meaning: ClassVar[Mapping[str, str]] = HOOK_WITHOUT_MEANING


class DetailedLossLogSettings(Section):
    """A line with every loss term each `log_interval` iterations."""

    type: Literal["DetailedLossLogHook"]
    log_interval: Positive = 50
    without_meaning: ClassVar[Mapping[str, str]] = HOOK_WITHOUT_MEANING


def _hook_tag(value: Any) -> str | None:
    return type_or_custom(value, *CustomHook.known)


HookSettings = Annotated[
    Annotated[TrainingMonitorSettings, Tag("TrainingMonitorHook")]
    | Annotated[DetailedLossLogSettings, Tag("DetailedLossLogHook")]
    | Annotated[CustomHook, Tag("custom")],
    Discriminator(_hook_tag),
]


class RuntimeSettings(Section):
    """How the machine is used; nothing here changes what is learnt beyond rounding.

    `precision` auto is bf16 autocast on CUDA and fp32 on CPU. `channels_last` None is on: it is faster on both.
    `compile` costs minutes at the start and pays in long runs on a GPU. `rescue_minutes` is the time between
    checkpoints within an epoch (0: none). `limit_train_batches` ends every epoch after so many batches, for a
    quick try.
    """

    precision: Literal["auto", "fp32", "bf16"] = "auto"
    channels_last: bool | None = None
    tf32: bool = True
    compile: bool = False
    rescue_minutes: NotNegativeFloat = 15.0
    limit_train_batches: Positive | None = None


class MonitorSettings(Section):
    """What follows from an alert: `warn` says it, `stop` also ends the run (checkpoint saved)."""

    on_alert: Literal["warn", "stop"] = "warn"
    on_non_finite_loss: Literal["warn", "stop"] = "stop"
