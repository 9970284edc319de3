"""Heatmaps to joints: the maximum of each map, refined below one cell.

The published way blurs each whole map with OpenCV, scales it, takes the logarithm, and makes one Newton step
at the maximum (DARK, Zhang et al. 2020). The step only looks at the 5 x 5 cells around the maximum, so here
only these are blurred. The scale, max(map) / max(blurred map), is a constant under the logarithm and drops
out of every difference; it counts only where the logarithm's floor of 1e-10 bites, or where the blurred map
has no positive cell. For those maps, and only for those, the whole map is blurred, so that the result is the
published one in all cases.
"""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional

from sdpose.errors import SdposeError, nearest

PostProcess = Literal["unbiased", "default"] | None

_FLOOR = 1e-10
# The fixed coefficients that OpenCV takes for small kernels when no sigma is given.
_SMALL_KERNELS = {
    1: (1.0,),
    3: (0.25, 0.5, 0.25),
    5: (0.0625, 0.25, 0.375, 0.25, 0.0625),
    7: (0.03125, 0.109375, 0.21875, 0.28125, 0.21875, 0.109375, 0.03125),
}


@torch.no_grad()
def decode_heatmaps(
    heatmaps: Tensor, *, post_process: PostProcess = "unbiased", kernel: int = 11
) -> tuple[Tensor, Tensor]:
    """Position and score of each keypoint.

    heatmaps: (N, K, H, W), any floating dtype. Returns coords (N, K, 2) float32, x then y, in heatmap cells,
    and scores (N, K) float32, the maximum of each map as it came (it can be negative).

    A map without a positive value gives the position (-1, -1). Of several equal maxima the first in row-major
    order counts. post_process 'unbiased' makes the Newton step described above, with a Gaussian of `kernel`
    taps (11 for a target sigma of 2); 'default' moves a quarter cell towards the higher neighbour; None
    returns the cell itself. A maximum closer than two cells (unbiased) or one (default) to the border is not
    refined. The step is not limited in length.
    """
    if post_process not in ("unbiased", "default", None):
        raise SdposeError(
            f"post_process={post_process!r} is unknown; expected 'unbiased', 'default' or None."
            + nearest(str(post_process), ["unbiased", "default"])
        )
    num_persons, num_keypoints, _, width = heatmaps.shape
    maps = heatmaps.detach().float().flatten(0, 1)  # (M, H, W) with M = N * K
    if maps.shape[0] == 0:
        return maps.new_zeros(num_persons, num_keypoints, 2), maps.new_zeros(num_persons, num_keypoints)
    index = _first_maximum(maps.flatten(1))  # (M,)
    scores = maps.flatten(1).gather(1, index[:, None])[:, 0]  # (M,)
    x, y = index % width, index // width
    found = scores > 0
    coords = torch.where(found[:, None], torch.stack([x, y], 1).float(), -1.0)  # (M, 2)
    if post_process == "unbiased":
        coords = _newton_step(maps, coords, scores, x, y, found, kernel)
    elif post_process == "default":
        coords = _quarter_step(maps, coords, x, y, found)
    return coords.view(num_persons, num_keypoints, 2), scores.view(num_persons, num_keypoints)


def _first_maximum(flat: Tensor) -> Tensor:
    """(M, H*W) -> (M,) int64."""
    # NumPy's argmax uses vector instructions: 0.3 ms for 64 persons, torch's 5.2 ms. An exporter sees torch alone.
    if flat.device.type == "cpu" and not torch.compiler.is_exporting():
        return torch.from_numpy(flat.numpy().argmax(1))
    return flat.argmax(1)


def _quarter_step(maps: Tensor, coords: Tensor, x: Tensor, y: Tensor, found: Tensor) -> Tensor:
    height, width = maps.shape[1:]
    inside = found & (x > 1) & (x < width - 1) & (y > 1) & (y < height - 1)
    window = _windows(maps, x, y, radius=1)  # (M, 3, 3)
    slope = torch.stack([window[:, 1, 2] - window[:, 1, 0], window[:, 2, 1] - window[:, 0, 1]], 1)
    return torch.where(inside[:, None], coords + 0.25 * slope.sign(), coords)


def _newton_step(
    maps: Tensor, coords: Tensor, scores: Tensor, x: Tensor, y: Tensor, found: Tensor, kernel: int
) -> Tensor:
    """coords - H^-1 g of the logarithm of the blurred map at the maximum: equation 8 of the DARK paper."""
    height, width = maps.shape[1:]
    taps = _gaussian_taps(kernel)
    inside = found & (x > 1) & (x < width - 2) & (y > 1) & (y < height - 2)
    window = _windows(maps, x, y, radius=2 + kernel // 2)  # (M, 5 + kernel - 1, 5 + kernel - 1)
    blurred = _blur(_blur(window, taps, 1), taps, 2)  # (M, 5, 5)
    scale = _modulation(maps, scores, taps, needed=inside & (_lowest_used(blurred) <= _FLOOR))
    log = (blurred * scale[:, None, None]).clamp_min(_FLOOR).log()

    # Differences in float32 and products in float64, as the published code has them.
    dx = (0.5 * (log[:, 2, 3] - log[:, 2, 1])).double()
    dy = (0.5 * (log[:, 3, 2] - log[:, 1, 2])).double()
    dxx = (0.25 * (log[:, 2, 4] - 2 * log[:, 2, 2] + log[:, 2, 0])).double()
    dyy = (0.25 * (log[:, 4, 2] - 2 * log[:, 2, 2] + log[:, 0, 2])).double()
    dxy = (0.25 * (log[:, 3, 3] - log[:, 1, 3] - log[:, 3, 1] + log[:, 1, 1])).double()
    determinant = dxx * dyy - dxy * dxy
    step = torch.stack([dyy * dx - dxy * dy, dxx * dy - dxy * dx], 1) / determinant[:, None]  # (M, 2)
    # A flat surroundings (determinant 0) leaves nothing to solve, and neither does a map that is not finite.
    movable = inside & (determinant != 0) & step.isfinite().all(1)
    return torch.where(movable[:, None], coords - step.float(), coords)


def _lowest_used(blurred: Tensor) -> Tensor:
    """(M, 5, 5) -> (M,): the lowest of the 13 cells that the differences read (a diamond)."""
    cross = torch.minimum(blurred[:, 2].amin(1), blurred[:, :, 2].amin(1))
    return torch.minimum(cross, blurred[:, 1:4, 1:4].amin((1, 2)))


def _modulation(maps: Tensor, scores: Tensor, taps: tuple[float, ...], *, needed: Tensor) -> Tensor:
    """max(map) / max(blurred map) where needed, 1 elsewhere: (M,).

    On the CPU only the maps that need it are blurred. On CUDA asking which they are would wait for the
    device, and an exported graph cannot ask, so all are blurred.
    """
    if maps.device.type != "cpu" or torch.compiler.is_exporting():
        return torch.where(needed, scores / _blurred_maximum(maps, taps), 1.0)
    scale = torch.ones_like(scores)
    rows = needed.nonzero()[:, 0]
    # 64 maps at a time stay in the processor's cache.
    for part in rows.split(64):
        scale[part] = scores[part] / _blurred_maximum(maps[part], taps)
    return scale


def _blurred_maximum(maps: Tensor, taps: tuple[float, ...]) -> Tensor:
    """The highest cell of each map after blurring with zeros around it: (M, H, W) -> (M,)."""
    radius = len(taps) // 2
    padded = functional.pad(maps, (radius, radius, radius, radius))
    return _blur(_blur(padded, taps, 1), taps, 2).amax((1, 2))


def _windows(maps: Tensor, x: Tensor, y: Tensor, *, radius: int) -> Tensor:
    """The square around each (x, y), zero outside the map: (M, H, W) -> (M, S, S), S = 2 radius + 1."""
    height, width = maps.shape[1:]
    offset = torch.arange(-radius, radius + 1, device=maps.device)
    rows, columns = y[:, None] + offset, x[:, None] + offset  # (M, side)
    row_inside = (rows >= 0) & (rows < height)
    column_inside = (columns >= 0) & (columns < width)
    cells = rows.clamp(0, height - 1)[:, :, None] * width + columns.clamp(0, width - 1)[:, None, :]
    values = maps.flatten(1).gather(1, cells.flatten(1)).view_as(cells)  # (M, side, side)
    return torch.where(row_inside[:, :, None] & column_inside[:, None, :], values, 0.0)


def _blur(maps: Tensor, taps: tuple[float, ...], dim: int) -> Tensor:
    """Correlate along `dim` with symmetric taps; the result is shorter by len(taps) - 1.

    Written as sums, not as a convolution or matrix product: those may run in TF32 or bfloat16, whose 3 digits
    a logarithm and its second difference turn into whole cells. Equal surroundings also give equal bits this
    way.
    """
    radius = len(taps) // 2
    length = maps.shape[dim] - 2 * radius
    out = maps.narrow(dim, radius, length) * taps[radius]
    for i in range(radius):
        pair = maps.narrow(dim, i, length) + maps.narrow(dim, 2 * radius - i, length)
        out.add_(pair, alpha=taps[i])
    return out


def _gaussian_taps(kernel: int) -> tuple[float, ...]:
    """The normalised coefficients of OpenCV's Gaussian blur of this size when no sigma is given."""
    if kernel < 1 or kernel % 2 == 0:
        raise SdposeError(f"modulate_kernel={kernel} cannot be centred; expected an odd number such as 11.")
    if kernel in _SMALL_KERNELS:
        return _SMALL_KERNELS[kernel]
    sigma = 0.3 * ((kernel - 1) * 0.5 - 1) + 0.8
    values = [math.exp(-((i - kernel // 2) ** 2) / (2 * sigma * sigma)) for i in range(kernel)]
    return tuple(value / sum(values) for value in values)
