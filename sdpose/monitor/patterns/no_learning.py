"""A loss that does not fall (the guide's case 1)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sdpose.monitor.robust import Floats, noise, smooth, trend

# Values that have a shape.
FEW = 20


@dataclass(frozen=True, slots=True)
class NoLearning:
    """Level at the start and at the end; `change` is the share of the first level that was gained (1 = all)."""

    first: float
    last: float
    change: float
    spread: float
    num_points: int


def find_no_learning(
    values: Floats,
    *,
    at_least: int = 8,
    few: int = FEW,
    small: float = 0.01,
    within_noise: float = 0.10,
    first_step: float = 0.45,
    wander: float = 0.3,
) -> NoLearning | None:
    """Whether a finite curve (n,) shows no learning from its first values to its last.

    Two shapes: it fell by less than the share `small`, however steadily; or, after its first values, it has no
    downward trend, gained less than `within_noise` and stayed within `wander` of its level. A curve that lost more than
    `first_step` within its first values has learnt: it is done, not stuck. Less than `few` values have no shape: there
    it must be flat without any trend.
    """
    size = len(values)
    if size < at_least:
        return None
    num_ends = max(3, size // 10)
    start = float(values[0])
    first = float(np.median(values[1 : 1 + num_ends]))
    last = float(np.median(values[-num_ends:]))
    spread = noise(values)
    scale = max(abs(start), abs(first), 1e-300)
    change = (max(start, first) - last) / scale
    gained_later = (first - last) / scale
    found = NoLearning(max(start, first), last, change, spread, size)
    falls = trend(values[1:]) <= -2.0
    if size < few:
        return found if abs(change) < small and not falls else None
    if abs(change) < small:
        return found
    wandered = float(np.ptp(smooth(values[1:], max(5, size // 8)))) / scale
    if change < first_step and not falls and gained_later < within_noise and wandered < wander:
        return found
    return None
