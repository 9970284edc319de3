"""A score that falls to almost nothing and stays there, or never leaves zero (the guide's case 2)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sdpose.monitor.robust import Floats, noise, smooth

# What counts as almost nothing of the best before, and which best counts, as a share of the best of all.
PASSING_SHARE, PASSING_WORTH = 0.2, 0.4


@dataclass(frozen=True, slots=True)
class Collapse:
    """`index` is the first evaluation of the low ones, `best_index` the best before."""

    index: int
    best_index: int
    best: float
    current: float
    num_low: int


def find_collapse(
    scores: Floats,
    *,
    low_share: float = 0.35,
    cliff_share: float = 0.65,
    at_least: int = 3,
    num_noises: float = 6.0,
) -> Collapse | None:
    """Whether a score (n,), higher is better, ends far below the best that it had held before.

    Far is `low_share` of the best; where it went there in one step, out of its noise, `cliff_share` (accuracies fall to
    chance, not to zero). The best counts when it was held for more than one evaluation, and the last `at_least`
    evaluations must all be low: scores of small data sets dip now and then.
    """
    if len(scores) < at_least + 2:
        return None
    held = smooth(scores, 3)
    best_index = int(np.argmax(held[: -at_least + 1]))
    best = float(held[best_index])
    if best <= 0:
        return None
    for share, needs_cliff in ((low_share, False), (cliff_share, True)):
        low = scores < share * best
        if not bool(low[-at_least:].all()):
            continue
        index = int(np.flatnonzero(~low)[-1]) + 1
        fall = float(scores[index - 1] - scores[index])
        wobble = noise(scores[:index], floor=0.01 * best)
        if needs_cliff and (fall < 0.7 * (best - float(scores[index])) or fall < num_noises * wobble):
            continue
        return Collapse(index, best_index, best, float(np.median(scores[index:])), len(scores) - index)
    return None


def find_passing_collapse(scores: Floats, *, at_least: int = 3) -> Collapse | None:
    """The first collapse of a score (n,) that was over in the end.

    `at_least` evaluations in a row at almost nothing of the best before, where that best is worth the name.
    """
    best_so_far = np.maximum.accumulate(smooth(scores, 3))
    low = (scores < PASSING_SHARE * best_so_far) & (best_so_far >= PASSING_WORTH * scores.max(initial=0.0))
    num_low = 0
    for index, is_low in enumerate(low.tolist()):
        num_low = num_low + 1 if is_low else 0
        if num_low == at_least:
            start = index + 1 - at_least
            best_index = int(np.argmax(scores[:start]))
            return Collapse(
                start,
                best_index,
                float(best_so_far[start]),
                float(np.median(scores[start : index + 1])),
                num_low,
            )
    return None


def is_zero(scores: Floats, *, at_least: int, zero: float = 1e-4) -> bool:
    """Whether a score (n,) was zero, to the four digits that people read, in all of `at_least` or more evaluations."""
    return len(scores) >= at_least and float(np.abs(scores).max()) < zero
