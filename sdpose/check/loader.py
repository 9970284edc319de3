"""Can the data workers feed the model, and how many of them are best?"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping
from contextlib import closing
from itertools import count

from sdpose.check.line import CheckLine
from sdpose.check.preflight import Preflight
from sdpose.check.time_box import TimeBox
from sdpose.data.loader import TrainLoader

_CANDIDATES = (1, 2, 4, 8, 12, 16, 24, 32)
_SECONDS_EACH, _LEAST_SECONDS = 4.0, 0.5
# Above the model's speed by so much nobody waits; and a number of workers is worth its memory for so much more speed.
_RESERVE, _WORTH, _PLENTY = 1.2, 1.1, 2.0


def ask(preflight: Preflight) -> Iterator[CheckLine]:
    """Measure batches a second for several numbers of workers, beside the training step."""
    config = preflight.settings.data.train_workers_per_gpu
    cores = len(os.sched_getaffinity(0))
    candidates = {number for number in _CANDIDATES if number <= cores} | {config}
    box = preflight.time_box()
    step_s, samples = preflight.step_s()
    # The config's own first: it must not be what the time box cuts off.
    order = sorted(candidates, key=lambda workers: (workers != config, workers))
    speed: dict[int, float] = {}
    left_out: list[int] = []
    for number, workers in enumerate(order):
        if speed and workers > config and speed[config] > _PLENTY * samples / step_s:
            continue  # nobody needs them
        if speed and not box.has(_LEAST_SECONDS):
            left_out.append(workers)
            continue
        preflight.show(f"data loader with {workers} workers", number, len(order))
        share = (box.seconds - box.elapsed_s) / (len(order) - number)
        seconds = min(_SECONDS_EACH, max(share, _LEAST_SECONDS))
        speed[workers] = samples_per_s(preflight, workers, TimeBox(seconds))
    preflight.measured.loader_samples_per_s = speed[config]
    yield verdict(speed, samples / step_s, config, on_cpu=not preflight.on_gpu, skipped=left_out)


def samples_per_s(preflight: Preflight, workers: int, box: TimeBox) -> float:
    """Samples a second that the loader hands over with so many workers, its start not counted."""
    wanted = preflight.settings.data.train_samples_per_gpu
    # Several batches have to fit into the box, and a set may be smaller than a batch.
    batch_size = max(1, min(wanted, 32, len(preflight.dataset) // max(workers, 1)))
    loader = TrainLoader(
        preflight.dataset, batch_size, num_workers=workers, seed=0, pin_memory=preflight.on_gpu
    )
    # Each worker's first batch comes in one burst, after the time that all of them took together.
    to_skip = max(1, workers)
    done, started_at = 0, 0.0
    with closing(loader):
        for epoch in count():
            for batch in loader.batches(epoch):
                if to_skip:
                    to_skip -= 1
                    started_at = time.perf_counter()
                    continue
                done += len(batch)
                if not box.has():
                    return done / (time.perf_counter() - started_at)
    raise AssertionError("epochs do not end")


def verdict(
    speed: Mapping[int, float], model: float, config: int, *, on_cpu: bool, skipped: list[int]
) -> CheckLine:
    """`speed`: samples a second by number of workers. `model`: what the training step uses up."""
    table = ", ".join(f"{workers}: {rate:.0f}" for workers, rate in sorted(speed.items()))
    text = f"{table} samples/s by workers; the model takes {model:.0f}/s"
    if skipped:
        text += f" (no time was left for {', '.join(map(str, skipped))})"
    best = best_workers(speed, model)
    measured = {
        "samples_per_s": {str(workers): round(rate, 1) for workers, rate in sorted(speed.items())},
        "model_samples_per_s": model,
        "best_workers": best,
    }
    if speed[config] >= model:
        told = f"the model never waits with workers_per_gpu={config}"
        if config > best:
            told += f", and {best} would do"
        return CheckLine("data loader", "pass", f"{text}; {told}", measured=measured)
    waits = 1 - speed[config] / model
    text += f"; with workers_per_gpu={config} the model waits {waits:.0%} of the time"
    if best != config and speed[best] > _WORTH * speed[config]:
        return CheckLine("data loader", "warn", text, f"data.workers_per_gpu={best}", measured)
    cure = "no number of workers is faster here: `sdpose data pack`, or a faster disk, would be"
    if on_cpu:
        cure = "workers and model share these cores; more of them would help both"
    return CheckLine("data loader", "warn", text, cure, measured)


def best_workers(speed: Mapping[int, float], model: float) -> int:
    """The fewest workers that outrun the model with some reserve; else the fewest that are nearly the fastest."""
    enough = [workers for workers, rate in sorted(speed.items()) if rate >= _RESERVE * model]
    if enough:
        return enough[0]
    fastest = max(speed.values())
    return next(workers for workers, rate in sorted(speed.items()) if _WORTH * rate >= fastest)
