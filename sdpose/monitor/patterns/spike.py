"""A loss that jumps: twice the recent average, and far outside of the noise that the curve usually has."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from sdpose.monitor.robust import Floats, median, robust_spread, smooth, trailing_means

# What "usual noise" is measured over, in values before the jump.
NOISE_WINDOW = 50
# Spreads above the median. A curve whose noise alone reaches this far has no spikes.
NUM_SPREADS = 4.0
# The largest of n values of pure noise lies about sqrt(2 ln n) spreads out, and the spread itself is an estimate.
EXTREME = 1.3
EARLIEST, EARLY_RATIO = 5, 3.0
# A curve has come back when it is within this much of the average before the jump.
BACK = 1.4


@dataclass(frozen=True, slots=True)
class Spike:
    """One jump; `index` is where in the curve."""

    index: int
    current: float
    recent_average: float
    ratio: float


def find_spikes(
    values: Floats, *, window: int = 10, ratio: float = 2.0, absolute_floor: float = 1e-12
) -> list[Spike]:
    """All jumps of a finite curve (n,): at least `ratio` times the mean of the `window` values before.

    With less than a window before it, from the sixth value on, a jump must be `EARLY_RATIO` fold.
    A jump directly after a jump belongs to it. One that never comes back to where it was is no spike but a new level:
    `divergence` tells whether that is bad. Curves that touch zero or go below have no ratio: there a jump is
    measured against the distance between their median and their floor.
    """
    if len(values) <= EARLIEST:
        return []
    lowest = float(values.min())
    shift = 0.0 if lowest >= 0 else -lowest
    level = values + shift
    averages = trailing_means(level, window)
    threshold = np.full(len(values), ratio)
    for index in range(EARLIEST, min(window, len(values))):
        averages[index] = level[:index].mean()
        threshold[index] = max(ratio, EARLY_RATIO)
    with np.errstate(invalid="ignore"):
        jumps = np.flatnonzero((averages > absolute_floor) & (level >= threshold * averages))
    logs = np.log(np.maximum(level, absolute_floor))
    spikes = []
    previous = -window
    for index in jumps.tolist():
        apart = index - previous >= window
        if apart and _beyond_noise(logs, index) and _comes_back(level, index, float(averages[index])):
            spikes.append(
                Spike(
                    index,
                    float(values[index]),
                    float(averages[index] - shift),
                    float(level[index] / averages[index]),
                )
            )
        previous = index
    return spikes


def _beyond_noise(logs: Floats, index: int) -> bool:
    before = logs[max(0, index - NOISE_WINDOW) : index]
    num_spreads = max(NUM_SPREADS, EXTREME * math.sqrt(2.0 * math.log(len(logs))))
    return float(logs[index]) - median(before) > num_spreads * robust_spread(before, floor=1e-3)


def _comes_back(level: Floats, index: int, average: float) -> bool:
    later = smooth(level[index + 1 :], 3)
    return len(later) < 3 or float(later.min()) <= BACK * average
