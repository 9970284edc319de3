"""Optimizer, learning rate and hooks from the settings."""

from __future__ import annotations

from typing import Any

from torch import nn
from torch.optim import Optimizer

from sdpose.assemble.user_code import UserCode
from sdpose.config.custom import CustomHook
from sdpose.config.settings import Settings
from sdpose.errors import SdposeError
from sdpose.monitor import DetailedLossLogHook, Hook, TrainingMonitorHook
from sdpose.training.optim import build_optimizer
from sdpose.training.schedule import LrSchedule, build_schedule

HOOKS: dict[str, type[Hook]] = {
    "TrainingMonitorHook": TrainingMonitorHook,
    "DetailedLossLogHook": DetailedLossLogHook,
}


def build_optimizer_from(settings: Settings, model: nn.Module, *, lr_factor: float = 1.0) -> Optimizer:
    """The config's optimizer over all parameters of the model."""
    chosen = settings.optimizer
    return build_optimizer(model, chosen.type, chosen.lr * lr_factor, **chosen.arguments)


def build_schedule_from(settings: Settings, base_lr: float) -> LrSchedule:
    """The config's learning rate as a function of epoch and iteration."""
    arguments: dict[str, Any] = settings.lr_config.model_dump(exclude={"policy"})
    return build_schedule(
        settings.lr_config.policy, base_lr=base_lr, total_epochs=settings.total_epochs, **arguments
    )


def build_hooks(settings: Settings, user_code: UserCode) -> list[Hook]:
    """The config's hooks; the two of the guide are there whether it names them or not."""
    hooks: list[Hook] = []
    for chosen in settings.custom_hooks:
        if isinstance(chosen, CustomHook):
            hook = user_code.make(chosen)
            if not isinstance(hook, Hook):
                raise SdposeError(f"{chosen.where}: {chosen.type} must derive from sdpose.Hook")
            hooks.append(hook)
        else:
            hooks.append(HOOKS[chosen.type](**chosen.model_dump(exclude={"type", "priority"})))
    named = {type(hook) for hook in hooks}
    return [hook() for hook in HOOKS.values() if hook not in named] + hooks
