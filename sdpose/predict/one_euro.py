"""The One-Euro filter: steady when a joint is still, quick when it moves (Casiez, Roussel and Vogel, CHI 2012)."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


class OneEuroFilter:
    """Smooths an array of coordinates frame by frame; each is filtered on its own.

    The cut-off frequency rises with speed: `min_cutoff_hz + beta * speed`. A lower `min_cutoff_hz` trembles less, a
    higher `beta` lags less. Speeds are in units of `scale` a second, so that a far person and a near one are treated
    alike.
    """

    def __init__(self, *, min_cutoff_hz: float, beta: float, derivative_cutoff_hz: float = 1.0) -> None:
        self.min_cutoff_hz = min_cutoff_hz
        self.beta = beta
        self.derivative_cutoff_hz = derivative_cutoff_hz
        self._value: Floats | None = None
        self._speed: Floats | None = None

    def __call__(self, values: NDArray[Any], elapsed_s: float, *, scale: float = 1.0) -> Floats:
        """The smoothed values; `elapsed_s` since the one before, ignored for the first."""
        value: Floats = np.asarray(values, dtype=np.float64)
        if self._value is None or self._speed is None or elapsed_s <= 0:
            self._value, self._speed = value, np.zeros_like(value)
            return value
        speed = (value - self._value) / (elapsed_s * scale)
        weight = _weight(np.float64(self.derivative_cutoff_hz), elapsed_s)
        self._speed = self._speed + weight * (speed - self._speed)
        cutoff = self.min_cutoff_hz + self.beta * np.abs(self._speed)
        self._value = self._value + _weight(cutoff, elapsed_s) * (value - self._value)
        return self._value


def _weight(cutoff_hz: Floats | np.float64, elapsed_s: float) -> Floats:
    """Of the new value, in exponential smoothing with this cut-off (the paper's alpha)."""
    constant_s = 1.0 / (2.0 * math.pi * cutoff_hz)
    return np.asarray(1.0 / (1.0 + constant_s / elapsed_s))
