"""What a run writes and how it runs: evaluation, checkpoints, logs, hooks, precision, monitoring."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal, get_args

from pydantic import BeforeValidator, Discriminator, Field, Tag, ValidationInfo, model_validator

from sdpose.config.custom import HOOK_WITHOUT_MEANING, CustomHook, type_or_custom
from sdpose.config.places import plain
from sdpose.config.section import Section, problem, reading_of, unknown_key
from sdpose.config.values import (
    AsTuple,
    LocalPath,
    NotNegative,
    NotNegativeFloat,
    Positive,
    PositiveFloat,
    Texts,
)
from sdpose.errors import nearest

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


_LOGGER_WITHOUT_MEANING = {
    "ignore_last": "the rest of an epoch is never logged",
    "reset_flag": "averages always start anew after a line",
}
_LOGGER_REFUSED = {"interval": "all loggers log every log_config.interval iterations; set that"}


class TextLogger(Section):
    """`<stamp>.log` and `<stamp>.log.json`; always written."""

    type: Literal["TextLoggerHook"]
    by_epoch: Literal[True] = True
    without_meaning: ClassVar[Mapping[str, str]] = {
        **_LOGGER_WITHOUT_MEANING,
        "interval_exp_name": "the log does not repeat the name of the experiment",
    }


class TensorboardLogger(Section):
    """TensorBoard files in `log_dir` (default: tf_logs in the work dir)."""

    type: Literal["TensorboardLoggerHook"]
    log_dir: LocalPath | None = None
    by_epoch: Literal[True] = True
    without_meaning: ClassVar[Mapping[str, str]] = _LOGGER_WITHOUT_MEANING


def _no_copies(value: Any) -> Any:
    if value is True:
        raise problem("got True, which cannot be obeyed: files stay in the work dir; write False.")
    return value


def _own_arguments(value: Any) -> Any:
    """`init_kwargs` as plain data, without what the run itself decides."""
    if not isinstance(value, dict):
        return value
    for key in ("resume", "resume_from", "fork_from"):
        if key in value:
            raise problem(
                "cannot be obeyed: a training that is resumed goes on in its own run by itself.", key=key
            )
    return plain(value)


class MlflowLogger(Section):
    """MLflow (`pip install 'sdpose[mlflow]'`): `mlflow.db` in the work dir, or where MLFLOW_TRACKING_URI says.

    `exp_name` None is "sdpose".
    """

    type: Literal["MlflowLoggerHook"]
    exp_name: str | None = None
    tags: Annotated[dict[str, str], BeforeValidator(lambda value: {} if value is None else plain(value))] = (
        Field(default_factory=dict)
    )
    log_model: Annotated[Literal[False], BeforeValidator(_no_copies)] = False
    by_epoch: Literal[True] = True
    without_meaning: ClassVar[Mapping[str, str]] = _LOGGER_WITHOUT_MEANING
    refused: ClassVar[Mapping[str, str]] = {
        **_LOGGER_REFUSED,
        "params": "the settings of the run are logged as its parameters; use tags for more",
    }


class WandbLogger(Section):
    """Weights & Biases (`pip install 'sdpose[wandb]'`): files in the work dir, unless `init_kwargs` say mode='online'.

    `init_kwargs` are the arguments of wandb.init.
    """

    type: Literal["WandbLoggerHook"]
    init_kwargs: Annotated[
        dict[str, Any], BeforeValidator(lambda value: {} if value is None else _own_arguments(value))
    ] = Field(default_factory=dict)
    log_artifact: Annotated[Literal[False], BeforeValidator(_no_copies)] = False
    commit: Literal[True] = True
    with_step: Literal[True] = True
    by_epoch: Literal[True] = True
    without_meaning: ClassVar[Mapping[str, str]] = {
        **_LOGGER_WITHOUT_MEANING,
        "out_suffix": "no files are copied",
    }
    refused: ClassVar[Mapping[str, str]] = {
        **_LOGGER_REFUSED,
        "define_metric_cfg": "wandb shows the last value; the log has all of them",
    }


Logger = Annotated[TextLogger | TensorboardLogger | MlflowLogger | WandbLogger, Field(discriminator="type")]


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
    `compile` costs minutes at the start and pays in long runs on a GPU; 'cuda-graphs' also replays an iteration's
    kernels at once, for batches so small that the host cannot launch them fast enough. `rescue_minutes` is the time
    between checkpoints within an epoch (0: none). `limit_train_batches` ends every epoch after so many batches, for a
    quick try.
    """

    precision: Literal["auto", "fp32", "bf16"] = "auto"
    channels_last: bool | None = None
    tf32: bool = True
    compile: Literal[False, True, "cuda-graphs"] = False
    rescue_minutes: NotNegativeFloat = 15.0
    limit_train_batches: Positive | None = None


Reaction = Literal["warn", "stop", "recover"]
REACTIONS: tuple[str, ...] = get_args(Reaction)
#: Alerts that a change of the training can mend; `training.recovery` knows how.
REPAIRABLE_KINDS = ("non_finite", "loss_spike", "gradient_explosion", "divergence")
#: All kinds of alerts of the built-in detectors. A user's own hooks may raise others.
ALERT_KINDS = (
    *REPAIRABLE_KINDS,
    *("no_learning", "metric_zero", "metric_collapse", "performance_drop", "overfitting", "plateau"),
    *("behind_schedule", "gradient_vanishing", "always_clipped", "dead_heatmaps", "saturated_heatmaps"),
    *("dead_tokens", "loss_term_missing", "loss_term_zero", "loss_term_swallowing", "ranks_disagree"),
    *("data_starvation", "throughput_drop", "memory_growth", "disk_low", "lr_unexpected", "hook_failed"),
)


def _check_reactions(value: Any, info: ValidationInfo) -> Any:
    """One reaction for all kinds of alerts, or `dict(default=..., kind=...)`."""
    if not isinstance(value, dict):
        if value not in REACTIONS:
            hint = nearest(str(value), REACTIONS)
            raise problem(f"got {value!r}, expected 'warn', 'stop' or 'recover', or a dict of them.{hint}")
        return value
    own_hooks = reading_of(info).custom_imports
    for kind, reaction in value.items():
        if kind not in ("default", *ALERT_KINDS) and not own_hooks:
            raise problem(unknown_key(kind, ["default", *ALERT_KINDS]), key=kind)
        if reaction not in REACTIONS:
            hint = nearest(str(reaction), REACTIONS)
            raise problem(f"got {reaction!r}, expected 'warn', 'stop' or 'recover'.{hint}", key=kind)
        if reaction == "recover" and kind not in ("default", *REPAIRABLE_KINDS):
            can = ", ".join(REPAIRABLE_KINDS)
            raise problem(
                f"cannot be repaired by the run itself; choose 'warn' or 'stop' (repairable: {can}).",
                key=kind,
            )
    return {str(kind): str(reaction) for kind, reaction in value.items()}


class MonitorSettings(Section):
    """What follows from an alert: `warn` says it, `stop` also ends the run (checkpoint saved), `recover` repairs it.

    `on_alert` is one of them or `dict(default='warn', non_finite='recover', ...)` by kind; kinds that cannot be
    repaired are said. `on_non_finite_loss` counts where `on_alert` asks for no recovery. `max_repairs` are tried in
    a row; `dry_run` says what would be repaired and changes nothing. `snapshot` keeps a copy of the state at the
    start of each logging interval: 12 bytes a parameter on the device, and what `recover` goes back to.
    `explain` finds the cause by experiment when a critical alert has ended the run: at most a minute, one process only.
    `language` None is the locale's. A lasting fault is said again after `cooldown_iterations` (None: ten checks).
    `notify` are apprise URLs, or names of environment variables that hold one, as in '$SLACK'; alerts of
    `notify_severity` or above are sent there.
    """

    on_alert: Annotated[Any, BeforeValidator(_check_reactions)] = "warn"
    on_non_finite_loss: Reaction = "stop"
    max_repairs: Positive = 3
    dry_run: bool = False
    snapshot: bool = True
    explain: bool = True
    language: Literal["en", "ko"] | None = None
    cooldown_iterations: Positive | None = None
    notify: Texts = ()
    notify_severity: Literal["info", "warning", "critical"] = "warning"

    @model_validator(mode="after")
    def _check_recovery(self) -> MonitorSettings:
        if self.recovers and not self.snapshot:
            raise problem("recover needs the copies that snapshot makes; leave it True.", key="snapshot")
        return self

    @property
    def recovers(self) -> bool:
        """Whether any alert may lead to a repair."""
        return any(self.reaction(kind) == "recover" for kind in REPAIRABLE_KINDS)

    def reaction(self, kind: str) -> Reaction:
        """What follows from an alert of this kind, be it only a warning."""
        by_kind = self.on_alert if isinstance(self.on_alert, dict) else {"default": self.on_alert}
        default: Reaction = by_kind.get("default", "warn")
        if default == "recover" and kind not in REPAIRABLE_KINDS:
            default = "warn"
        if kind == "non_finite" and default != "recover":
            default = self.on_non_finite_loss
        chosen: Reaction = by_kind.get(kind, default)
        return chosen
