"""A person's joints steadied through a film: where the person is and how the joints lie about it are filtered apart.

One filter on the joints themselves would lag behind whoever walks: trembling joints and a moving body look alike to
it. The middle of all joints trembles less than any of them, so its filter can follow quickly, and the joints, seen
from there, hardly move and can be held. Constants are in person sizes a second; docs/predict.md has what they cost.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from sdpose.predict.one_euro import OneEuroFilter


class PoseSmoothing:
    """Joints (K, 2) of one person, frame by frame."""

    def __init__(self) -> None:
        self._place = OneEuroFilter(min_cutoff_hz=2.0, beta=20.0)
        self._posture = OneEuroFilter(min_cutoff_hz=2.5, beta=2.0)

    def __call__(
        self, joints: NDArray[Any], scores: NDArray[Any], elapsed_s: float, *, size: float
    ) -> NDArray[np.float64]:
        """`scores` (K,) say which joints tell where the person is; `size` of the person in pixels."""
        weights = np.maximum(np.asarray(scores, np.float64), 1e-6)
        place = (joints * weights[:, None]).sum(axis=0) / weights.sum()  # (2,)
        return self._place(place, elapsed_s, scale=size) + self._posture(
            joints - place, elapsed_s, scale=size
        )
