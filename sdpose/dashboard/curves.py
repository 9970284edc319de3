"""A curve as a browser can show it: a range of it, and smoothed."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def inside(x: Floats, first: float | None, last: float | None) -> slice:
    """The part of a rising `x` (n,) between two values, with one point more on either side, for lines that leave."""
    low = 0 if first is None else max(0, int(np.searchsorted(x, first, side="left")) - 1)
    high = len(x) if last is None else min(len(x), int(np.searchsorted(x, last, side="right")) + 1)
    return slice(low, max(low, high))


def smoothed(values: Floats, window: int) -> Floats:
    """The mean over `window` points around each, fewer at the ends; what is not finite is passed over. (n,)"""
    if window <= 1 or len(values) < 2:
        return values
    finite = np.isfinite(values)
    whole = bool(finite.all())
    sums = np.concatenate([[0.0], np.cumsum(values if whole else np.where(finite, values, 0.0))])
    places = np.arange(len(values))
    first = np.maximum(places - (window - 1) // 2, 0)
    end = np.minimum(places + window // 2 + 1, len(values))
    if whole:
        return (sums[end] - sums[first]) / (end - first)
    counts = np.concatenate([[0], np.cumsum(finite)])
    number = counts[end] - counts[first]
    return np.where(number > 0, (sums[end] - sums[first]) / np.maximum(number, 1), np.nan)
