"""How long the experiments may take."""

from __future__ import annotations

import time
from collections.abc import Callable


class Deadline:
    """A budget of seconds, from now on; None is as long as it takes. `stopped` ends it early, on a signal say."""

    def __init__(
        self,
        budget_s: float | None,
        *,
        stopped: Callable[[], bool] = lambda: False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._clock = clock
        self._started = clock()
        self._budget_s = budget_s
        self._stopped = stopped

    @property
    def elapsed_s(self) -> float:
        """Seconds used."""
        return self._clock() - self._started

    def allows(self, expected_s: float = 0.0) -> bool:
        """Whether something that takes about so long can still be done."""
        if self._stopped():
            return False
        return self._budget_s is None or self.elapsed_s + expected_s < self._budget_s
