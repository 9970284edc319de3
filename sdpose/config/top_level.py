"""The names of a config file: settings, what means nothing here, helpers, misspellings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sdpose.config.places import SourceDict
from sdpose.config.reader import RawConfig
from sdpose.config.section import Reading
from sdpose.errors import SdposeError, nearest

_WITHOUT_MEANING: Mapping[str, str] = {
    "dist_params": "the backend is nccl on GPUs and gloo on CPU",
    "opencv_num_threads": "every loader worker uses one thread",
    "mp_start_method": "workers are started in the way that is safe here",
    "cudnn_benchmark": "sizes never change, so cuDNN looks for its fastest kernels (but for --deterministic)",
    "gpu_ids": "say on the command line which GPU to use",
    "gpus": "say on the command line how many processes to start",
    "launcher": "say on the command line how the processes were started",
    "device": "say on the command line which device to use",
    "deterministic": "say --deterministic on the command line",
    "autoscale_lr": "say --autoscale-lr on the command line",
    "auto_resume": "say --resume-from auto on the command line",
    "use_adversarial_train": "it belongs to other models",
}
_REFUSED: Mapping[str, str] = {
    "fp16": "there is no fp16 training (loss scaling); write runtime=dict(precision='bf16')",
    "momentum_config": "momentum is constant; remove it",
    "auto_scale_lr": "say --autoscale-lr on the command line",
}
# The rest of what the original's files carry: parts of other settings, written apart.
_HELPERS = (
    "channel_cfg",
    "data_cfg",
    "train_pipeline",
    "val_pipeline",
    "test_pipeline",
    "data_root",
    "dataset_info",
)

# Where a key is looked for that was written without its section.
_SECTIONS = (
    "optimizer",
    "data",
    "evaluation",
    "checkpoint_config",
    "log_config",
    "lr_config",
    "optimizer_config",
)


def check_top_level(raw: RawConfig, reading: Reading, known: Sequence[str]) -> SourceDict:
    """The settings among the file's names; helper names are left out. Notes and errors for all others."""
    values = SourceDict(raw.values.place)
    for name, value in raw.values.items():
        place = raw.values.place_of(name)
        if name in known:
            values.put(name, value, place)
        elif name == "workflow":
            _check_workflow(value, f"{place}: workflow", reading)
        elif name == "runner":
            _put_runner(values, raw.values, reading)
        elif name in _REFUSED:
            raise SdposeError(f"{place}: {name}: cannot be obeyed: {_REFUSED[name]}.")
        elif name in _WITHOUT_MEANING:
            reading.note(name, f"{name} has no meaning here: {_WITHOUT_MEANING[name]}.", place)
        elif name not in raw.used and name not in _HELPERS:
            guess = nearest(name, known)
            if not place.line:
                guess = _deeper(name, raw.values) or guess
            if guess or not place.line:
                raise SdposeError(f"{place}: {name}: no such setting.{guess} Known: {', '.join(known)}.")
            reading.note(name, f"nothing uses the name '{name}'.", place)
    return values


def _deeper(name: str, values: SourceDict) -> str:
    """` Did you mean 'optimizer.lr'?` where one of the sections has such a key, as in mmcv's `--cfg-options lr=...`."""
    for section in _SECTIONS:
        inner = values.get(section)
        if isinstance(inner, Mapping) and name in inner:
            return f" Did you mean '{section}.{name}'?"
    return ""


def _check_workflow(value: Any, where: str, reading: Reading) -> None:
    steps = (
        [tuple(step) if isinstance(step, list | tuple) else step for step in value]
        if isinstance(value, list)
        else value
    )
    if steps != [("train", 1)]:
        raise SdposeError(
            f"{where}: got {value!r:.80}, which cannot be obeyed; expected [('train', 1)]. "
            "How often to evaluate is said in evaluation=dict(interval=...)."
        )
    reading.note(
        "workflow", "workflow has no meaning here: every epoch is one of training.", where.rpartition(":")[0]
    )


def _put_runner(values: SourceDict, raw: SourceDict, reading: Reading) -> None:
    """`runner=dict(type='EpochBasedRunner', max_epochs=N)` is the later spelling of total_epochs."""
    runner, place = raw["runner"], raw.place_of("runner")
    if (
        not isinstance(runner, dict)
        or runner.get("type") != "EpochBasedRunner"
        or set(runner) != {"type", "max_epochs"}
    ):
        raise SdposeError(
            f"{place}: runner: expected dict(type='EpochBasedRunner', max_epochs=N), got {runner!r:.80}."
        )
    if raw.get("total_epochs", runner["max_epochs"]) != runner["max_epochs"]:
        raise SdposeError(
            f"{place}: runner says {runner['max_epochs']} epochs and total_epochs {raw['total_epochs']} "
            f"({raw.place_of('total_epochs')}); keep one of them."
        )
    values.put("total_epochs", runner["max_epochs"], place)
