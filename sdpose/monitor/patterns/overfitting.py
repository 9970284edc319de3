"""A training loss that goes on falling while the validation loss rises, or never fell."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sdpose.monitor.robust import Floats, noise, smooth, trend


@dataclass(frozen=True, slots=True)
class Overfitting:
    """`index` is the best validation, from which on it rises; `rise` is the last over the best."""

    index: int
    best: float
    current: float
    rise: float
    train_first: float
    train_last: float


def find_overfitting(
    train: Floats, val: Floats, *, rise: float = 1.15, flat: float = 0.06, at_least: int = 6
) -> Overfitting | None:
    """Whether validation losses (n,) part from the training losses (n,) of the same epochs.

    Either they rise by `rise` over their best with a clear trend while training losses fall; or they gain less than
    `flat` over the whole run while training losses lose a third.
    """
    size = len(val)
    if size < at_least or len(train) != size or float(val.min()) <= 0 or float(train.min()) < 0:
        return None
    smoothed = smooth(val, 3)
    num_last = max(3, size // 8)
    index = int(np.argmin(smoothed))
    best, current = float(smoothed[index]), float(np.median(val[-num_last:]))
    train_best = float(smooth(train, 3)[index])
    train_last = float(np.median(train[-num_last:]))
    after = val[index:]
    found = Overfitting(index, best, current, current / best, train_best, train_last)
    if (
        current >= rise * best
        and len(after) >= 4
        and trend(after) > 1.9
        and current - best > 3.0 * noise(val)
        and train_last < 0.97 * train_best
    ):
        return found
    train_first = float(np.median(train[:3]))
    val_first = float(np.median(val[:3]))
    if train_last < 0.67 * train_first and current > (1.0 - flat) * val_first and size >= 10:
        return Overfitting(index, best, current, current / best, train_first, train_last)
    return None
