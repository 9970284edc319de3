"""Optimizers with the layout that official checkpoints have, and moving their state between runs.

The optimizer is given every parameter of the model, the frozen position table included: official checkpoints
store Adam's moments by parameter index, so leaving one out would shift all that follow.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import SGD, Adam, AdamW, Optimizer

from sdpose.errors import SdposeError, nearest

OPTIMIZERS: dict[str, type[Optimizer]] = {"Adam": Adam, "AdamW": AdamW, "SGD": SGD}

# How a step is computed on this machine; not part of what a run is, so a checkpoint does not decide it.
_MACHINE_KEYS = ("foreach", "capturable", "differentiable", "fused")
_MOMENTS: dict[type[Optimizer], tuple[str, ...]] = {
    Adam: ("exp_avg", "exp_avg_sq", "max_exp_avg_sq"),
    AdamW: ("exp_avg", "exp_avg_sq", "max_exp_avg_sq"),
    SGD: ("momentum_buffer",),
}


def build_optimizer(model: nn.Module, type: str, lr: float, **options: Any) -> Optimizer:
    """`type` is one of `OPTIMIZERS`; `options` are torch's own (betas, weight_decay, momentum ...).

    One parameter group over all of `model.parameters()`, carrying `initial_lr`. On CUDA the fused kernels are
    used. On CPU they are not: they walk memory without looking at strides, so a gradient or moment in another
    memory format than its parameter gives silently wrong weights, and the 10 ms they save there are well
    below 1 % of a step.
    """
    if type not in OPTIMIZERS:
        raise SdposeError(
            f"optimizer.type is '{type}', known are {', '.join(OPTIMIZERS)}.{nearest(type, OPTIMIZERS)}"
        )
    known = [
        name for name in inspect.signature(OPTIMIZERS[type]).parameters if name not in ("self", "params")
    ]
    for name in options:
        if name not in known:
            raise SdposeError(
                f"optimizer.{name} is no option of {type}; it takes {', '.join(known)}.{nearest(name, known)}"
            )
    parameters = list(model.parameters())
    if "fused" not in options and "foreach" not in options and all(p.is_cuda for p in parameters):
        options["fused"] = True
    try:
        optimizer = OPTIMIZERS[type](parameters, lr=lr, **options)  # type: ignore[call-arg]
    except (TypeError, ValueError) as error:
        raise SdposeError(f"{type} refuses its settings: {error}") from error
    for group in optimizer.param_groups:
        group["initial_lr"] = group["lr"]
    return optimizer


def set_learning_rate(optimizer: Optimizer, lr: float) -> None:
    """Give every parameter group this learning rate."""
    for group in optimizer.param_groups:
        group["lr"] = lr


def clip_gradients(optimizer: Optimizer, *, max_norm: float, norm_type: float = 2.0) -> Tensor:
    """Scale all gradients so that their joint norm is at most `max_norm`.

    Gives the norm before clipping as a 0-dim tensor on the device; nothing waits for it. Zero when there are
    no gradients. A non-finite norm makes every gradient non-finite, as in mmcv: guard before the step.
    """
    parameters = [p for group in optimizer.param_groups for p in group["params"] if p.grad is not None]
    return nn.utils.clip_grad_norm_(parameters, max_norm, norm_type, error_if_nonfinite=False)


def optimizer_state(optimizer: Optimizer) -> dict[str, Any]:
    """A copy of the state on the CPU, indexed like official ones, without choices of this machine."""
    return neutral_state(optimizer.state_dict())


def neutral_state(state: Mapping[str, Any]) -> dict[str, Any]:
    """The same for what `Optimizer.state_dict` gave."""
    entries = {
        index: {name: _copied(value) for name, value in entry.items()}
        for index, entry in state["state"].items()
    }
    neutral: dict[str, Any] = {"foreach": None, "capturable": False, "differentiable": False, "fused": None}
    groups = [
        {name: neutral.get(name, value) for name, value in group.items()} for group in state["param_groups"]
    ]
    return {"state": entries, "param_groups": groups}


def load_optimizer_state(optimizer: Optimizer, state: Mapping[str, Any], *, source: str) -> list[str]:
    """Continue with a state from `optimizer_state` or from an official checkpoint.

    As in mmcv the stored values (lr, initial_lr, betas ...) win. Gives one line for each that differs from
    what the optimizer was built with. Raises SdposeError, naming `source`, when the state belongs to another
    optimizer or another model.
    """
    groups = _checked_groups(optimizer, state, source)
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    indices = [index for group in groups for index in group["params"]]
    by_index = dict(zip(indices, parameters, strict=True))
    entries = {
        index: _fitted_entry(optimizer, index, by_index.get(index), entry, source)
        for index, entry in state["state"].items()
    }
    notes: list[str] = []
    for ours, theirs in zip(optimizer.param_groups, groups, strict=True):
        notes += _differences(ours, theirs, source)
        for key in _MACHINE_KEYS:
            if key in ours:
                theirs[key] = ours[key]
        for key, value in ours.items():
            theirs.setdefault(key, value)
    optimizer.load_state_dict({"state": entries, "param_groups": groups})
    return notes


def _checked_groups(optimizer: Optimizer, state: Mapping[str, Any], source: str) -> list[dict[str, Any]]:
    cure = "use --load-from to take only its weights"
    if not isinstance(state, Mapping) or "state" not in state or "param_groups" not in state:
        raise SdposeError(f"{source} holds no optimizer state (needs 'state' and 'param_groups'); {cure}")
    groups = [dict(group) for group in state["param_groups"]]
    theirs = [len(group["params"]) for group in groups]
    ours = [len(group["params"]) for group in optimizer.param_groups]
    if theirs != ours:
        raise SdposeError(
            f"the optimizer in {source} has parameter groups of sizes {theirs}, this model needs {ours}: "
            f"it belongs to another model variant or to per-layer learning rates; {cure}"
        )
    name = optimizer.__class__.__name__
    # A key that torch adds later may be absent; one that only another optimizer has says which one wrote it.
    marks = {"Adam": ("betas", False), "AdamW": ("betas", True), "SGD": ("momentum", None)}
    key, decoupled = marks[name]
    written_decoupled = groups[0].get("decoupled_weight_decay", decoupled)
    if key not in groups[0] or (decoupled is not None and written_decoupled != decoupled):
        raise SdposeError(
            f"the optimizer in {source} is not {name}, which the config asks for; set that type, or {cure}"
        )
    return groups


def _fitted_entry(
    optimizer: Optimizer, index: Any, parameter: Tensor | None, entry: Mapping[str, Any], source: str
) -> dict[str, Any]:
    """The entry with its moments in the parameter's memory format, which fused kernels take for granted."""
    if parameter is None:
        raise SdposeError(
            f"the optimizer in {source} has state for parameter {index!r}, which no group lists: "
            "the file was put together wrongly; use --load-from to take only its weights"
        )
    fitted = {name: _copied(value) for name, value in entry.items()}
    for name in _MOMENTS[optimizer.__class__]:
        moment = fitted.get(name)
        if moment is None:
            continue
        if moment.shape != parameter.shape:
            raise SdposeError(
                f"the optimizer in {source} has {name} {tuple(moment.shape)} for parameter {index}, this "
                f"model has {tuple(parameter.shape)}: it is of another variant; use that variant's config"
            )
        fitted[name] = torch.empty_like(parameter, dtype=moment.dtype, requires_grad=False).copy_(moment)
    return fitted


def _copied(value: Any) -> Any:
    return value.detach().to("cpu", copy=True) if isinstance(value, Tensor) else value


def _differences(ours: Mapping[str, Any], theirs: Mapping[str, Any], source: str) -> list[str]:
    """Hyper-parameters that the checkpoint overrides. `lr` is left out: the schedule sets it anyway."""
    skipped: Sequence[str] = (*_MACHINE_KEYS, "params", "lr")
    return [
        f"{source} was trained with {_shown(key)} {_value(theirs[key])}; "
        f"going on with that, not with the config's {_value(value)}"
        for key, value in ours.items()
        if key not in skipped and key in theirs and _value(theirs[key]) != _value(value)
    ]


def _shown(key: str) -> str:
    return "learning rate" if key == "initial_lr" else key


def _value(value: Any) -> str:
    return str(tuple(value)) if isinstance(value, list | tuple) else str(value)
