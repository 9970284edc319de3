"""How long one person takes, engine against engine."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping

import torch


@torch.inference_mode()
def medians_ms(
    runs: Mapping[str, Callable[[], object]],
    *,
    num_rounds: int = 21,
    clock: Callable[[], float] = time.perf_counter,
) -> dict[str, float]:
    """Median milliseconds of each; all run in turn, so that other work on the machine slows all alike."""
    elapsed: dict[str, list[float]] = {name: [] for name in runs}
    for run in runs.values():
        run()
    for _ in range(num_rounds):
        for name, run in runs.items():
            started_at = clock()
            run()
            elapsed[name].append(1000 * (clock() - started_at))
    return {name: statistics.median(times) for name, times in elapsed.items()}
