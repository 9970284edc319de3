"""What the loop does with a batch: the model as training sees it, and its losses."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

from torch import Tensor, nn

from sdpose.assemble.data import to_device, training_targets
from sdpose.assemble.machine import Machine
from sdpose.assemble.model import build_normalizer
from sdpose.config.settings import Settings
from sdpose.models import SDPose, SDPoseLoss
from sdpose.models.losses import pose_accuracy
from sdpose.training.distributed import World
from sdpose.training.loop import StepOutput
from sdpose.training.vital_signs import output_signs


class _Cycles(nn.Module):
    """The model as training sees it: DDP and torch.compile wrap `forward`, and training needs all cycles."""

    def __init__(self, model: SDPose) -> None:
        super().__init__()
        self.model = model

    def forward(self, images: Tensor) -> list[Any]:
        return self.model.forward_cycles(images)


def wrap_for_training(model: SDPose, settings: Settings, machine: Machine, world: World) -> nn.Module:
    """The model as `training_step` calls it, compiled and shared among the processes as the settings ask."""
    trained: nn.Module = _Cycles(model)
    if settings.runtime.compile:
        mode = "reduce-overhead" if settings.runtime.compile == "cuda-graphs" else "default"
        trained.compile(mode=mode)
    if world.size > 1:
        trained = nn.parallel.DistributedDataParallel(
            trained,
            device_ids=[machine.device.index] if machine.device.type == "cuda" else None,
            **_without_buffer_sync(),
            find_unused_parameters=settings.find_unused_parameters,
            gradient_as_bucket_view=True,
        )
    return trained


def no_sync_of(trained: nn.Module) -> Callable[[], AbstractContextManager[None]]:
    """What suspends the exchange of gradients."""
    return trained.no_sync if isinstance(trained, nn.parallel.DistributedDataParallel) else nullcontext


def training_step(
    settings: Settings, trained: nn.Module, criterion: SDPoseLoss, machine: Machine
) -> Callable[[Any], StepOutput]:
    """A batch of uint8 crops and joints -> loss terms, `acc_pose` and vital signs; all of it on the device."""
    normalize = build_normalizer(settings, "train").to(machine.device)

    def compute_losses(batch: Any) -> StepOutput:
        batch = to_device(batch, machine.device)
        target, weight = training_targets(settings, batch)
        with machine.autocast():
            cycles = trained(normalize(batch.images))
        terms: dict[str, Tensor] = criterion(cycles, target, weight)
        first = cycles[0]
        return StepOutput(
            terms={**terms, "acc_pose": pose_accuracy(cycles, target, weight)},
            signs=output_signs(first.heatmaps, first.keypoint_tokens, first.visual_tokens),
        )

    return compute_losses


def _without_buffer_sync() -> dict[str, Any]:
    """Batch norm statistics are each rank's own while it trains, as published; torch 2.13 renamed the switch."""
    known = inspect.signature(nn.parallel.DistributedDataParallel.__init__).parameters
    return {"forward_sync_buffers" if "forward_sync_buffers" in known else "broadcast_buffers": False}
