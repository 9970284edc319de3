"""A copy of a model for evaluation alone, with every batch norm folded into the convolution before it."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import TypeVar

import torch
from torch import nn

from sdpose.models.conv_norm import ConvNorm, fold

Model = TypeVar("Model", bound=nn.Module)


@torch.no_grad()
def fuse_batch_norm(model: Model) -> Model:
    """The same function as `model.eval()` up to rounding, with fewer steps; `model` itself is left as it is.

    The copy is for evaluation and export: its state dict has other keys (a bias in each convolution, no norms), and it
    cannot go on training.
    """
    fused = copy.deepcopy(model).eval()
    for owner, conv_name, norm_name in conv_norm_pairs(fused):
        conv, norm = getattr(owner, conv_name), getattr(owner, norm_name)
        kernel, bias = fold(conv, norm)
        conv.weight.copy_(kernel)
        conv.bias = nn.Parameter(bias)
        setattr(owner, norm_name, nn.Identity())
    return fused.requires_grad_(False)


def conv_norm_pairs(model: nn.Module) -> Iterator[tuple[nn.Module, str, str]]:
    """(owner, name of the convolution, name of its norm): "0" and "1" of a ConvNorm, "conv1" and "bn1" elsewhere."""
    for owner in list(model.modules()):
        for name, child in list(owner.named_children()):
            if isinstance(child, nn.BatchNorm2d):
                yield owner, "0" if isinstance(owner, ConvNorm) else name.replace("bn", "conv"), name
