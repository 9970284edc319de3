"""Statistics that a few wild values do not move: levels, spreads and trends of short series.

All take plain arrays of finite numbers. Windows are trailing: what a value is compared with came before it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

Floats = NDArray[np.float64]

# Of a normal distribution: standard deviation / median absolute deviation.
MAD_TO_STD = 1.4826


def median(values: Sequence[float] | Floats) -> float:
    """The middle value; NaN of nothing."""
    return float(np.median(values)) if len(values) else math.nan


def robust_spread(values: Sequence[float] | Floats, floor: float = 0.0) -> float:
    """Standard deviation as the median absolute deviation tells it, never below `floor`."""
    if not len(values):
        return floor
    array = np.asarray(values, dtype=np.float64)
    return max(MAD_TO_STD * float(np.median(np.abs(array - np.median(array)))), floor)


def noise(values: Sequence[float] | Floats, floor: float = 0.0) -> float:
    """Spread from one value to the next, which a slow trend does not enlarge; never below `floor`."""
    if len(values) < 2:
        return floor
    return max(robust_spread(np.diff(np.asarray(values, dtype=np.float64))) / math.sqrt(2.0), floor)


def trailing_means(values: Floats, window: int) -> Floats:
    """Mean of the `window` values before each; NaN where there are fewer. (n,) -> (n,)"""
    means = np.full(len(values), np.nan)
    if len(values) > window:
        sums = np.convolve(values, np.ones(window), mode="valid")
        means[window:] = sums[:-1] / window
    return means


def smooth(values: Floats, window: int) -> Floats:
    """Centred running median; at the ends of what is there. (n,) -> (n,)"""
    if window < 2 or len(values) < 3:
        return values
    half = min(window // 2, (len(values) - 1) // 2)
    padded = np.concatenate([np.full(half, np.nan), values, np.full(half, np.nan)])
    return np.asarray(np.nanmedian(sliding_window_view(padded, 2 * half + 1), axis=1))


def trend(values: Sequence[float] | Floats) -> float:
    """Mann-Kendall: how many standard errors the series rises (+) or falls (-), whatever its shape.

    Compares every pair of values; at most 200 of them, taken evenly, enter. Mann (1945), Kendall (1975).
    """
    array = np.asarray(values, dtype=np.float64)
    if len(array) > 200:
        array = array[np.linspace(0, len(array) - 1, 200).round().astype(int)]
    size = len(array)
    if size < 4:
        return 0.0
    upper = np.triu_indices(size, 1)
    score = float(np.sign(array[upper[1]] - array[upper[0]]).sum())
    _, ties = np.unique(array, return_counts=True)
    variance = (size * (size - 1) * (2 * size + 5) - float((ties * (ties - 1) * (2 * ties + 5)).sum())) / 18.0
    if variance <= 0 or score == 0:
        return 0.0
    return (score - math.copysign(1.0, score)) / math.sqrt(variance)
