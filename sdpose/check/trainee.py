"""A model that learns for a moment, and how long its steps take."""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from sdpose.assemble.data import skeleton_of, to_device, training_targets
from sdpose.assemble.machine import Machine
from sdpose.assemble.model import build_loss, build_normalizer
from sdpose.assemble.schedule import build_optimizer_from
from sdpose.assemble.user_code import UserCode
from sdpose.config.settings import Settings
from sdpose.data.batch import PoseBatch
from sdpose.models import CycleOutput, SDPose, total_loss
from sdpose.training.optim import clip_gradients


@dataclass
class StepValues:
    """Scalars of one training step, on the device."""

    terms: dict[str, Tensor]
    loss: Tensor
    grad_norm: Tensor


class Trainee:
    """A model on its way, and a training step in the order in which the loop takes it."""

    def __init__(
        self,
        settings: Settings,
        machine: Machine,
        user_code: UserCode,
        start_model: SDPose,
        lr: float | None = None,
    ) -> None:
        self.settings = settings
        self.machine = machine
        self.model = copy.deepcopy(start_model)
        machine.place(self.model)
        self.model.train()
        self.criterion = build_loss(settings, user_code).to(machine.device)
        self.optimizer = build_optimizer_from(
            settings, self.model, lr_factor=1.0 if lr is None else lr / settings.optimizer.lr
        )
        self.normalize = build_normalizer(settings, "train").to(machine.device)
        clip = settings.optimizer_config.grad_clip
        self.max_norm = clip.max_norm if clip else math.inf

    def forward(self, batch: PoseBatch) -> tuple[list[CycleOutput], dict[str, Tensor]]:
        """The outputs of all cycles and the loss terms."""
        batch = to_device(batch, self.machine.device)
        target, weight = training_targets(self.settings, batch)
        with self.machine.autocast():
            cycles = self.model.forward_cycles(self.normalize(batch.images))
        return cycles, self.criterion(cycles, target, weight)

    def backward(self, terms: dict[str, Tensor]) -> Tensor:
        """Gradients of the sum of the losses, which is returned."""
        self.optimizer.zero_grad(set_to_none=True)
        loss = total_loss(terms)
        loss.backward()
        return loss

    def update(self) -> Tensor:
        """Clip and step; the norm before clipping."""
        norm = clip_gradients(self.optimizer, max_norm=self.max_norm)
        self.optimizer.step()
        return norm

    def step(self, batch: PoseBatch) -> StepValues:
        """All of it."""
        _, terms = self.forward(batch)
        loss = self.backward(terms)
        return StepValues(terms, loss.detach(), self.update())


def timed(machine: Machine, work: Callable[[], object]) -> float:
    """Seconds of `work`, the device's part of it included."""
    if machine.device.type == "cuda":
        torch.cuda.synchronize(machine.device)
    started_at = time.perf_counter()
    work()
    if machine.device.type == "cuda":
        torch.cuda.synchronize(machine.device)
    return time.perf_counter() - started_at


def random_batch(settings: Settings, batch_size: int, seed: int = 0) -> PoseBatch:
    """Noise with joints anywhere: enough to see whether the model computes, and how fast."""
    generator = torch.Generator().manual_seed(seed)
    width, height = settings.data.train.data_cfg.image_size
    num_keypoints = skeleton_of(settings.data.train).num_keypoints
    size = torch.tensor([width, height], dtype=torch.float32)
    return PoseBatch(
        images=torch.randint(0, 256, (batch_size, height, width, 3), generator=generator, dtype=torch.uint8),
        joints=torch.rand((batch_size, num_keypoints, 2), generator=generator) * size,
        visible=torch.ones(batch_size, num_keypoints),
        centers=torch.zeros(batch_size, 2),
        scales=torch.ones(batch_size, 2),
        indices=torch.arange(batch_size),
        problems=[None] * batch_size,
    )
