"""What a healthy model shows besides its losses: peaks in its heatmaps, tokens that look at the image, sane weights.

Everything is left on the device as scalars; nothing here waits for it.

Legend: B batch, K keypoints, P patches, D width of a token, h, w rows and columns of a heatmap.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

FLAT_PEAK = 0.05
"""A heatmap whose largest value is below it shows nothing; a target's peak is 1."""


@torch.no_grad()
def output_signs(heatmaps: Tensor, keypoint_tokens: Tensor, visual_tokens: Tensor) -> dict[str, Tensor]:
    """Scalars of one batch: heatmaps (B, K, h, w), tokens (B, K, D) and (B, P, D) of the cycle that is used later.

    `heatmap_peak` is the mean of the maps' maxima, `heatmap_flat` the share of maps without a peak, `heatmap_max` the
    largest value of all. `kpt_token_std` and `vis_token_std` say how much the tokens differ between the images of the
    batch: 0 when they ignore the image. They are left out of a batch of one.
    """
    peaks = heatmaps.amax(dim=(2, 3)).float()  # (B, K)
    signs = {
        "heatmap_peak": peaks.mean(),
        "heatmap_flat": (peaks < FLAT_PEAK).float().mean(),
        "heatmap_max": peaks.max(),
    }
    if len(heatmaps) > 1:
        signs["kpt_token_std"] = _spread_between_images(keypoint_tokens)
        signs["vis_token_std"] = _spread_between_images(visual_tokens)
    return signs


@torch.no_grad()
def weight_signs(model: nn.Module, optimizer: Optimizer) -> dict[str, Tensor]:
    """`weight_norm`, the L2 norm of all parameters, and `weights_broken`, how many tensors of the model or of the
    optimizer's moments hold a value that is not finite. Passes over all of them, so once an interval is enough.

    The moments count because a second moment that has become infinite freezes its weight for good.
    """
    return {
        "weight_norm": torch.linalg.vector_norm(_norms(model.parameters())),
        "weights_broken": num_broken(floating_tensors(model, optimizer)),
    }


def floating_tensors(model: nn.Module, optimizer: Optimizer | None = None) -> list[Tensor]:
    """All floating-point tensors of the state of a model and of its optimizer."""
    moments = (
        value
        for entry in (optimizer.state.values() if optimizer is not None else ())
        for value in entry.values()
        if isinstance(value, Tensor) and value.dim() > 0
    )
    return [tensor for tensor in (*model.state_dict().values(), *moments) if tensor.is_floating_point()]


@torch.no_grad()
def num_broken(tensors: Iterable[Tensor]) -> Tensor:
    """How many of the tensors hold a NaN or an infinity, as a scalar on their device."""
    return (~torch.isfinite(_norms(tensors))).sum()


def _norms(tensors: Iterable[Tensor]) -> Tensor:
    """L2 norms, finite exactly when all values are: in double precision no square of a float32 overflows."""
    values = [tensor.detach() for tensor in tensors]
    return torch.stack(torch._foreach_norm(values, 2, dtype=torch.float64))


def _spread_between_images(tokens: Tensor) -> Tensor:
    """Standard deviation over the batch of tokens (B, N, D), averaged over N and D."""
    # Seen from the first image: the square of a large common part would drown a small difference.
    offset = tokens[1:].float() - tokens[:1].float()  # (B - 1, N, D)
    num_images = len(tokens)
    mean = offset.sum(dim=0) / num_images  # (N, D)
    mean_square = offset.square().sum(dim=0) / num_images
    return (mean_square - mean.square()).clamp(min=0).sqrt().mean()
