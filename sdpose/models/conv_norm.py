"""A convolution and its batch norm as one step, because in evaluation they are one.

Legend: B batch, C_in, C_out channels, H, W rows and columns before, h, w after.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class ConvNorm(nn.Sequential):
    """Padded convolution without bias, batch norm and perhaps one more step; state dict keys "0." and "1."."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        size: int,
        *,
        stride: int = 1,
        then: nn.Module | None = None,
    ) -> None:
        conv = nn.Conv2d(in_channels, out_channels, size, stride=stride, padding=size // 2, bias=False)
        super().__init__(conv, nn.BatchNorm2d(out_channels), *([] if then is None else [then]))

    def forward(self, x: Tensor) -> Tensor:
        """(B, C_in, H, W) -> (B, C_out, H / stride, W / stride), or what `then` makes of that."""
        conv, norm, *rest = self
        assert isinstance(conv, nn.Conv2d)
        x = conv_norm(conv, norm, x)
        for step in rest:
            x = step(x)
        return x


def conv_norm(conv: nn.Conv2d, norm: nn.Module, x: Tensor) -> Tensor:
    """norm(conv(x)): (B, C_in, H, W) -> (B, C_out, h, w).

    A norm that uses its stored statistics only scales and shifts each channel. Folded into the kernel that is free;
    as a pass of its own it is a fifth of a CPU evaluation. A GPU is left alone: there the many small folding steps
    cost more than the pass (`fuse_batch_norm` folds once and for all).
    """
    if isinstance(norm, nn.Identity):  # folded once and for all
        return convolve(x, conv.weight, conv.bias, conv.stride, conv.padding)
    if norm.training or x.device.type != "cpu" or not isinstance(norm, nn.BatchNorm2d):
        return norm(conv(x))
    return convolve(x, *fold(conv, norm), conv.stride, conv.padding)


def convolve(
    x: Tensor,
    kernel: Tensor,
    bias: Tensor | None,
    stride: Sequence[int],
    padding: Sequence[int] | str = (0, 0),
) -> Tensor:
    """F.conv2d: (B, C_in, H, W) -> (B, C_out, h, w).

    With one thread and fewer than 16 images torch leaves oneDNN for a convolution of its own, by which a whole pass of
    SDPose-S-V1 takes a tenth longer. oneDNN is asked for by name there, unless a gradient, autocast or a compiler is
    waiting for the usual operator.
    """
    if isinstance(padding, str) or not _is_left_by_onednn(x):
        return F.conv2d(x, kernel, bias, stride, padding)
    return torch.mkldnn_convolution(x, kernel, bias, padding, stride, (1, 1), 1)


def _is_left_by_onednn(x: Tensor) -> bool:
    return (
        not torch.compiler.is_compiling()  # first: a compiler would take what follows for facts about all batches
        and x.device.type == "cpu"
        and x.dtype == torch.float32
        and len(x) < 16
        and torch.get_num_threads() == 1
        and torch.backends.mkldnn.is_available()
        and not torch.is_grad_enabled()
        and not torch.is_autocast_enabled("cpu")
    )


def fold(conv: nn.Conv2d, norm: nn.BatchNorm2d) -> tuple[Tensor, Tensor]:
    """Kernel (C_out, C_in, rows, columns) and bias (C_out,) of one convolution that does the work of both."""
    assert norm.running_mean is not None
    assert norm.running_var is not None
    scale = norm.weight * torch.rsqrt(norm.running_var + norm.eps)  # (C_out,)
    return conv.weight * scale[:, None, None, None], norm.bias - norm.running_mean * scale
