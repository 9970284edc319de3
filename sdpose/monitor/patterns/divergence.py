"""A loss that leaves the level it had reached and does not come back."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sdpose.monitor.robust import Floats, noise, smooth

SMOOTHING = 5


@dataclass(frozen=True, slots=True)
class Divergence:
    """Where it left (`index`), what it had reached, and where it is now."""

    index: int
    best_index: int
    best: float
    current: float
    ratio: float


def find_divergence(
    values: Floats, *, ratio: float = 1.8, num_noises: float = 5.0, at_least: int = 3, share: float = 0.08
) -> Divergence | None:
    """Whether a finite curve (n,) ends well above its best level: by `ratio`, and beyond its noise.

    "Ends" is the median of its last `share` (`at_least` values). Curves below zero are measured against the way down
    that they had come.
    """
    if len(values) < 2 * at_least:
        return None
    smoothed = smooth(values, SMOOTHING if len(values) >= 12 else 3)
    num_last = max(at_least, round(share * len(values)))
    current = float(np.median(values[-num_last:]))
    best_index = int(np.argmin(smoothed[:-at_least]))
    best = float(smoothed[best_index])
    rise = current - best
    before = values[: best_index + 1]
    wobble = noise(values[max(0, best_index - 30) : best_index + 15])
    if rise <= num_noises * wobble:
        return None
    if best > 0:
        quotient = current / best
        risen = quotient >= ratio
    else:
        way_down = float(before.max()) - best
        quotient = rise / way_down if way_down > 0 else np.inf
        risen = quotient >= ratio - 1.0
    if not risen:
        return None
    # It left where it was last at home: the last value in the lower third of the rise.
    home = np.flatnonzero(smoothed <= best + rise / 3.0)
    last_home = int(home[home < len(values) - at_least][-1])
    away = np.flatnonzero(values[last_home:] > best + rise / 3.0)
    index = last_home + int(away[0]) if len(away) else last_home
    return Divergence(index, best_index, best, current, float(quotient))
