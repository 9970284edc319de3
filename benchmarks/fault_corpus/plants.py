"""Faults that no config can ask for, planted around the product's own functions while a run is under way."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

import sdpose.fit  # its names are replaced below
from sdpose.assemble.data import EpochBatches, training_targets
from sdpose.assemble.schedule import build_optimizer_from
from sdpose.data.images import decode
from sdpose.data.loader import PoseBatch, epoch_order
from sdpose.models.normalize import ImageNormalizer

Plant = Callable[[], AbstractContextManager[None]]


class Position:
    """The training iteration under way (from 1), as the loader counts."""

    iteration = 0


@contextmanager
def replaced(original: Any, replacement: Any) -> Iterator[None]:
    """`replacement` wherever the package has imported `original`."""
    places = [
        (module, name)
        for module in list(sys.modules.values())
        if module.__name__.split(".")[0] == "sdpose"
        for name, value in vars(module).items()
        if value is original
    ]
    if not places:
        raise LookupError(f"nothing in sdpose is {original}; the plant has to follow the code")
    for module, name in places:
        setattr(module, name, replacement)
    try:
        yield
    finally:
        for module, name in places:
            setattr(module, name, original)


@contextmanager
def method_replaced(owner: type, name: str, replacement: Any) -> Iterator[None]:
    """A method of a class, for a while."""
    original = getattr(owner, name)
    setattr(owner, name, replacement)
    try:
        yield
    finally:
        setattr(owner, name, original)


@contextmanager
def counting(each: Callable[[PoseBatch], PoseBatch] = lambda batch: batch) -> Iterator[None]:
    """Keeps `Position`; `each` may change a batch on its way."""
    original = EpochBatches.batches

    def batches(self: EpochBatches, epoch: int, start_batch: int = 0) -> Iterator[PoseBatch]:
        Position.iteration = epoch * len(self) + start_batch
        for batch in original(self, epoch, start_batch):
            Position.iteration += 1
            yield each(batch)

    with method_replaced(EpochBatches, "batches", batches):
        yield


def nan_in_batch(at: int) -> Plant:
    """One value of one crop of iteration `at` is NaN, as a division by an empty crop's spread would make it."""

    @contextmanager
    def plant() -> Iterator[None]:
        original = ImageNormalizer.forward
        planted: set[int] = set()

        def forward(self: ImageNormalizer, images: Tensor) -> Tensor:
            normal: Tensor = original(self, images)
            if Position.iteration == at and at not in planted:
                planted.add(at)
                normal = normal.clone()
                normal[0, 0, 0, 0] = torch.nan
            return normal

        with counting(), method_replaced(ImageNormalizer, "forward", forward):
            yield

    return plant


def infinite_target(at: int) -> Plant:
    """One cell of one target map of iteration `at` is infinite."""

    @contextmanager
    def plant() -> Iterator[None]:
        def targets(settings: Any, batch: PoseBatch) -> tuple[Tensor, Tensor]:
            target, weight = training_targets(settings, batch)
            if Position.iteration == at:
                target = target.clone()
                target[0, :, 0, 0] = torch.inf
            return target, weight

        with counting(), replaced(training_targets, targets):
            yield

    return plant


def same_few_samples(count: int) -> Plant:
    """A sampler whose state was not restored: it hands out the same `count` samples again and again."""

    @contextmanager
    def plant() -> Iterator[None]:
        def order(num_samples: int, seed: int, *others: Any) -> Any:
            whole = epoch_order(num_samples, seed, *others)
            return np.resize(epoch_order(num_samples, seed, 0, *others[1:])[:count], len(whole))

        with replaced(epoch_order, order):
            yield

    return plant


@contextmanager
def frozen_backbone() -> Iterator[None]:
    """No gradient reaches the backbone; together with weights that lack it, it stays random."""

    def build(settings: Any, model: nn.Module, **options: Any) -> Any:
        for name, parameter in model.named_parameters():
            if name.startswith("backbone."):
                parameter.requires_grad_(False)
        return build_optimizer_from(settings, model, **options)

    with replaced(build_optimizer_from, build):
        yield


def broken_rank(rank: int, from_iteration: int) -> Plant:
    """The disk of one process went bad: its crops are noise from then on."""

    @contextmanager
    def plant() -> Iterator[None]:
        def spoil(batch: PoseBatch) -> PoseBatch:
            if Position.iteration >= from_iteration and int(os.environ.get("RANK", "0")) == rank:
                generator = torch.Generator().manual_seed(Position.iteration)
                batch.images = torch.randint(
                    0, 256, batch.images.shape, generator=generator, dtype=torch.uint8
                )
            return batch

        with counting(spoil):
            yield

    return plant


def killed_worker(at: int) -> Plant:
    """The system kills the loader's process, as it does when the memory is used up."""

    @contextmanager
    def plant() -> Iterator[None]:
        def kill(batch: PoseBatch) -> PoseBatch:
            if Position.iteration == at:
                for worker in torch.multiprocessing.active_children():
                    if worker.pid is not None:
                        os.kill(worker.pid, signal.SIGKILL)
            return batch

        with counting(kill):
            yield

    return plant


def slow_disk(from_iteration: int, seconds: float) -> Plant:
    """Every picture takes `seconds` longer to read from then on."""

    @contextmanager
    def plant() -> Iterator[None]:
        def slowly(path: str, size: tuple[int, int]) -> Any:
            # The batch under way was counted when the one before was handed over.
            if "train2017" in path and Position.iteration + 1 >= from_iteration:
                time.sleep(seconds)
            return decode(path, size)

        with counting(), replaced(decode, slowly):
            yield

    return plant


assert sdpose.fit  # imported for what `replaced` looks through
