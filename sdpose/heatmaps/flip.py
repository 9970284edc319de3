"""The flip test: heatmaps of the mirrored image, turned back to be averaged with the plain ones."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import torch
from torch import Tensor


def flip_heatmaps(heatmaps: Tensor, flip_index: Sequence[int], *, shift: bool) -> Tensor:
    """Undo the mirroring: left and right joints change places, and so do left and right columns.

    heatmaps: (N, K, H, W) predicted for the mirrored image. flip_index: K indices, the skeleton's left-right
    permutation. shift: move everything one column to the right (column 0 keeps its own value), because
    mirroring a map whose cells sample every fourth pixel leaves it about one cell off. Returns (N, K, H, W).
    """
    # While a graph is exported tensors are stand-ins, which must not be kept.
    index = (
        torch.tensor(tuple(flip_index), device=heatmaps.device)
        if torch.compiler.is_exporting()
        else _index_on(heatmaps.device, tuple(flip_index))
    )
    turned = heatmaps.index_select(1, index).flip(3)
    if shift:
        turned = torch.cat([turned[..., :1], turned[..., :-1]], dim=3)
    return turned


@lru_cache(maxsize=32)
def _index_on(device: torch.device, index: tuple[int, ...]) -> Tensor:
    """The permutation as a tensor, kept: copying it for each batch would wait for the device each time."""
    with torch.inference_mode(False):
        return torch.tensor(index, device=device)
