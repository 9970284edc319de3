"""What the monitor is told of a logging interval."""

from __future__ import annotations

import time
from collections.abc import Mapping

from sdpose.monitor import Record
from sdpose.training.machine_signs import rank_spread
from sdpose.training.probes import Interval
from sdpose.training.progress import Progress


def train_records(
    interval: Interval, progress: Progress, *, epoch_length: int, machine: Mapping[str, float]
) -> list[Record]:
    """A record an iteration. The last one also tells what was measured once, `machine` (memory, disk) included."""
    now = time.time()
    last = interval.iterations[-1]
    at_end = {**interval.at_end, **machine}
    details = {}
    if len(interval.loss_per_rank) > 1:
        at_end["rank_spread"] = rank_spread(interval.loss_per_rank)
        details = {"loss_per_rank": list(interval.loss_per_rank)}
    num_unusable = sum(entry.host.num_unusable for entry in interval.iterations)
    if num_unusable:
        at_end["samples_skipped"] = num_unusable
    return [
        Record(
            mode="train",
            epoch=progress.epoch + 1,
            iteration=entry.host.iteration,
            epoch_iteration=entry.host.batch,
            epoch_length=epoch_length,
            values={
                **entry.logged,
                **entry.probed,
                "lr": entry.host.lr,
                "lr_expected": entry.host.lr_expected,
                "time": entry.host.elapsed_s,
                "data_time": entry.host.data_s,
                **(at_end if entry is last else {}),
            },
            time=now,
            details=details if entry is last else {},
        )
        for entry in interval.iterations
    ]
