"""How long a measurement may take, and what happened to the rest of it."""

from __future__ import annotations

import time
from collections.abc import Callable


class TimeBox:
    """So many seconds from now on. What it cuts short has to be said in the answer."""

    def __init__(self, seconds: float, clock: Callable[[], float] = time.perf_counter) -> None:
        self.seconds = seconds
        self._clock = clock
        self._started_at = clock()

    @property
    def elapsed_s(self) -> float:
        """Seconds used."""
        return self._clock() - self._started_at

    def has(self, expected_s: float = 0.0) -> bool:
        """Whether something that takes about so long still fits."""
        return self.elapsed_s + expected_s < self.seconds


def shown_duration(seconds: float) -> str:
    """`0.42 s`, `12 s`, `3 min`, `5.2 h`, `3.1 days`."""
    if seconds < 10:
        return f"{seconds:.2g} s"
    if seconds < 100:
        return f"{seconds:.0f} s"
    if seconds < 5400:
        return f"{seconds / 60:.0f} min"
    if seconds < 172_800:
        return f"{seconds / 3600:.1f} h"
    return f"{seconds / 86_400:.1f} days"
