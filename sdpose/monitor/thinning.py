"""A long curve in as many points as can be seen, each of them a point of the log."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Indices = NDArray[np.int64]
MAX_BROKEN = 200


def thin(values: Floats, num_points: int) -> Indices:
    """Indices (m,), rising, m <= num_points + 2: the least and the greatest of each stretch, the first and the last.

    So no peak is lost, however far out one looks. Values that are not finite count as absent.
    """
    size = len(values)
    if size <= num_points:
        return np.arange(size)
    num_stretches = max(1, num_points // 2)
    length = -(-size // num_stretches)
    whole = size - size % length
    blocks = values[:whole].reshape(-1, length)
    starts = np.arange(0, whole, length)
    if all_finite(values):
        lowest, highest = blocks.argmin(axis=1) + starts, blocks.argmax(axis=1) + starts
    else:
        finite = np.isfinite(blocks)
        lowest = np.where(finite, blocks, np.inf).argmin(axis=1) + starts
        highest = np.where(finite, blocks, -np.inf).argmax(axis=1) + starts
    rest: list[int] = []
    tail = values[whole:]
    if len(tail):
        known = np.isfinite(tail)
        rest = [
            whole + int(np.where(known, tail, np.inf).argmin()),
            whole + int(np.where(known, tail, -np.inf).argmax()),
        ]
    ends = np.array([0, size - 1, *rest], dtype=np.int64)
    return np.unique(np.concatenate([lowest, highest, ends]))


def all_finite(values: Floats) -> bool:
    """Whether certainly no value is NaN or infinite: a sum of a million numbers is quicker than a look at each."""
    with np.errstate(over="ignore", invalid="ignore"):
        return bool(np.isfinite(values.sum()))


def broken(values: Floats) -> Indices:
    """Where a curve is not finite; of very many, some over the whole length."""
    if all_finite(values):
        return np.array([], dtype=np.int64)
    found = np.flatnonzero(~np.isfinite(values))
    if len(found) <= MAX_BROKEN:
        return found
    return found[np.linspace(0, len(found) - 1, MAX_BROKEN).astype(np.int64)]
