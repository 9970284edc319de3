"""How far a number would move had other images been drawn: resampling of images.

The images of a data set are a sample. Drawing as many again, with repeats, and computing the number anew shows how it
scatters (Efron 1979). Two evaluations over the same images are compared draw by draw: what is hard in an image is hard
for both, so their difference scatters far less than either.

Intervals are "expanded percentile" ones (Hesterberg, "What Teachers Should Know About the Bootstrap", 2015): the
quantiles are taken a little further out than 2.5 %, which mends the too narrow scatter of few images.

Legend: I images, R draws, M numbers.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

NUM_DRAWS = 500
CONFIDENCE = 0.95
_SEED = 20170
# Below this many images nothing can be said: intervals span all draws, nothing is named as moved.
_FEWEST = 5
_ROUNDING = 1e-12


@dataclass(frozen=True)
class Interval:
    """A number and where it lies with 95 % confidence."""

    value: float
    low: float
    high: float

    @property
    def beyond_noise(self) -> bool:
        """Whether it is surely not 0."""
        return self.low > 0 or self.high < 0

    def __str__(self) -> str:
        return f"{self.value:.3f} [{self.low:.3f}, {self.high:.3f}]"


def draws(num_images: int, num_draws: int = NUM_DRAWS) -> Iterator[NDArray[np.int64]]:
    """How often each image occurs in each draw, (I,) each; for the same number of images always the same."""
    # RandomState: its stream is promised to stay as it is, and stored evaluations are compared years later.
    random = np.random.RandomState(_SEED)
    for _ in range(num_draws):
        yield np.bincount(random.randint(0, num_images, num_images), minlength=num_images)


def interval(value: float, drawn: NDArray[np.float64], num_images: int) -> Interval:
    """The 95 % interval of `value` from its values in the draws, (R,). It always holds `value` itself."""
    tail = _tail(num_images)
    low, high = np.quantile(drawn, [tail, 1 - tail]) if len(drawn) else (value, value)
    return Interval(value, min(float(low), value), max(float(high), value))


def moved(change: NDArray[np.float64], drawn: NDArray[np.float64], num_images: int) -> NDArray[np.bool_]:
    """Which of many numbers moved, with 5 % risk that any is named wrongly: change (M,), drawn (R, M) -> (M,).

    Each change is measured in its own scatter, and compared with the largest such deviation of a draw (the
    bootstrap's "max-t"; Westfall and Young 1993). One by one, of 24 numbers that stand still one would "move" at
    nearly every evaluation.
    """
    if num_images < _FEWEST:
        return np.zeros(len(change), bool)
    scatter = drawn.std(0)
    steady = scatter <= _ROUNDING
    answer = np.where(steady, np.abs(change) > _ROUNDING, False)  # the same in every draw
    if not steady.all():
        change, drawn, scatter = change[~steady], drawn[:, ~steady], scatter[~steady]
        largest = (np.abs(drawn - change) / scatter).max(1)
        limit = _wider(float(np.quantile(largest, CONFIDENCE)), num_images)
        answer[~steady] = np.abs(change) > limit * scatter
    return answer


def _tail(num_images: int) -> float:
    """Where to take the quantiles: 2.5 % for many images, further out for few."""
    if num_images < _FEWEST:
        return 0.0
    deviations = NormalDist().inv_cdf((1 + CONFIDENCE) / 2)
    return NormalDist().cdf(-_wider(deviations, num_images))


def _wider(z: float, num_images: int) -> float:
    """A number of standard deviations as it must be when these are estimated from few images, by resampling.

    Student's t for the normal quantile `z` (Abramowitz and Stegun 26.7.5), times sqrt(n / (n - 1)) because resampling
    divides by n.
    """
    freedom = num_images - 1
    t = z + (z**3 + z) / (4 * freedom) + (5 * z**5 + 16 * z**3 + 3 * z) / (96 * freedom**2)
    return t * math.sqrt(num_images / freedom)
