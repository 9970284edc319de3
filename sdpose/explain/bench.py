"""The run set up once more, so that one iteration of it can be lived through as often as questions need.

A run of several processes is lived through in one: gradients are averaged as DDP does it.
"""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from sdpose.assemble.data import training_data, training_loader
from sdpose.assemble.machine import Machine
from sdpose.assemble.model import build_loss, build_model, build_normalizer
from sdpose.assemble.schedule import build_optimizer_from, build_schedule_from
from sdpose.assemble.user_code import UserCode
from sdpose.config.settings import Settings
from sdpose.errors import SdposeError
from sdpose.explain.computation import (
    Batch,
    Computation,
    Lived,
    Precision,
    broken_tensors,
    gradient_norm,
)
from sdpose.models.weights import load_model_weights
from sdpose.training.checkpoint import Checkpoint
from sdpose.training.distributed import World
from sdpose.training.optim import clip_gradients, load_optimizer_state, set_learning_rate
from sdpose.training.progress import Progress
from sdpose.training.random_state import random_state, restore_random_state
from sdpose.training.repair import Repair
from sdpose.training.treatment import Treatment


@dataclass(frozen=True)
class StepRules:
    """What is different about a step that only might have been. None is as in the run."""

    lr_factor: float = 1.0
    max_norm: float | None = None
    weight_decay: float | None = None


@dataclass(frozen=True)
class State:
    """Everything an iteration starts from."""

    tensors: dict[str, Tensor]
    own: dict[str, Tensor]
    """Of the loss module, where a user's own has any."""
    moments: list[dict[str, Any]]
    gradients: list[Tensor | None]
    random: dict[str, Any]
    progress: Progress


class Bench:
    """Model, losses, optimizer and batches of a run, free to be moved back and forth.

    `base_lr` is the run's own (a scaled one, say), None the config's. Raises SdposeError for data or settings
    that do not fit.
    """

    def __init__(
        self,
        settings: Settings,
        user_code: UserCode,
        machine: Machine,
        *,
        seed: int,
        world_size: int = 1,
        base_lr: float | None = None,
    ) -> None:
        self.settings = settings
        self.machine = machine
        self.dataset = training_data(settings, seed=seed)
        alone = _without_workers(settings)
        self.loaders = [
            training_loader(alone, self.dataset, World(rank, world_size, device=machine.device), seed=seed)
            for rank in range(world_size)
        ]
        self.model = build_model(settings, pretrained=False)
        machine.place(self.model)
        self.model.train()
        self.criterion = build_loss(settings, user_code).to(machine.device)
        normalize = build_normalizer(settings, "train").to(machine.device)
        self.computation = Computation(settings, machine, self.model, self.criterion, normalize)
        self.optimizer = build_optimizer_from(settings, self.model)
        self.schedule = build_schedule_from(settings, base_lr or settings.optimizer.lr)
        self.progress = Progress()
        self.treatment = Treatment()

    @property
    def epoch_length(self) -> int:
        """Iterations in an epoch."""
        return len(self.loaders[0])

    def load(self, snapshot: Checkpoint) -> None:
        """Stand where a checkpoint stands. Raises SdposeError when the same iterations cannot follow."""
        source = str(snapshot.path)
        snapshot.require_resumable()
        load_model_weights(self.model, snapshot.state_dict, source=source)
        assert snapshot.optimizer is not None
        load_optimizer_state(self.optimizer, snapshot.optimizer, source=source)
        saved = snapshot.resume
        if saved is None:
            raise SdposeError(
                f"{source} is not from sdpose and does not say which batches came next, so nothing can be lived "
                "through again; --chain works with any checkpoint"
            )
        if saved["epoch_length"] != self.epoch_length:
            raise SdposeError(
                f"{source} was saved by a run of {saved['epoch_length']} iterations an epoch; with this data and "
                f"batch size there are {self.epoch_length}, so other batches would come: give the run's own config "
                "and data (--config, --data-root)"
            )
        self.progress = Progress(epoch=snapshot.epoch, batch=saved["batch"], iteration=snapshot.iteration)
        self.treatment = _treatment(saved.get("recovery"))
        restore_random_state(saved["random_states"][0], self.machine.device)

    def batches(self) -> Iterator[Batch]:
        """The batches that follow, epoch after epoch, in the run's order."""
        epoch, start = self.progress.epoch, self.progress.batch
        while epoch < self.settings.total_epochs:
            for shares in zip(*(loader.batches(epoch, start) for loader in self.loaders), strict=True):
                yield list(shares)
            epoch, start = epoch + 1, 0

    def measure(self, batch: Batch, *, precision: Precision = "run") -> Lived:
        """What an iteration on this batch would show from here; nothing moves."""
        with self.unmoved():
            computation = self.computation.in_precision(precision)
            for parameter in computation.model.parameters():
                parameter.grad = None
            lived = computation.backward(batch)
            values = {**lived.values, "grad_norm": gradient_norm(computation.model)}
            return dataclasses.replace(lived, values=values)

    def losses(self, batch: Batch) -> Lived:
        """Like `measure`, without gradients."""
        with self.unmoved():
            return self.computation.losses(batch)

    def next_lr(self) -> float:
        """What the schedule gives the next step."""
        progress = self.progress
        lr = self.schedule.lr(progress.epoch, progress.iteration, self.epoch_length)
        return lr * self.treatment.lr_factor(progress.iteration + 1)

    def max_norm(self) -> float | None:
        """What the next step clips gradients to; None when it does not."""
        clip = self.settings.optimizer_config.grad_clip
        return self.treatment.max_norm(self.progress.iteration + 1, clip.max_norm if clip else None)

    def skips_next(self) -> bool:
        """Whether a repair left the next batch out; `pass_over` then takes the place of `advance`."""
        return self.treatment.skips(self.progress.iteration + 1)

    def pass_over(self) -> None:
        """Go on without the batch."""
        self._move_on()

    def advance(self, batch: Batch, rules: StepRules | None = None) -> Lived:
        """Make the next step of the run with this batch, in the loop's order."""
        rules = rules or StepRules()
        number, group = self.progress.iteration + 1, self._kept_of_group()
        lr = self.next_lr() * rules.lr_factor
        set_learning_rate(self.optimizer, lr)
        if number == group[0]:
            self.optimizer.zero_grad(set_to_none=True)
        lived = self.computation.backward(batch, group_size=len(group))
        values = lived.values
        if number == group[-1]:
            values = {**values, "grad_norm": self._step(rules)}
        self._move_on()
        broken = tuple(broken_tensors(self.model.state_dict()))
        return dataclasses.replace(lived, values=values, lr=lr, broken_weights=broken)

    def _kept_of_group(self) -> list[int]:
        """Iterations of the next batch's accumulation group, the next one always among them."""
        progress, most = self.progress, self.settings.optimizer_config.cumulative_iters
        position = progress.batch % most
        size = min(most, self.epoch_length - (progress.batch - position))
        next_one = progress.iteration + 1
        first = next_one - position
        return [n for n in range(first, first + size) if n == next_one or not self.treatment.skips(n)]

    def _move_on(self) -> None:
        progress = self.progress
        progress.batch += 1
        progress.iteration += 1
        if progress.batch == self.epoch_length:
            progress.epoch, progress.batch = progress.epoch + 1, 0

    def _step(self, rules: StepRules) -> float:
        """Clip and step; gives the norm before clipping."""
        clip = self.settings.optimizer_config.grad_clip
        max_norm = rules.max_norm or self.max_norm()
        if max_norm is None:
            norm = gradient_norm(self.model)
        else:
            norm_type = clip.norm_type if clip else 2.0
            norm = float(clip_gradients(self.optimizer, max_norm=max_norm, norm_type=norm_type))
        before = [dict(group) for group in self.optimizer.param_groups]
        if rules.weight_decay is not None:
            for group in self.optimizer.param_groups:
                group["weight_decay"] = rules.weight_decay
        self.optimizer.step()
        for group, values in zip(self.optimizer.param_groups, before, strict=True):
            group.update(values)
        return norm

    # The state ---------------------------------------------------------------------------------------------------

    def freeze(self) -> State:
        """A copy of everything the next iteration starts from."""
        parameters = [p for group in self.optimizer.param_groups for p in group["params"]]
        return State(
            tensors=_copied(self.model.state_dict()),
            own=_copied(self.criterion.state_dict()),
            moments=[_copied(self.optimizer.state.get(parameter, {})) for parameter in parameters],
            gradients=[None if p.grad is None else p.grad.detach().clone() for p in parameters],
            random=random_state(self.machine.device),
            progress=copy.copy(self.progress),
        )

    @torch.no_grad()
    def restore(self, state: State) -> None:
        """Stand where `freeze` stood."""
        for module, saved in ((self.model, state.tensors), (self.criterion, state.own)):
            for name, tensor in module.state_dict().items():
                tensor.copy_(saved[name])
        parameters = [p for group in self.optimizer.param_groups for p in group["params"]]
        self.optimizer.state.clear()
        for parameter, moments, gradient in zip(parameters, state.moments, state.gradients, strict=True):
            if moments:
                self.optimizer.state[parameter] = _copied(moments)
            parameter.grad = None if gradient is None else gradient.clone()
        restore_random_state(state.random, self.machine.device)
        self.progress = copy.copy(state.progress)

    @contextmanager
    def unmoved(self) -> Iterator[None]:
        """Whatever happens inside, the state afterwards is the one before."""
        state = self.freeze()
        try:
            yield
        finally:
            self.restore(state)

    @contextmanager
    def at(self, state: State) -> Iterator[None]:
        """Inside, stand at another state."""
        with self.unmoved():
            self.restore(state)
            yield


def _treatment(recovery: Mapping[str, Any] | None) -> Treatment:
    """The repairs that were in force, the one under test included."""
    if recovery is None:
        return Treatment()
    treatment, test = Treatment.from_plain(recovery["confirmed"]), recovery["under_test"]
    if test is None:
        return treatment
    repair = Repair.from_plain(test)
    return treatment.with_more(repair.skipped, repair.measure)


def _copied(entries: Mapping[str, Any]) -> dict[str, Any]:
    return {
        name: value.detach().clone() if isinstance(value, Tensor) else value
        for name, value in entries.items()
    }


def _without_workers(settings: Settings) -> Settings:
    """The same data without worker processes: samples do not depend on who makes them."""
    loader = type(settings.data.train_dataloader)(workers_per_gpu=0)
    data = settings.data.model_copy(
        update={"samples_per_gpu": settings.data.train_samples_per_gpu, "train_dataloader": loader}
    )
    return settings.model_copy(update={"data": data})
