"""How long one person takes, engine against engine."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping

import torch


def medians_ms(
    runs: Mapping[str, Callable[[], object]],
    *,
    num_rounds: int = 21,
    clock: Callable[[], float] = time.perf_counter,
) -> dict[str, float]:
    """Median milliseconds of each."""
    times = rounds_ms(runs, num_rounds=num_rounds, clock=clock)
    return {name: statistics.median(elapsed) for name, elapsed in times.items()}


@torch.inference_mode()
def rounds_ms(
    runs: Mapping[str, Callable[[], object]], *, num_rounds: int, clock: Callable[[], float]
) -> dict[str, list[float]]:
    """Milliseconds of every round, after one to warm up; all run in turn, so that other work on the machine slows all
    alike."""
    elapsed: dict[str, list[float]] = {name: [] for name in runs}
    for run in runs.values():
        run()
    for _ in range(num_rounds):
        for name, run in runs.items():
            started_at = clock()
            run()
            elapsed[name].append(1000 * (clock() - started_at))
    return elapsed
