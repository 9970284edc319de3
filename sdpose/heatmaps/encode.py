"""Joints to target heatmaps, a batch at a time on the device of the joints."""

from __future__ import annotations

import torch
from torch import Tensor


@torch.no_grad()
def encode_heatmaps(
    joints: Tensor,
    visible: Tensor,
    *,
    image_size_wh: tuple[int, int],
    heatmap_size_wh: tuple[int, int],
    sigma: float = 2.0,
    unbiased: bool = True,
) -> tuple[Tensor, Tensor]:
    """One Gaussian of height 1 for each visible joint, and the weight of each joint in the loss.

    joints: (N, K, 2) float32 crop pixels. visible: (N, K) float32, 0 or 1. sigma: heatmap cells.

    Returns target (N, K, H, W) float32 and weight (N, K, 1) float32, which is `visible`, or 0 for a joint so
    far outside that not even the edge of its Gaussian (3 sigma) touches the map. A joint of weight <= 0.5 has
    an empty map.

    `unbiased` (the published recipe) centres the Gaussian on the exact position and fills the whole map
    (DARK, Zhang et al. 2020); otherwise it is centred on the nearest cell and cut to a square of 3 sigma
    (MSRA simple baselines).
    """
    (image_width, image_height), (width, height) = image_size_wh, heatmap_size_wh
    along_x, meets_x = _profile(joints[..., 0].float() * (width / image_width), width, sigma, unbiased)
    along_y, meets_y = _profile(joints[..., 1].float() * (height / image_height), height, sigma, unbiased)
    weight = visible.float() * (meets_x & meets_y)  # (N, K)
    along_y = along_y * (weight > 0.5)[..., None]
    return along_y[..., :, None] * along_x[..., None, :], weight[..., None]  # (N, K, H, W), (N, K, 1)


def _profile(mu: Tensor, length: int, sigma: float, unbiased: bool) -> tuple[Tensor, Tensor]:
    """One axis of the Gaussians around mu (N, K), in cells.

    Returns values (N, K, length), and (N, K) whether the Gaussian meets the map.
    """
    cells = torch.arange(length, device=mu.device, dtype=torch.float32)
    reach = 3 * sigma
    if unbiased:
        first, end, centre = mu - reach, mu + reach + 1, mu
    else:
        mu = torch.trunc(mu + 0.5)
        first, end = torch.trunc(mu - reach), torch.trunc(mu + reach + 1)
        # Whole cells from the corner of the square: mu itself, unless 3 sigma is not whole.
        centre = first + (2 * reach + 1) // 2
    meets = (first < length) & (end >= 0)
    values = torch.exp((cells - centre[..., None]).square() / (-2 * sigma * sigma))  # (N, K, length)
    if not unbiased:
        values = values * ((cells >= first[..., None]) & (cells < end[..., None]))
    return values, meets
