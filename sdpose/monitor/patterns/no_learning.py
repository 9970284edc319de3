"""A loss that does not fall (the guide's case 1)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sdpose.monitor.robust import Floats, noise, trend

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
    small: float = 0.01,
    within_noise: float = 0.10,
    first_step: float = 0.45,
) -> NoLearning | None:
    """Whether a finite curve (n,) shows no learning from its first values to its last.

    Two shapes: it fell by less than the share `small`, however steadily; or, after its first values, it has no
    downward trend and gained less than `within_noise`. A curve that lost more than `first_step` within its first
    values has learnt: it is done, not stuck.
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
    if abs(change) < small:
        return found
    # Few values have no trend to speak of, so there the gain alone must tell.
    limit = within_noise if size >= FEW else small
    if change < first_step and trend(values[1:]) > -2.0 and gained_later < limit:
        return found
    return None


def never_moves(scores: Floats, *, at_least: int = 5) -> bool:
    """Whether a score (n,) stays exactly where it was from its first evaluation on."""
    return len(scores) >= at_least and float(np.ptp(scores)) == 0.0
