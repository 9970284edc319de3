"""A tiny model with an optimizer that has taken steps, and checkpoints of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.optim import Optimizer

from sdpose.training.checkpoint import Checkpoint, make_meta, model_state
from sdpose.training.optim import build_optimizer, optimizer_state


class TinyNet(nn.Module):
    """A convolution, batch norm, a frozen parameter and a linear layer: every kind of entry a state_dict
    has."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)
        self.norm = nn.BatchNorm2d(4)
        self.pos_embedding = nn.Parameter(torch.ones(4), requires_grad=False)
        self.head = nn.Linear(4, 2)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        features = self.norm(self.conv(images)).mean((2, 3))
        return self.head(features + self.pos_embedding)


FROZEN_INDEX = 0  # of pos_embedding among TinyNet's parameters


def trained(seed: int = 0, *, steps: int = 2, **optimizer: Any) -> tuple[TinyNet, Optimizer]:
    """A TinyNet after `steps` optimizer steps."""
    torch.manual_seed(seed)
    model = TinyNet()
    built = build_optimizer(model, **{"type": "Adam", "lr": 1e-2, **optimizer})
    train(model, built, steps=steps)
    return model, built


def train(model: nn.Module, optimizer: Optimizer, *, steps: int, first: int = 0) -> None:
    for step in range(first, first + steps):
        generator = torch.Generator().manual_seed(step)
        images = torch.randn(2, 3, 8, 8, generator=generator)
        optimizer.zero_grad()
        model(images).square().mean().backward()
        optimizer.step()


def checkpoint_of(
    model: nn.Module, optimizer: Optimizer, *, epoch: int = 1, iteration: int = 130, **resume: Any
) -> Checkpoint:
    meta = make_meta(
        epoch=epoch, iteration=iteration, seed=7, env_info="test machine", config_text="lr = 1e-2\n"
    )
    return Checkpoint(meta, model_state(model), optimizer_state(optimizer), {"batch": 0, **resume})


def flip_bit(path: Path, offset: int) -> None:
    data = bytearray(path.read_bytes())
    data[offset] ^= 1
    path.write_bytes(data)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())
